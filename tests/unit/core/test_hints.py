"""Annotations and enumerations mean the same on every interpreter."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import typing
from dataclasses import dataclass, is_dataclass
from typing import Any, NamedTuple, Optional, Union

import pytest

import ops.core
import ops.node
from ops.core.decoding import decode
from ops.core.hints import hints_of, rewritten
from ops.core.strenum import StrEnum
from tests.labs.late_types import make_readable

OPERATORS = (
    *("ops.core.settings", "ops.core.section", "ops.core.section_checks", "ops.core.section_errors"),
    *("ops.core.section_hints", "ops.core.section_texts", "ops.core.section_topics", "ops.core.section_words"),
    "ops.core.tool",
)


def data_classes() -> list[type]:
    """All that JSON may be read into, and more."""
    make_readable()
    names = [
        one.name
        for package in (ops.core, ops.node)
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if one.name not in OPERATORS and not one.name.endswith("__main__")
    ]
    found = {
        kind
        for name in names
        for kind in vars(importlib.import_module(name)).values()
        if isinstance(kind, type)
        and (is_dataclass(kind) or (hasattr(kind, "_fields") and vars(kind).get("__annotations__")))
    }
    return sorted(found, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


class Colour(StrEnum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int | None


@dataclass(frozen=True)
class Base:
    name: str | None
    points: tuple[Point | None, ...] = ()


@dataclass(frozen=True)
class Derived(Base):
    colour: Colour | None = None
    parts: dict[str, tuple[int | None, ...]] | None = None
    nothing: None = None


def old_hints_of(kind: type) -> dict[str, Any]:
    """What a class's annotations are on an interpreter without `X | Y`."""
    found = {
        name: rewritten(getattr(hint, "__forward_arg__", hint), {**vars(sys.modules[base.__module__]), "Any": Any})
        for base in reversed(kind.__mro__)
        for name, hint in vars(base).get("__annotations__", {}).items()
    }
    return {name: type(None) if hint is None else hint for name, hint in found.items()}


def test_unions_are_read_on_interpreters_that_have_none() -> None:
    # Given annotations with X | Y at every depth, inherited ones too
    # When they are read by our own means
    # Then each means the same as typing's own words
    assert old_hints_of(Derived) == {
        "name": Optional[str],
        "points": tuple[Optional[Point], ...],
        "colour": Optional[Colour],
        "parts": Optional[dict[str, tuple[Optional[int], ...]]],
        "nothing": type(None),
    }
    assert old_hints_of(Point) == {"x": int, "y": Union[int, None]}


if sys.version_info >= (3, 10):  # before, typing itself cannot do it

    def test_our_own_means_agree_with_typing_about_every_class_of_hosts() -> None:
        # Given every class that hosts have
        kinds = data_classes()
        assert len(kinds) > 50
        for kind in kinds:
            # When both read it
            # Then both say the same
            assert old_hints_of(kind) == hints_of(kind) == typing.get_type_hints(kind, None, {"Any": Any}), kind


def test_every_class_of_hosts_can_be_read_here() -> None:
    # Given every class that hosts have
    for kind in data_classes():
        # When its types are asked for
        # Then there is one for each field
        fields: Any = getattr(kind, "__dataclass_fields__", getattr(kind, "_fields", ()))
        assert set(fields) <= set(hints_of(kind)), kind


def test_json_is_read_by_unions() -> None:
    # Given what JSON has made of it
    data = {"name": None, "points": [[1, None], None], "colour": "red", "parts": {"a": [1, None]}}
    # When it is read
    # Then every value has its declared type
    assert decode(Derived, data) == Derived(None, (Point(1, None), None), Colour.RED, {"a": (1, None)})
    # And what has another one is refused by its name
    with pytest.raises(ValueError, match=r"Derived\.parts\[a\]"):
        decode(Derived, {"name": "n", "parts": {"a": ["x"]}})


def test_a_word_is_its_string_wherever_it_is_written() -> None:
    # Given a member of an enumeration of strings
    # When it is printed, formatted, compared, written as JSON
    # Then it is the string
    assert str(Colour.RED) == f"{Colour.RED}" == format(Colour.RED, "") == "red"
    assert f"{Colour.RED:>5}" == "  red"
    assert "%s" % Colour.RED == "red"  # noqa: UP031
    assert json.dumps({"colour": Colour.RED, Colour.RED: 1}) == '{"colour": "red", "red": 1}'
    assert Colour("red") is Colour.RED
    assert {"red": 1}[Colour.RED] == 1
