"""Which files a process lives in. A slot's files carry its name; what is older than that has others.

What was started by an older version of the tool, or under another `pid` setting, lives in files of other names. It is
found here, so that nothing runs twice and everything is stopped where it is.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from ops.core.errors import OpsError, UsageError
from ops.core.process import ProcessSpec
from ops.core.records import replace
from ops.core.slot import Slot, SlotFiles
from ops.node.occupancy import Occupant, occupant_of, occupants


def located(spec: ProcessSpec) -> ProcessSpec:
    """Give a process with the files that it lives in; its own ones where it does not live.

    Raises
    ------
    OSError : a lock file cannot be opened.
    """
    own = Path(spec.files.lock)
    here = occupant_of(own)
    if here is None or here.slot not in ("", spec.name):
        here = next((one for one in occupants(own.parent) if one.slot == spec.name), None)
    files = spec.files if here is None else _files(spec, here)
    return spec if files == spec.files else replace(spec, files=files)


def confusion(spec: ProcessSpec, known: Collection[str], *, renamed: bool) -> str:
    """Say which living process may be that of a slot in which nobody lives, so that a start could make it run twice.

    Parameters
    ----------
    known : the names of all slots that the settings give this host.
    renamed : whether a process of a role that they do not give it (any more) may be one of another role's now.

    Raises
    ------
    OSError : a lock file cannot be opened.
    """
    others = occupants(Path(spec.files.lock).parent)
    if any(one.named == spec.name for one in others):
        return ""
    roles = {name.rpartition("-")[0] for name in known}
    for one in others:
        who = f"process {one.pid} runs in {one.lock}"
        if one.lock.name == Path(spec.files.lock).name:
            return f"{who}, the lock of {spec.name}, and is {one.slot}: restart {one.slot} first, it takes its own lock"
        if one.named in known or _index(one.named) != _index(spec.name):
            continue
        role = one.slot.rpartition("-")[0]
        if not one.slot:
            return (
                f"{who} and does not tell in which slot; it may be {spec.name}: a restart of all of this host ends it"
            )
        if renamed and role not in roles:
            what = f"{who} as {one.slot}, and the settings have no role {role} here"
            return f"{what}: it may be what {spec.name} is now; karafka.restart ends it first"
    return ""


def require_own_files(spec: ProcessSpec, files: Iterable[Path]) -> None:
    """See that what a manager would start takes the slot's own lock.

    Parameters
    ----------
    files : that an install has put there; of those that can be read, one has to name it.

    Raises
    ------
    OpsError : they name another one, as an older version of the tool has written them; nothing was done.
    """
    from ops.node import facts  # which looks for processes itself

    found = [facts.present(path) for path in files]
    texts = [one.text.replace("%%", "%") for one in found if one is not None and not one.trouble]
    if texts and not any(spec.files.lock in text for text in texts):
        raise OpsError(
            f"what is installed here for {spec.name} does not name its lock, {spec.files.lock}",
            hint="an older version of the tool, or other settings: fab karafka.install",
        )


def _files(spec: ProcessSpec, here: Occupant) -> SlotFiles:
    """Give the files that a process has, which has others than its slot."""
    files = spec.files
    if here.pidfile and not _same(here.pidfile, files.pidfile):
        files = replace(files, pidfile=here.pidfile)
    if here.lock.name == Path(files.lock).name:
        return files
    log = Path(files.log).with_name(f"{here.lock.stem}.log")
    record, status = here.lock.with_suffix(".json"), here.lock.with_suffix(".status")
    return replace(files, lock=str(here.lock), record=str(record), status=str(status), log=str(log))


def _same(one: str, other: str) -> bool:
    """Whether two paths lead to one place, also by links on the way."""
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def _index(name: str) -> int | None:
    try:
        return Slot.parse(name).index
    except UsageError:
        return None
