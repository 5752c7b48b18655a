"""One call of a function that is a hook: however it ends, the deploy goes on, or fails as by any other hook."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isasyncgen, isawaitable, iscoroutine, isgenerator
from typing import Any, NoReturn

from ops.core.amounts import in_seconds
from ops.core.errors import OpsError
from ops.core.offspring import Offspring

TIMEOUT_HINT = "hook_timeout_seconds is how long it may take"
_GRACE_SECONDS = 5.0
_AGAIN_SECONDS = 1.0  # for one that goes on all the same
_ENDS = ("_exit", "abort", "execv", "execve")
"""What of `os` ends this process, or makes another program of it, without another word."""


class _Overdue(BaseException):
    """The hook's time is over."""


def call(name: str, body: Callable[[], Any], seconds: float, offspring: Offspring) -> None:
    """Call a hook's function in this process, which nothing that it does is to end.

    Parameters
    ----------
    seconds : how long it may take.
    offspring : tells what it has started, of which nothing is left when its time is over.

    Raises
    ------
    OpsError : it raised something, took too long, wants to end the process with another code than 0, or would only
        begin once somebody used what it returned.
    KeyboardInterrupt : Ctrl-C.
    """
    try:
        with _in_time(seconds), _one_process(), _folder_kept():
            returned = body()
    except (OpsError, KeyboardInterrupt):
        raise
    except _Overdue:
        offspring.end(0, _GRACE_SECONDS)
        raise OpsError(f"the hook {name} had not ended after {in_seconds(seconds)}", hint=TIMEOUT_HINT) from None
    except SystemExit as error:
        if error.code not in (None, 0):
            raise OpsError(f"the hook {name} failed: it exited with {error.code}") from error
        return
    except BaseException as error:  # what is derived from it is meant to pass `except Exception`, and is none of ours
        raise OpsError(f"the hook {name} failed: {_words(error)}") from error
    if isgenerator(returned) or isawaitable(returned) or isasyncgen(returned):
        if iscoroutine(returned):
            returned.close()  # else Python warns of it at some later time
        what = f"it returned a {type(returned).__name__}, of which nothing has run"
        raise OpsError(f"the hook {name} failed: {what}", hint="a hook is a plain function: no yield, no async")


def _words(error: BaseException) -> str:
    try:
        words = str(getattr(error, "message", None) or error).strip()
        code = getattr(error, "code", None)  # of Invoke's Exit, by which our own tasks end after their last words
        return words or (f"it exited with {code}" if isinstance(code, int) else type(error).__name__)
    except Exception:  # noqa: BLE001  whoever wrote the exception has written this, too
        return type(error).__name__


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    """Raise what no `except Exception` takes when the time is over; only the main thread can be told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def overdue(*_: object) -> NoReturn:
        raise _Overdue

    before = signal.signal(signal.SIGALRM, overdue)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _one_process() -> Iterator[None]:
    """Keep this process at the deploy, and a copy of it that the function has made by `os.fork` away from it."""
    own, real = os.getpid(), {name: getattr(os, name) for name in _ENDS}

    def instead(end: str) -> Callable[..., NoReturn]:
        def stay(*arguments: Any) -> NoReturn:
            if os.getpid() != own:  # a child of the function's own
                real[end](*arguments)
            raise OpsError(f"a hook called os.{end}, which would have ended the deploy")

        return stay

    for end in _ENDS:
        setattr(os, end, instead(end))
    code = 1
    try:
        yield
        code = 0
    finally:
        for end, function in real.items():
            setattr(os, end, function)
        if os.getpid() != own:
            os._exit(code)


@contextmanager
def _folder_kept() -> Iterator[None]:
    """Stay in the working directory: paths of the command line begin there."""
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)
