"""What `sources` expects of a database, on SQLite and on Postgres alike."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

from ops.core.errors import SettingsError
from ops.core.identity import Identity
from ops.reference.database import open_engine, probe
from ops.reference.lifecycle import Stage
from ops.reference.resources import Resources
from ops.sandbox.census import guard
from tests.labs.postgres import running


@pytest.fixture(scope="module")
def postgres(run_owner: Identity) -> Iterator[str]:
    """A real Postgres of this module's own."""
    # Not below pytest's folder, which each pytest closes for others than root; nor so deep that no socket fits
    with tempfile.TemporaryDirectory(prefix="karafka-ops-postgres-") as directory:
        guard(Path(directory), run_owner)
        with running(Path(directory)) as url:
            yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sources.db"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def connect(url: str) -> Iterator[Callable[[], Resources]]:
    """Gives resources with connections of their own, as another process has them."""
    opened: list[Resources] = []

    def make() -> Resources:
        opened.append(Resources(open_engine(url)))
        opened[-1].create_table()
        return opened[-1]

    yield make
    for resources in opened:
        for id in resources.ids():
            resources.remove(id)
        resources.close()


def test_a_resource_is_added_described_anew_and_removed(connect: Callable[[], Resources]) -> None:
    # Given a table
    resources = connect()

    # When a resource is added and described anew
    assert resources.put("r1", {"name": "one"}, 1)
    assert resources.put("r1", {"name": "uno"}, 2)

    # Then others see the newer description
    seen = connect().get("r1")
    assert seen is not None
    assert (seen.details, seen.sequence, seen.stage, seen.version) == ({"name": "uno"}, 2, Stage.INITIAL, 0)

    # When it is removed, then it is gone, and a second time says so
    assert resources.remove("r1")
    assert not resources.remove("r1")
    assert resources.get("r1") is None
    assert resources.ids() == []


def test_an_older_event_never_overwrites_a_newer_one(connect: Callable[[], Resources]) -> None:
    # Given a resource that event 5 has described
    resources = connect()
    resources.put("r1", {"name": "new"}, 5)

    # When event 4 comes once more, then it is refused; event 5 may repeat itself
    assert not resources.put("r1", {"name": "old"}, 4)
    assert resources.put("r1", {"name": "new"}, 5)
    seen = resources.get("r1")
    assert seen is not None
    assert seen.details == {"name": "new"}


def test_a_refresh_goes_through_running_and_back(connect: Callable[[], Resources]) -> None:
    # Given a resource
    resources = connect()
    resources.put("r1", {}, 1)

    # When a refresh begins, then everybody sees it
    run = resources.run("r1")
    assert run is not None
    seen = connect().get("r1")
    assert seen is not None
    assert seen.stage == Stage.RUNNING

    # When it ends, then its content is there
    assert resources.finish(run, "content", 7)
    seen = resources.get("r1")
    assert seen is not None
    assert (seen.stage, seen.content, seen.version, seen.connected) == (Stage.INITIAL, "content", 7, True)

    # And it cannot be ended twice
    assert not resources.finish(run, "again", 8)


def test_a_frozen_refresh_that_wakes_up_writes_nothing(connect: Callable[[], Resources]) -> None:
    # Given a refresh that is frozen, and another process that took over and finished
    frozen, other = connect(), connect()
    frozen.put("r1", {}, 1)
    stale = frozen.run("r1")
    fresh = other.run("r1")
    assert stale is not None
    assert fresh is not None
    assert other.finish(fresh, "newer", 2)

    # When the frozen one wakes up, with whatever version
    # Then nothing of it is written
    assert not frozen.finish(stale, "older", 1)
    assert not frozen.finish(stale, "of another time", 3)
    assert not frozen.disconnect(stale)
    seen = other.get("r1")
    assert seen is not None
    assert (seen.content, seen.version, seen.connected) == ("newer", 2, True)


def test_an_older_version_never_overwrites_a_newer_one(connect: Callable[[], Resources]) -> None:
    # Given a resource at version 9
    resources = connect()
    resources.put("r1", {}, 1)
    run = resources.run("r1")
    assert run is not None
    resources.finish(run, "nine", 9)

    # When the remote system answers a later refresh with version 8
    later = resources.run("r1")
    assert later is not None

    # Then the refresh ends, and version 9 stays
    assert not resources.finish(later, "eight", 8)
    seen = resources.get("r1")
    assert seen is not None
    assert (seen.content, seen.version, seen.stage) == ("nine", 9, Stage.INITIAL)


