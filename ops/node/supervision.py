"""supervisord told of changed conf files, so that no process is started, stopped or restarted by it."""

from __future__ import annotations

import re
from contextlib import suppress

from ops.core.deadline import Deadline
from ops.core.installation import HostFile
from ops.core.keeping import Keeping
from ops.core.records import replace
from ops.core.supervisor import enabled_in, programs_in
from ops.node.placing import Places
from ops.node.supervisord import ACTIVE, Supervisord, SupervisorError, UnknownProgramError

_REMOVE_SECONDS = 10.0
_AUTOSTART = re.compile(r"^autostart\s*=.*$", re.MULTILINE)


def silent(kept: Keeping) -> str:
    """Say why supervisord does not answer; empty where it does.

    Raises
    ------
    SupervisorError : never; it is the answer.
    """
    server = Supervisord.of(kept)
    try:
        server.programs()
    except SupervisorError as error:
        return error.what
    finally:
        server.close()
    return ""


def take_in(kept: Keeping, places: Places, conf: HostFile | None = None, before: str = "") -> frozenset[str]:
    """Let supervisord read its files, add what is new, renew what does not run, and let go of what is no more.

    Only what the application's own file names, or named before, is of matter: what has changed in other files is left
    to those who changed it. A group that is added starts its programs if they start with supervisord; so they are added
    as programs that don't, and the file says so again afterwards.

    Parameters
    ----------
    conf : the file that has just been put in place; None for one that was removed.
    before : what it said before; empty for nothing.

    Returns
    -------
    The programs that run as the file said before.

    Raises
    ------
    SupervisorError : supervisord cannot be asked, or cannot make sense of the file.
    """
    server = Supervisord.of(kept)
    try:
        own = programs_in(conf.text if conf is not None else "") | programs_in(before)
        added, changed, removed = ([name for name in names if name in own] for names in server.reread())
        if conf is not None and _AUTOSTART.sub("", conf.text) == _AUTOSTART.sub("", before):
            _prove(kept, server, conf)
            return frozenset()  # it is of matter when supervisord starts, and then it reads the file
        active = {name for name, program in server.programs().items() if program.state in ACTIVE}
        fresh = [*added, *(name for name in changed if name not in active)]
        hold = conf if conf is not None and fresh and enabled_in(conf.text) else None
        if hold is not None:
            places.put(replace(hold, text=_AUTOSTART.sub("autostart = false", hold.text)))
            server.reread()
        for name in fresh:
            if name in changed:
                server.remove_group(name, Deadline(_REMOVE_SECONDS))
            server.add_group(name)
        if hold is not None:
            places.put(hold)
            server.reread()
        for name in removed:
            if name not in active:
                server.remove_group(name, Deadline(_REMOVE_SECONDS))
        if conf is not None:
            _prove(kept, server, conf)
        return frozenset(changed) & frozenset(active)
    finally:
        server.close()


def _prove(kept: Keeping, server: Supervisord, conf: HostFile) -> None:
    """See that supervisord knows the programs of a file.

    Raises
    ------
    SupervisorError : it does not; the text says which files it reads, or which group it has them in.
    """
    missing = programs_in(conf.text) - server.programs().keys()
    if not missing:
        return
    for name in sorted(missing):
        with suppress(UnknownProgramError):
            server.program(name)  # says so where somebody has put it into a group
    from ops.node.supervisor_conf import SupervisorConfError, patterns

    try:
        reads = f"it includes {' '.join(patterns(kept)) or 'no files'}"
    except SupervisorConfError as error:
        reads = f"what it includes is not known: {error.where}: {error.what}" if error.where else error.what
    what = f"supervisord does not read it, and knows no program {', '.join(sorted(missing))}; {reads}"
    hint = "karafka.supervisor.conf names its supervisord.conf, karafka.supervisor.conf_d the folder that it includes"
    raise SupervisorError(what, where=conf.path, hint=hint)


def reread(kept: Keeping) -> None:
    """Let supervisord read its files, and do nothing about them.

    Raises
    ------
    SupervisorError : supervisord cannot be asked, or cannot make sense of a file.
    """
    server = Supervisord.of(kept)
    try:
        server.reread()
    finally:
        server.close()
