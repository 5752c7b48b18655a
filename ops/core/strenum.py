"""Enumerations whose members are strings, on every interpreter that hosts have: the standard library's needs 3.11."""

from __future__ import annotations

from enum import Enum


class StrEnum(str, Enum):
    """An enumeration whose members are the strings that they stand for, printed and formatted as these, too."""

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, form: str) -> str:
        return str.__format__(self, form)
