"""Jobs as data: what excludes what, what a job holds, and the app that performs them, without a broker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ops.consumer import App, Controller, Responder, topic
from ops.consumer.errors import NotSerializableError, RoutingError
from ops.consumer.testing import run, run_to_the_end
from ops.jobs import BaseWorker, JobsBackend, job_of, worker_app


class Upper:
    """An interchanger for params that hold a set."""

    def dump(self, params: Any) -> Any:
        return {**params, "tags": sorted(params["tags"])}

    def load(self, data: Any) -> Any:
        return {**data, "tags": set(data["tags"])}


class RefreshController(Controller):
    def before_enqueue(self) -> None:
        self.params["uniqueness_scope"] = self.params["remote_resource"]["id"]


class RefreshResponder(Responder):
    topics = (topic("refreshed"),)

    def respond(self, id: str) -> None:
        self.respond_to("refreshed", {"id": id})


class RefreshWorker(BaseWorker):
    failed: Exception | None = None

    def perform(self) -> None:
        if self.params.get("fail"):
            self.respond_with("never sent")
            raise RuntimeError("no")
        self.respond_with(self.params["remote_resource"]["id"])

    def after_failure(self, error: Exception) -> None:
        self.respond_with(f"gave up: {error}")


class SharedWorker(RefreshWorker):
    across_workers = True


class PlainController(Controller):
    def perform(self) -> None:
        self.respond_with(str(sorted(self.params["tags"])))


PlainResponder = RefreshResponder


def make(**options: Any) -> App:
    app = App("a", backend=JobsBackend(4))
    app.topic("refresh", controller=RefreshController, **{"worker": RefreshWorker, **options})
    return app


def enqueued(app: App, data: Any, name: str = "refresh") -> Any:
    (output,) = run(app, name, data).outputs
    assert output.topic == "a.jobs"
    return output


def test_jobs_of_one_worker_and_scope_share_a_key_and_its_partition() -> None:
    app = make()
    one = enqueued(app, {"remote_resource": {"id": 7}})
    same = enqueued(app, {"remote_resource": {"id": 7}, "more": 1})
    other = enqueued(app, {"remote_resource": {"id": 8}})
    assert one.key == same.key == b'["RefreshWorker",7]'
    assert one.partition == same.partition
    assert one.partition in range(4)
    assert other.key != one.key
    job = json.loads(one.value)
    assert (job["worker"], job["topic"]) == ("RefreshWorker", "refresh")
    assert job["params"] == {"remote_resource": {"id": 7}, "uniqueness_scope": 7}


def test_workers_that_say_so_exclude_each_other_on_a_resource() -> None:
    one = enqueued(make(worker=SharedWorker), {"remote_resource": {"id": 7}})
    assert one.key == b"[7]"


def test_jobs_without_a_scope_exclude_none() -> None:
    app = App("a", backend=JobsBackend())
    app.topic("plain", controller=PlainController, interchanger=Upper())
    route = app.routes[0]
    assert job_of(route, {"tags": set()}).key != job_of(route, {"tags": set()}).key


def test_a_job_is_performed_by_its_worker_and_answers_by_its_routes_responder() -> None:
    app = make()
    job = enqueued(app, {"remote_resource": {"id": "r7"}})
    result = run(worker_app(app), "a.jobs", job.value)
    assert result.sent("refreshed") == [{"id": "r7"}]


def test_a_route_without_worker_has_its_controller_perform_the_job_with_params_as_they_were() -> None:
    app = App("a", backend=JobsBackend())
    app.topic("plain", controller=PlainController, responder=PlainResponder, interchanger=Upper())
    job = job_of(app.routes[0], {"tags": {"b", "a"}})
    assert json.loads(job.value or b"")["worker"] == "PlainController"
    assert run(worker_app(app), "a.jobs", job.value).sent("refreshed") == [{"id": "['a', 'b']"}]


def test_a_job_that_fails_for_good_tells_its_worker_and_is_a_dead_letter() -> None:
    app = make()
    job = enqueued(app, {"remote_resource": {"id": "r7"}, "fail": True})
    result = run_to_the_end(worker_app(app), "a.jobs", job.value, retries=1)
    assert result.topics == ["refreshed", "a.dead"]
    assert result.sent("refreshed") == [{"id": "gave up: no"}]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"no json", b"ParseError"),
        (b"[1]", b"MalformedJobError"),
        (b'{"id": 1, "worker": 2, "topic": "refresh", "at": 0, "params": {}}', b"MalformedJobError"),
        (b'{"id": 1, "worker": "Gone", "topic": "refresh", "at": 0, "params": {}}', b"UnknownWorkerError"),
    ],
)
def test_what_is_no_job_is_a_dead_letter_at_once(value: bytes, reason: bytes) -> None:
    (letter,) = run_to_the_end(worker_app(make()), "a.jobs", value).outputs
    headers = dict(letter.headers)
    assert letter.topic == "a.dead"
    assert headers["karafka-attempts"] == b"1"
    assert headers["karafka-reason"].startswith(reason)


def test_params_without_a_json_form_are_refused() -> None:
    with pytest.raises(NotSerializableError, match="interchanger"):
        run(make(parser=lambda raw: {"remote_resource": {"id": 1}, "raw": raw}), "refresh", b"x")


def test_an_inline_route_stays_inline_and_an_app_without_jobs_has_no_workers() -> None:
    app = App("a", backend=JobsBackend())
    app.topic("plain", controller=PlainController, responder=RefreshResponder, inline_mode=True)
    assert app.topic_names() == ("plain", "refreshed", "a.dead")
    with pytest.raises(RoutingError, match="no route of it has background jobs"):
        worker_app(app)
    with pytest.raises(RoutingError, match="concurrency"):
        worker_app(make(), concurrency=0)


def test_the_workers_app_reads_the_jobs_and_names_what_they_send() -> None:
    (route,) = worker_app(make()).routes
    assert (route.source, route.group, route.dead_letter_topic) == ("a.jobs", "a.jobs", "a.dead")
    assert route.responses == ("refreshed",)
    assert (route.concurrency, route.partitions) == (16, 4)
    assert worker_app(make(), fifo=True).routes[0].concurrency is None
    assert make().topic_names() == ("refresh", "a.jobs", "refreshed", "a.dead")
