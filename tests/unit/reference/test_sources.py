"""What the app `sources` does with one message: real database and HTTP server, no broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from ops.consumer.testing import run, run_to_the_end
from ops.core.deadline import Deadline
from ops.core.errors import SettingsError
from ops.reference.errors import MalformedMessageError, RemoteError
from ops.reference.lifecycle import Stage
from ops.reference.remote import open_remote
from ops.reference.resources import Resources, open_resources
from ops.reference.sources import app
from ops.sandbox.ports import free_port
from ops.sandbox.remote import RemoteServer


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Resources]:
    monkeypatch.setenv("SOURCES_DATABASE_URL", f"sqlite:///{tmp_path}/sources.db")
    opened = open_resources()
    yield opened
    opened.close()


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteServer]:
    with RemoteServer() as server:
        monkeypatch.setenv("SOURCES_REMOTE_URL", server.url)
        yield server
        open_remote().close()


def test_a_created_repository_is_kept_and_announced_with_its_sequence_number(resources: Resources) -> None:
    # When a repository is created
    result = run(app, "repositories_created", {"id": "r1", "name": "one", "sequence": 7, "stream": "s"})

    # Then it is kept, and announced under its number
    assert result.sent("sources_created") == [
        {"id": "r1", "written": True, "name": "one", "sequence": 7, "stream": "s"}
    ]
    assert [output.key for output in result.outputs] == [b"r1"]
    seen = resources.get("r1")
    assert seen is not None
    assert seen.details == {"name": "one"}


def test_an_update_that_comes_late_is_announced_and_changes_nothing(resources: Resources) -> None:
    # Given a repository that update 5 has described
    run(app, "repositories_updated", {"id": "r1", "name": "new", "sequence": 5})

    # When update 4 is read once more
    result = run(app, "repositories_updated", {"id": "r1", "name": "old", "sequence": 4})

    # Then it is answered, as each message is, and nothing is written
    assert result.sent("sources_updated") == [{"id": "r1", "written": False, "name": "old", "sequence": 4}]
    seen = resources.get("r1")
    assert seen is not None
    assert seen.details == {"name": "new"}


def test_a_deleted_repository_is_forgotten_however_often_it_is_deleted(resources: Resources) -> None:
    run(app, "repositories_created", {"id": "r1"})
    for number in (1, 2):
        result = run(app, "repositories_deleted", {"id": "r1", "sequence": number})
        assert result.sent("sources_deleted") == [{"id": "r1", "sequence": number}]
    assert resources.ids() == []


def test_a_refresh_fetches_over_http_and_announces_the_version(resources: Resources, remote: RemoteServer) -> None:
    # Given a resource with an id that a URL must quote
    resources.put("a:b", {}, 0)
    remote.change("a:b", content="hello")

    # When it is refreshed
    result = run(app, "sources_refresh", {"id": "a:b", "sequence": 3})

    # Then its content is kept and the version announced
    assert result.topics == ["sources_refreshed"]
    assert result.sent("sources_refreshed") == [{"id": "a:b", "version": 1, "written": True, "sequence": 3}]
    seen = resources.get("a:b")
    assert seen is not None
    assert (seen.content, seen.version, seen.stage) == ("hello", 1, Stage.INITIAL)


def test_a_resource_that_is_gone_is_announced_as_disconnected(resources: Resources, remote: RemoteServer) -> None:
    resources.put("r1", {}, 0)
    remote.change("r1", gone=True)
    result = run(app, "sources_refresh", {"id": "r1", "sequence": 3})
    assert result.topics == ["sources_disconnected"]
    seen = resources.get("r1")
    assert seen is not None
    assert (seen.connected, seen.stage) == (False, Stage.INITIAL)


def test_a_refresh_of_a_deleted_resource_sends_nothing(resources: Resources, remote: RemoteServer) -> None:
    assert run(app, "sources_refresh", {"id": "nobody"}).outputs == ()
    assert resources.ids() == []
    assert remote.look("nobody").version == 1  # nobody had asked before


def test_a_slow_answer_never_overwrites_a_faster_newer_one(resources: Resources, remote: RemoteServer) -> None:
    # Given a refresh whose answer, version 1, is on its way for a while
    resources.put("r1", {}, 0)
    remote.change("r1", delay_seconds=0.6)
    slow = Thread(target=run, args=(app, "sources_refresh", {"id": "r1"}))
    slow.start()

    def running() -> bool:
        seen = resources.get("r1")
        return seen is not None and seen.stage == Stage.RUNNING

    assert Deadline(5).poll(running)
    assert Deadline(5).poll(lambda: remote._resources["r1"].version == 1)

    # When another worker refreshes it meanwhile
    remote.change("r1", delay_seconds=0.0, content="newer")
    answer = run(app, "sources_refresh", {"id": "r1"}).sent("sources_refreshed")
    slow.join(10)

    # Then what it wrote stays
    assert answer == [{"id": "r1", "version": 2, "written": True}]
    seen = resources.get("r1")
    assert seen is not None
    assert (seen.content, seen.version, seen.stage) == ("newer", 2, Stage.INITIAL)


def test_a_remote_system_that_is_down_is_tried_again_and_leaves_the_resource_at_rest(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a remote system that does not listen
    monkeypatch.setenv("SOURCES_REMOTE_URL", f"http://127.0.0.1:{free_port()}")
    resources.put("r1", {}, 0)

    # When a refresh is tried, then it raises, for the framework to try again
    with pytest.raises(RemoteError, match="no answer"):
        run(app, "sources_refresh", {"id": "r1"})
    seen = resources.get("r1")
    assert seen is not None
    assert (seen.stage, seen.version) == (Stage.INITIAL, 0)

    # And when all tries have failed, then the message is a dead letter, not lost
    assert run_to_the_end(app, "sources_refresh", {"id": "r1"}, retries=1).topics == ["sources.dead"]


@pytest.mark.parametrize(("url", "said"), [("", "missing"), ("nonsense", "expected http://host:port")])
def test_a_wrong_remote_url_is_said_by_the_variable_that_names_it(
    resources: Resources, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("SOURCES_REMOTE_URL", url)
    resources.put("r1", {}, 0)
    with pytest.raises(SettingsError, match=f"SOURCES_REMOTE_URL: {said}"):
        run(app, "sources_refresh", {"id": "r1"})


@pytest.mark.parametrize(
    "topic", ["repositories_created", "repositories_deleted", "repositories_updated", "sources_refresh"]
)
@pytest.mark.parametrize("message", [[1], {}, {"id": ""}, {"id": "../x"}, {"id": ".."}, {"id": "r1", "sequence": "7"}])
def test_a_malformed_message_is_refused_at_once_and_becomes_a_dead_letter(
    resources: Resources, remote: RemoteServer, topic: str, message: object
) -> None:
    # Given any topic of the app
    # When a message is JSON but no message of it
    with pytest.raises(MalformedMessageError):
        run(app, topic, message)

    # Then it goes to the dead-letter topic as it came, and nothing is written
    result = run_to_the_end(app, topic, message)
    assert result.sent("sources.dead") == [message]
    assert resources.ids() == []
    assert remote._resources == {}
