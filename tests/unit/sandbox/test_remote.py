"""The remote system's promises: a version that only grows, a delay and an end that can be set."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from ops.sandbox.remote import RemoteServer


@pytest.fixture
def remote() -> Iterator[RemoteServer]:
    with RemoteServer() as server:
        yield server


def test_each_look_finds_the_resource_one_version_on(remote: RemoteServer) -> None:
    with httpx.Client(base_url=remote.url) as client:
        answers = [client.get("/resources/a").json() for _ in range(3)]
        other = client.get("/resources/b").json()
    assert [one["version"] for one in answers] == [1, 2, 3]
    assert {one["id"] for one in answers} == {"a"}
    assert len({one["content"] for one in answers}) == 3
    assert other == {"id": "b", "version": 1, "content": "b as of version 1"}


def test_a_hundred_looks_at_once_get_a_hundred_versions(remote: RemoteServer) -> None:
    versions: list[int] = []

    def look() -> None:
        with httpx.Client(base_url=remote.url) as client:
            versions.extend(client.get("/resources/busy").json()["version"] for _ in range(10))

    threads = [threading.Thread(target=look) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(versions) == list(range(1, 101))


def test_a_delayed_answer_is_older_than_a_later_faster_one(remote: RemoteServer) -> None:
    # Given a resource that answers late
    slow: list[int] = []
    with httpx.Client(base_url=remote.url) as client:
        client.put("/resources/a", json={"delay_seconds": 0.4}).raise_for_status()
        thread = threading.Thread(target=lambda: slow.append(httpx.get(f"{remote.url}/resources/a").json()["version"]))
        begun = time.monotonic()
        thread.start()
        while remote._resources["a"].version == 0:
            assert time.monotonic() < begun + 5

        # When it is asked again without the delay
        client.put("/resources/a", json={"delay_seconds": 0}).raise_for_status()
        fast = client.get("/resources/a").json()["version"]
        thread.join(5)

    # Then the answer that left later has the older version
    assert (slow, fast) == ([1], 2)
    assert time.monotonic() - begun >= 0.4


def test_a_resource_that_is_gone_says_so_until_it_is_back(remote: RemoteServer) -> None:
    with httpx.Client(base_url=remote.url) as client:
        client.get("/resources/a")
        client.put("/resources/a", json={"gone": True}).raise_for_status()
        assert client.get("/resources/a").status_code == 410
        assert client.get("/resources/b").status_code == 200
        client.put("/resources/a", json={"gone": False, "content": "set"}).raise_for_status()
        assert client.get("/resources/a").json() == {"id": "a", "version": 2, "content": "set"}


def test_all_resources_can_be_changed_at_once_those_to_come_too(remote: RemoteServer) -> None:
    with httpx.Client(base_url=remote.url) as client:
        client.get("/resources/a")
        client.put("/resources", json={"gone": True}).raise_for_status()
        assert [client.get(f"/resources/{id}").status_code for id in ("a", "new")] == [410, 410]


def test_any_id_is_possible(remote: RemoteServer) -> None:
    with httpx.Client(base_url=remote.url) as client:
        assert client.get("/resources/a%2Fb%20%C3%BC").json()["id"] == "a/b ü"


@pytest.mark.parametrize("body", [b"no json", b"[]", b'{"colour": 1}', b'{"gone": "yes"}', b'{"delay_seconds": true}'])
def test_a_change_that_makes_no_sense_is_refused(remote: RemoteServer, body: bytes) -> None:
    with httpx.Client(base_url=remote.url) as client:
        answer = client.put("/resources/a", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]


def test_other_paths_are_unknown(remote: RemoteServer) -> None:
    with httpx.Client(base_url=remote.url) as client:
        assert [client.get(path).status_code for path in ("/", "/resources", "/resources/", "/other/a")] == [404] * 4


def test_closing_does_not_wait_for_delayed_answers() -> None:
    with RemoteServer() as remote:
        remote.change(delay_seconds=60.0)
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(httpx.get(f"{remote.url}/resources/a").status_code))
        thread.start()
        begun = time.monotonic()
        while "a" not in remote._resources:
            assert time.monotonic() < begun + 5
    thread.join(5)
    assert answers == [200]
