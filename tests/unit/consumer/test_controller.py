"""What a controller sees and does, run without a broker by the testing helpers."""

from __future__ import annotations

from typing import Any

import pytest

from ops.consumer import App, Controller, Halt, Responder, topic
from ops.consumer.errors import (
    ControllerError,
    ParseError,
    ResponderMissingError,
    RoutingError,
    TopicUnusedError,
    TopicUsedTwiceError,
)
from ops.consumer.testing import run, run_to_the_end


class EchoResponder(Responder):
    topics = (topic("echoed"),)

    def respond(self, first: Any, second: Any = None) -> None:
        self.respond_to("echoed", [first, second], key="k")


class EchoController(Controller):
    def before_enqueue(self) -> None:
        if self.params == "halt":
            raise Halt("asked to")

    def perform(self) -> None:
        if self.params == "silent":
            return
        self.respond_with(self.params)
        if self.params == "twice":
            self.respond_with(self.params)


class BatchController(Controller):
    def perform(self) -> None:
        self.respond_with(len(self.params_batch), sum(self.params_batch))


class FailingController(Controller):
    tries = 0

    def perform(self) -> None:
        type(self).tries += 1
        self.respond_with("buffered, then forgotten")
        raise RuntimeError("no luck")

    def after_failure(self, error: Exception) -> None:
        self.respond_with(str(error))


@pytest.fixture
def app() -> App:
    app = App("echo")
    app.topic("echo", controller=EchoController)
    app.topic("batches", controller=BatchController, responder=EchoResponder, batch_mode=True)
    app.topic("failing", controller=FailingController, responder=EchoResponder)
    return app


def test_respond_gets_exactly_what_respond_with_got(app: App) -> None:
    result = run(app, "echo", {"id": 1})
    assert result.sent("echoed") == [[{"id": 1}, None]]
    assert result.outputs[0].key == b"k"


def test_halting_before_enqueue_is_no_failure_and_sends_nothing(app: App) -> None:
    assert run(app, "echo", '"halt"').outputs == ()


def test_a_required_topic_is_missed_even_where_respond_with_is_never_called(app: App) -> None:
    with pytest.raises(TopicUnusedError, match="respond_with"):
        run(app, "echo", '"silent"')


def test_the_contract_counts_over_all_respond_with_of_one_perform(app: App) -> None:
    with pytest.raises(TopicUsedTwiceError):
        run(app, "echo", '"twice"')


def test_a_tombstone_has_no_params_but_its_key() -> None:
    class GoneController(Controller):
        def perform(self) -> None:
            assert self.message.key is not None
            self.respond_with(self.params, self.message.key.decode())

    app = App("x")
    app.topic("t", controller=GoneController, responder=EchoResponder)
    assert run(app, "t", None, key="gone").sent("echoed") == [[None, "gone"]]


def test_a_batch_is_one_perform(app: App) -> None:
    assert run(app, "batches", [1, 2, 3]).sent("echoed") == [[3, 6]]


def test_params_of_a_batch_is_an_error_that_names_params_batch() -> None:
    class ParamsController(Controller):
        def perform(self) -> None:
            _ = self.params

    app = App("x")
    app.topic("t", controller=ParamsController, batch_mode=True)
    with pytest.raises(ControllerError, match="params_batch"):
        run(app, "t", [1])


def test_respond_with_without_a_responder_says_which_class_to_write() -> None:
    class LoneController(Controller):
        def perform(self) -> None:
            self.respond_with(1)

    app = App("x")
    app.topic("t", controller=LoneController)
    with pytest.raises(ResponderMissingError, match="LoneResponder"):
        run(app, "t", 1)


def test_a_controller_without_perform_says_so() -> None:
    class EmptyController(Controller):
        pass

    app = App("x")
    app.topic("t", controller=EmptyController)
    with pytest.raises(ControllerError, match="EmptyController"):
        run(app, "t", 1)


def test_a_message_that_is_no_json_is_a_parse_error(app: App) -> None:
    for raw in ("no json", b"\xff\xfe", ""):
        with pytest.raises(ParseError):
            run(app, "echo", raw)


def test_a_route_may_have_a_parser_of_its_own() -> None:
    app = App("x")
    app.topic("t", controller=EchoController, responder=EchoResponder, parser=lambda raw: raw.decode().split(","))
    assert run(app, "t", "a,b").sent("echoed") == [[["a", "b"], None]]


def test_a_message_that_keeps_failing_is_tried_again_then_dead_lettered_after_after_failure(app: App) -> None:
    # Given a controller that always fails
    FailingController.tries = 0
    # When its message is run to the end
    result = run_to_the_end(app, "failing", {"id": 7}, retries=2)
    # Then it was tried three times, only after_failure's message is sent, and the dead letter tells why
    assert FailingController.tries == 3
    assert result.topics == ["echoed", "echo.dead"]
    assert result.sent("echoed") == [["no luck", None]]
    letter = result.outputs[-1]
    assert letter.value == b'{"id":7}'
    headers = dict(letter.headers)
    assert headers["karafka-reason"] == b"RuntimeError: no luck"
    assert (headers["karafka-topic"], headers["karafka-partition"], headers["karafka-offset"]) == (
        b"failing",
        b"0",
        b"0",
    )
    assert headers["karafka-attempts"] == b"3"


@pytest.mark.parametrize(("data", "reason"), [("no json", b"ParseError"), ('"twice"', b"TopicUsedTwiceError")])
def test_what_a_repetition_cannot_mend_is_dead_lettered_at_once(app: App, data: str, reason: bytes) -> None:
    result = run_to_the_end(app, "echo", data)
    assert result.topics == ["echo.dead"]
    headers = dict(result.outputs[0].headers)
    assert headers["karafka-reason"].startswith(reason)
    assert headers["karafka-attempts"] == b"1"


def test_a_topic_without_route_is_named(app: App) -> None:
    with pytest.raises(RoutingError, match="nowhere"):
        run(app, "nowhere", 1)


def test_asking_what_was_sent_to_a_topic_that_the_app_does_not_have_is_refused(app: App) -> None:
    # Given what a message led to
    result = run(app, "echo", {"id": 1})

    # When it is asked for a topic with a typing mistake, Then it does not say that nothing was sent
    with pytest.raises(RoutingError, match="'echoed'"):
        result.sent("ehcoed")
