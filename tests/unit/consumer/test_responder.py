"""A responder's contract: what it declares, what it may send, what it inherits."""

from __future__ import annotations

from typing import Any

import pytest

from ops.consumer import Output, Responder, topic
from ops.consumer.errors import (
    InvalidNameError,
    NotSerializableError,
    RespondNotDefinedError,
    TopicDeclarationError,
    TopicUnusedError,
    TopicUsedTwiceError,
    UnregisteredTopicError,
)


class BaseResponder(Responder):
    topics = (topic("always"), topic("maybe", optional=True), topic("many", required=False, multiple_usage=True))

    def respond(self, *sends: tuple[str, Any]) -> None:
        for name, data in sends:
            self.respond_to(name, data)


def outputs(responder: Responder, *sends: tuple[str, Any]) -> list[Output]:
    responder.respond(*sends)
    return responder.outputs()


def test_strings_go_as_they_are_and_anything_else_as_json() -> None:
    sent = outputs(
        BaseResponder(), ("always", "plain ü"), ("many", {"a": [1, "ü"]}), ("many", b"\x00raw"), ("many", None)
    )
    assert [output.value for output in sent] == ["plain ü".encode(), '{"a":[1,"ü"]}'.encode(), b"\x00raw", b"null"]


def test_a_topic_that_is_not_declared_is_refused_at_once() -> None:
    with pytest.raises(UnregisteredTopicError, match="elsewhere"):
        outputs(BaseResponder(), ("always", 1), ("elsewhere", 2))


def test_a_required_topic_that_got_nothing_is_an_error() -> None:
    with pytest.raises(TopicUnusedError, match="always"):
        outputs(BaseResponder(), ("maybe", 1))


@pytest.mark.parametrize("name", ["always", "maybe"])
def test_a_topic_used_twice_without_the_flag_is_an_error_optional_ones_too(name: str) -> None:
    with pytest.raises(TopicUsedTwiceError, match=name):
        outputs(BaseResponder(), ("always", 1), (name, 2), (name, 3))


def test_data_without_a_json_form_is_an_error() -> None:
    for data in (object(), {1, 2}, [b"bytes inside"]):
        with pytest.raises(NotSerializableError, match="always"):
            outputs(BaseResponder(), ("always", data))


def test_subclasses_inherit_topics_without_sharing_the_table() -> None:
    # Given two subclasses of one responder
    class FirstResponder(BaseResponder):
        topics = (topic("own"), topic("always", optional=True))

    class SecondResponder(BaseResponder):
        pass

    # Then each has the parent's and its own, and changed nothing for the others
    assert list(FirstResponder.table) == ["always", "maybe", "many", "own"]
    assert not FirstResponder.table["always"].required
    assert list(SecondResponder.table) == list(BaseResponder.table) == ["always", "maybe", "many"]
    assert BaseResponder.table["always"].required
    assert outputs(FirstResponder(), ("own", 1)) == [Output("own", b"1")]
    with pytest.raises(TopicUnusedError):
        outputs(SecondResponder(), ("maybe", 1))


def test_optional_is_the_same_as_not_required() -> None:
    assert topic("a", optional=True) == topic("a", required=False)
    assert topic("a") == topic("a", required=True) == topic("a", optional=False)
    with pytest.raises(TopicDeclarationError, match="at once"):
        topic("a", required=True, optional=True)
    with pytest.raises(InvalidNameError):
        topic("a b")


def test_a_topic_declared_twice_or_wrongly_is_refused_where_the_class_is_made() -> None:
    with pytest.raises(TopicDeclarationError, match="declared twice"):

        class TwiceResponder(Responder):
            topics = (topic("a"), topic("a"))

    with pytest.raises(TopicDeclarationError, match="no topic"):

        class WrongResponder(Responder):
            topics = ("a",)  # type: ignore[assignment]


def test_a_responder_without_respond_says_so() -> None:
    class SilentResponder(Responder):
        topics = (topic("a"),)

    with pytest.raises(RespondNotDefinedError, match="SilentResponder"):
        SilentResponder().respond(1)