def test_a_resource_that_is_gone_keeps_its_content_and_may_come_back(connect: Callable[[], Resources]) -> None:
    # Given a refreshed resource
    resources = connect()
    resources.put("r1", {}, 1)
    run = resources.run("r1")
    assert run is not None
    resources.finish(run, "content", 3)

    # When it is gone
    run = resources.run("r1")
    assert run is not None
    assert resources.disconnect(run)

    # Then it is marked so, and content is kept
    seen = resources.get("r1")
    assert seen is not None
    assert (seen.connected, seen.content, seen.stage) == (False, "content", Stage.INITIAL)

    # When it comes back, then it is connected again
    run = resources.run("r1")
    assert run is not None
    assert resources.finish(run, "content", 3)
    seen = resources.get("r1")
    assert seen is not None
    assert seen.connected


def test_a_refresh_of_nothing_does_not_begin(connect: Callable[[], Resources]) -> None:
    assert connect().run("nobody") is None


def test_of_many_who_write_at_once_the_newest_wins_and_nobody_is_refused(connect: Callable[[], Resources]) -> None:
    # Given eight connections
    everybody = [connect() for _ in range(8)]

    # When they describe one resource 160 times at once, in any order
    order = [(number * 7919) % 160 + 1 for number in range(160)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: everybody[item[0] % 8].put("r1", {"n": item[1]}, item[1]), enumerate(order)))

    # Then the newest description is the one that stays
    seen = everybody[0].get("r1")
    assert seen is not None
    assert (seen.details, seen.sequence) == ({"n": 160}, 160)


def test_of_many_refreshes_at_once_each_has_its_own_token(connect: Callable[[], Resources]) -> None:
    # Given a resource and eight connections
    everybody = [connect() for _ in range(8)]
    everybody[0].put("r1", {}, 1)

    # When 80 refreshes begin at once
    with ThreadPoolExecutor(8) as pool:
        runs = [run for run in pool.map(lambda number: everybody[number % 8].run("r1"), range(80)) if run]

    # Then no two have the same token, and only the last one may finish
    assert len({run.token for run in runs}) == 80
    finished = [run.token for run in runs if everybody[0].finish(run, "x", 1)]
    assert finished == [max(run.token for run in runs)]


def test_a_writer_that_gets_no_cpu_holds_nobody_up(connect: Callable[[], Resources], url: str) -> None:
    # Given a writer that is held up before each of its statements and each commit, while somebody else writes
    engine, other, written = open_engine(url), connect(), list[bool]()
    slow = Resources(engine)
    slow.create_table()

    def held_up(*_: object) -> None:
        written.append(other.put("r2", {}, len(written)))

    event.listen(engine, "before_cursor_execute", held_up)
    event.listen(engine, "commit", held_up)

    # When it does all that messages ask for
    assert slow.put("r1", {}, 2)
    assert slow.put("r1", {"name": "one"}, 3)
    assert not slow.put("r1", {}, 1)
    run = slow.run("r1")
    assert run is not None
    assert slow.finish(run, "content", 1)
    assert slow.remove("r1")
    slow.close()

    # Then nobody had to wait for it
    assert len(written) >= 12
    assert all(written)


_WRITER = """
import sys
from ops.reference.database import open_engine
from ops.reference.resources import Resources
resources = Resources(open_engine(sys.argv[1]))
resources.create_table()
for number in range(20):
    for id in ("a", "b", sys.argv[2]):
        resources.put(id, {"by": sys.argv[2]}, number)
        run = resources.run(id)
        assert run is not None
        resources.finish(run, "x", number)
"""


def test_several_processes_share_one_database_from_the_first_moment(connect: Callable[[], Resources], url: str) -> None:
    # Given no table yet for SQLite, and three processes that begin at once
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, url, f"own-{number}"], stderr=subprocess.PIPE, text=True)
        for number in range(3)
    ]

    # When they write the same rows and their own
    ended = [(writer.communicate(timeout=100)[1], writer.returncode) for writer in writers]

    # Then none of them was refused
    assert ended == [("", 0)] * 3

    # And each row is whole and at rest
    resources = connect()
    assert resources.ids() == ["a", "b", "own-0", "own-1", "own-2"]
    for id in resources.ids():
        seen = resources.get(id)
        assert seen is not None
        assert (seen.sequence, seen.version) == (19, 19)


@pytest.mark.parametrize(
    "wrong",
    ["nonsense", "nosuchdriver://host/db", "sqlite:////no/such/folder/x.db", "postgresql+psycopg://127.0.0.1:1/x"],
)
def test_a_database_that_cannot_be_opened_is_said_by_the_variable_that_names_it(wrong: str) -> None:
    with pytest.raises(SettingsError, match="SOURCES_DATABASE_URL"):
        probe(open_engine(wrong))
