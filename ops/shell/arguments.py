"""What the command line says for an option: refused by the option's name before any task begins."""

from __future__ import annotations

from typing import Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from ops.core.errors import UsageError
from ops.core.pipeline import error_text


class CheckedTask(Task[Any]):
    """A task whose options take no other value than one of their kind.

    Invoke would end in a traceback for a number that is none. An empty text would stand for what an option is without
    it: the release before for `--release "$RELEASE"`, a deploy from git for `--artifact "$FILE"`.
    """

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the options, as Invoke reads them off the function."""
        found = super().get_arguments(ignore_unknown_help)
        for one in found:
            one.__class__ = _CheckedArgument
        return found


class _CheckedArgument(Argument):
    def set_value(self, value: Any, cast: bool = True) -> None:
        if value == "":
            raise self._refusal("expected a value, got nothing")
        try:
            super().set_value(value, cast)
        except ValueError:
            raise self._refusal(f"expected a whole number, got {value!r}") from None

    def _refusal(self, what: str) -> Exit:
        """Invoke prints this one's text itself, and ends with its code."""
        error = UsageError(what, where=self.names[0] if self.positional else f"--{self.names[0]}")
        return Exit(error_text(str(error)), code=int(error.exit_code))
