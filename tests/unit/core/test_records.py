"""Records are frozen dataclasses in all but their cost."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from ops.core import records
from ops.core.protocol import ProcessSpec, Request, Verb
from ops.core.release import DeployAction, DeployCall
from ops.core.slot import Slot, SlotFiles

TYPING = {"typing"} if sys.version_info >= (3, 10) else set()  # before, `python -m` imports it by itself


class Place(NamedTuple):
    """A named tuple, as records have within them."""

    host: str
    port: int


@records.dataclass(frozen=True, order=True)
class Base:
    """A record that has an order."""

    name: str
    index: int = 0
    KIND: ClassVar[str] = "base"


@records.dataclass(frozen=True)
class Derived(Base):
    """A record with all kinds of fields."""

    env: dict[str, str] = records.field(default_factory=dict)
    parts: tuple[Base, ...] = ()
    place: Place | None = None

    def __post_init__(self) -> None:
        if self.index < 0:
            raise ValueError("an index is not negative")


@dataclasses.dataclass(frozen=True)
class StandardBase:
    """`Base` by the standard library."""

    name: str
    index: int = 0


@dataclasses.dataclass(frozen=True)
class StandardDerived(StandardBase):
    """`Derived` by the standard library."""

    env: dict[str, str] = dataclasses.field(default_factory=dict)
    parts: tuple[Any, ...] = ()
    place: Place | None = None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {"name": "a"}),
        (("a", 1), {"env": {"A": "b"}}),
        (("a",), {"parts": (Base("x", 2), Base("y")), "place": Place("h", 1)}),
        ((), {}),
        (("a",), {"name": "b"}),
        (("a",), {"nobody": 1}),
        (("a", 1, {}, (), None, 6), {}),
    ],
)
def test_a_record_takes_holds_and_shows_what_a_dataclass_does(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    # Given the same values for a record and for a dataclass of the standard library
    def made(kind: Any) -> Any:
        try:
            return kind(*given, **named)
        except TypeError:
            return TypeError

    # When both are made of them
    record, standard = made(Derived), made(StandardDerived)

    # Then both are refused, or both hold the same and show it alike
    if standard is TypeError:
        assert record is TypeError
        return
    assert records.asdict(record) == dataclasses.asdict(record) == dataclasses.asdict(standard)
    assert repr(record) == repr(standard).replace("Standard", "")


def test_records_of_a_kind_are_equal_by_their_values_and_have_an_order_where_they_are_to() -> None:
    # Given records with the same and with other values
    one, same, other = Base("a", 1), Base("a", 1), Base("a", 2)

    # When they are compared, Then it goes by their values and kinds
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert Base("a") != Derived("a")
    assert sorted([other, one]) == [one, other]
    assert one <= same
    assert other > one
    assert other >= one


def test_a_record_does_not_change_and_is_copied_with_changes() -> None:
    # Given a record
    record = Derived("a", env={"A": "b"})

    # When it is to change, Then it refuses
    with pytest.raises(FrozenInstanceError):
        record.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del record.name

    # When it is copied, Then the copy has the same values, or others where asked
    assert copy.deepcopy(record) == record
    assert pickle.loads(pickle.dumps(record)) == record
    assert records.replace(record, index=3) == dataclasses.replace(record, index=3) == Derived("a", 3, env={"A": "b"})
    with pytest.raises(ValueError, match="not negative"):
        records.replace(record, index=-1)


def test_a_default_that_is_made_anew_is_nobody_elses() -> None:
    # Given two records with such a default, When one's changes, Then the other's does not
    one, other = Derived("a"), Derived("a")
    one.env["A"] = "b"
    assert other.env == {}


def test_the_standard_library_takes_records_for_dataclasses() -> None:
    # Given a record, When the standard library looks at it, Then it is a dataclass with these fields
    assert dataclasses.is_dataclass(Derived)
    assert [one.name for one in dataclasses.fields(Derived)] == ["name", "index", "env", "parts", "place"]
    assert records.required(Derived) == records.required(StandardDerived) == {"name"}
    assert records.is_dataclass(StandardDerived)

    # And a dataclass may be made of it
    @dataclasses.dataclass(frozen=True)
    class Further(Base):
        more: int = 1

    assert dataclasses.asdict(Further("a")) == {"name": "a", "index": 0, "more": 1}
    assert records.asdict(Further("a")) == {"name": "a", "index": 0, "more": 1}


def test_a_class_that_is_not_frozen_is_refused() -> None:
    # Given, When, Then
    with pytest.raises(TypeError, match="frozen"):
        records.dataclass(frozen=False)


def test_an_agent_answers_a_status_without_the_machinery_of_dataclasses(tmp_path: Path) -> None:
    # Given a request for a process, and an agent that tells what it imports
    slot = Slot("karafka", 0)
    files = SlotFiles.below(str(tmp_path), "tmp/pids/karafka.pid", slot)
    spec = ProcessSpec(str(slot), ("sleep", "600"), str(tmp_path), files, readiness="alive")
    request = Request(Verb.STATUS, "host1", (spec,), shared=str(tmp_path)).encode()
    argv = [sys.executable, "-X", "importtime", "-m", "ops.node"]

    # When it answers
    done = subprocess.run(argv, input=request, capture_output=True, text=True, timeout=30, check=True)

    # Then nothing of that was among it, nor what only other verbs need
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "ops.node.inspection" in imported
    assert imported.isdisjoint({"dataclasses", "inspect", "psutil", "subprocess", "ops.core.release"} | TYPING)
    assert json.loads(done.stdout.splitlines()[-1])["kind"] == "response"


def test_an_agent_checks_for_a_deploy_without_the_machinery_of_dataclasses(tmp_path: Path) -> None:
    # Given a deploy's first request, and an agent that tells what it imports
    call = DeployCall(DeployAction.CHECK, str(tmp_path), stage="production")
    request = Request(Verb.DEPLOY, "host1", (), shared=str(tmp_path / "shared"), deploy=call).encode()
    argv = [sys.executable, "-X", "importtime", "-m", "ops.node"]

    # When it answers
    done = subprocess.run(argv, input=request, capture_output=True, text=True, timeout=30, check=True)

    # Then nothing of that was among it, nor what only some deploys need
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "ops.node.fitness" in imported
    assert imported.isdisjoint(
        {"dataclasses", "inspect", "hashlib", "socket", "subprocess", "tempfile", "uuid"} | TYPING
    )
    assert json.loads(done.stdout.splitlines()[-1])["deployed"]["done"]


def test_what_the_library_needs_of_a_record_is_made_once() -> None:
    # Given a record that the library has looked at
    one = dataclasses.replace(Base("a"), index=1)
    seen = vars(Base)["__dataclass_fields__"]

    # When it looks again
    two = dataclasses.replace(one, name="b")

    # Then it finds the same, and a record below has its own
    assert vars(Base)["__dataclass_fields__"] is seen
    assert two == Base("b", 1)
    assert [one.name for one in dataclasses.fields(Derived)] == ["name", "index", "env", "parts", "place"]
