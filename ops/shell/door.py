"""The way in and out of every task: our errors become one text and an exit code, never a traceback.

What a task prints may go nowhere (see `ops.core.lasting`): it does what it was told to all the same.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task, task

from ops.core import amounts
from ops.core.errors import ExitCode, OpsError, UsageError
from ops.core.guarded import guarded_output
from ops.core.lasting import fill_standard_streams, lasting_output
from ops.core.masking import SECRETS
from ops.core.needs import extras_named
from ops.core.pipeline import error_text
from ops.core.plain import shown
from ops.shell.arguments import CheckedTask

_VARIABLES = ("KARAFKA_", "FABRIC_KARAFKA_", "INVOKE_KARAFKA_")
Body = TypeVar("Body", bound=Callable[..., Any])
_HELP = frozenset({"--help", "-h"})
_MACHINES = {  # what a folder's rights, a disk, or what stands in a file's place refuse
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
}
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def command(**options: Any) -> Callable[[Callable[..., int | None]], Task[Any]]:
    """Make a task of a function that gives its exit code (None for 0).

    Parameters
    ----------
    options : passed on to `invoke.task`.
    """

    def decorate(body: Callable[..., int | None]) -> Task[Any]:
        @wraps(body)
        def guarded(context: Context, *arguments: Any, **named: Any) -> None:
            if not _HELP.isdisjoint(one for one in (*arguments, *named.values()) if isinstance(one, str)):
                _print_help(made)
                return
            fill_standard_streams()
            with lasting_output():
                try:
                    with guarded_output(), extras_named():
                        _learn_secrets(context)
                        refuse_missing_file(context)
                        code = body(context, *arguments, **named)
                except OpsError as error:
                    code = _last_words(as_exit(error))
                except KeyboardInterrupt:
                    code = _last_words(Exit("interrupted", code=INTERRUPTED))
                except Exception as error:
                    if type(error).__module__.startswith("invoke."):  # it has words of its own for these
                        raise
                    if type(error).__module__ == "kafka.errors":  # what the brokers answered, or that they did not
                        code = _last_words(Exit(error_text(amounts.named(error)), code=ExitCode.UNREACHABLE))
                    elif (refused := _refused_by_the_machine(error)) is not None:
                        code = _last_words(as_exit(refused))
                    else:
                        code = _last_words(Exit(shown(traceback.format_exc()), code=1))
            if code:
                raise Exit(code=int(code))

        made: Task[Any] = task(klass=CheckedTask, auto_shortflags=False, **options)(guarded)
        return made

    return decorate


def _print_help(asked: Task[Any]) -> None:
    """Print the help of a task whose first argument was left out: Invoke takes the --help for that argument."""
    mains = (getattr(sys.modules.get(f"{name}.main"), "program", None) for name in ("fabric", "invoke"))
    program: Any = next(one for one in mains if hasattr(one, "collection"))
    name = next(one for one in program.collection.task_names if program.collection[one].body is asked.body)
    program.print_task_help(name)


def _learn_secrets(context: Context) -> None:
    """Learn what must not be shown before anything is said: of our variables, and of Fabric's own settings."""
    SECRETS.learn({name: os.environ[name] for name in os.environ if name.startswith(_VARIABLES)})
    for section in ("connect_kwargs", "sudo"):
        found = context.config.get(section)
        SECRETS.learn({key: found[key] for key in found} if isinstance(found, Mapping) else None)


def _refused_by_the_machine(error: Exception) -> OpsError | None:
    """Say which file or folder could not be had, where no fault of ours is behind it; None for all else."""
    if isinstance(error, OSError) and isinstance(error.filename, (str, bytes)) and error.errno in _MACHINES:
        return OpsError(os.strerror(error.errno), where=os.fsdecode(error.filename))
    return None


def _last_words(end: Exit) -> int:
    """Say why it ends, here and not in Invoke's own print, which may fail; gives the exit code."""
    sys.stdout.flush()
    print(end.message, file=sys.stderr, flush=True)
    return int(end.code)


def as_exit(error: OpsError) -> Exit:
    """Give the exit that an error ends a command with."""
    return Exit(error_text(str(error)), code=int(error.exit_code))


def exits_named(decorator: Callable[[str], Callable[[Body], Body]]) -> Callable[[str], Callable[[Body], Body]]:
    """Let a decorator of fabfiles end the command by its error's text and exit code, while the fabfile is read."""

    def named(name: str) -> Callable[[Body], Body]:
        def decorate(body: Body) -> Body:
            try:
                return decorator(name)(body)
            except OpsError as error:
                raise as_exit(error) from None

        return decorate

    return named


def refuse_missing_file(context: Context) -> None:
    """Refuse `-f FILE` where FILE is not there; both ignore it in silence.

    Raises
    ------
    UsageError : the file that -f names does not exist.
    """
    path = runtime_file(context)
    if path is not None and not path.is_file():
        raise UsageError(f"no such file: {path}", where="-f", hint="name an existing fabric.yaml")


def runtime_file(context: Context) -> Path | None:
    """Give the file that -f names."""
    path = getattr(context.config, "_runtime_path", None)
    return None if path is None else Path(path)
