"""Install and uninstall on this host: staged, verified, put in place, read in again; no process is touched."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ops.core import keeping
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.installation import InstallAnswer, InstallCall, PresentFile, digest, rendered_for
from ops.core.keeping import Keeping
from ops.core.protocol import ProcessReport, Request
from ops.core.states import ALIVE, State
from ops.node import boot, facts, manifest, supervision
from ops.node.hands import make_folder
from ops.node.keeper import keeper_of
from ops.node.placing import Places, staged
from ops.node.systemctl import Systemctl
from ops.node.verifying import verify

_RELOAD_SECONDS = 60.0


def install(request: Request, call: InstallCall, reports: Callable[[], tuple[ProcessReport, ...]]) -> InstallAnswer:
    """Make this host have what the settings render.

    Parameters
    ----------
    reports : tells how the processes are.

    Raises
    ------
    OpsError : it is refused, or could not be done; what was there before is there again.
    """
    kept = request.keeping
    _same_as_seen(call)
    _of_nobody_else(request, call)
    changed = [file for file in call.files if file.path in call.seen]
    with tempfile.TemporaryDirectory(prefix="karafka-install-") as folder:
        notes = verify(kept, staged(changed, Path(folder)))
    conf = next((file for file in changed if kept.is_conf(file.path)), None)
    before = facts.present(Path(conf.path)) if conf else None
    places = Places(sudo=kept.sudo)
    outdated: frozenset[str] = frozenset()
    try:
        for file in changed:
            places.put(file)
        for path in call.remove:
            places.remove(path)
        if conf is not None:
            _make_folders({Path(spec.files.log).parent for spec in request.processes})  # else it takes no program
            outdated = supervision.take_in(kept, places, conf, before.text if before else "")
        reload(kept)
        if kept.kind == keeping.SYSTEMD and _names(call.remove):
            boot.disable(request, _names(call.remove), target=False)
        manifest.write(request.shared, kept.kind, {file.path: digest(file.text) for file in call.files}, places)
    except BaseException as error:
        troubles = places.put_back()
        with suppress(OpsError):
            reload(kept)
        if not isinstance(error, OpsError):
            raise
        left = f"; and what was there could not be put back: {'; '.join(troubles)}" if troubles else ""
        raise OpsError(f"{error.what}{left}", where=error.where, hint=error.hint) from error
    places.settle()
    words = {path: "replaced" if was else "put there" for path, was in call.seen.items()}
    done = [f"{words[file.path]}: {file.path}" for file in changed] + [f"removed: {path}" for path in call.remove]
    replaced = [file.path for file in changed if call.seen[file.path]]
    living = [one.name for one in reports() if one.state in ALIVE]
    return InstallAnswer(tuple(done), tuple(_outdated(kept, living, replaced, outdated)), tuple(notes))


def uninstall(request: Request, reports: Callable[[], tuple[ProcessReport, ...]]) -> InstallAnswer:
    """Remove exactly what an install has put here; enabled units are disabled first.

    Raises
    ------
    OpsError : processes still run, or something could not be removed.
    """
    kept = request.keeping
    files = manifest.read(request.shared).get(kept.kind, {})
    if not files:
        return InstallAnswer()
    if kept.kind != keeping.PIDFILE:  # of plain processes nothing but the rotation of their logs was installed
        _none_lives(request, reports())
    done = [*boot.disable(request, _names(files)).done] if kept.kind == keeping.SYSTEMD else []
    others = {path for kind, some in manifest.read(request.shared).items() if kind != kept.kind for path in some}
    own = {path: was for path, was in files.items() if path not in others}
    notes = []
    programs = ""
    places = Places(sudo=kept.sudo)
    for path, was in own.items():
        now = facts.present(Path(path))
        if now is not None and (other := _of_another(request, now)):
            notes.append(f"left alone, as it is of {other}: {path}")
            continue
        if now is not None and kept.is_conf(path):
            programs = now.text
        if now is not None and now.digest != was:
            notes.append(f"{path} had been edited by hand")
        places.remove(path)
        places.settle()
        done.append(f"removed: {path}")
    if kept.kind == keeping.SUPERVISOR:
        supervision.take_in(kept, places, before=programs)
    reload(kept)
    manifest.write(request.shared, kept.kind, {}, places)
    places.settle()
    return InstallAnswer(tuple(done), (), tuple(notes))


def reload(kept: Keeping) -> None:
    """Let the manager read its files again; it restarts nothing by that.

    Raises
    ------
    OpsError : it complains.
    """
    if kept.kind == keeping.SYSTEMD:
        Systemctl(kept).run(("systemctl", "daemon-reload"), kept.target, Deadline(_RELOAD_SECONDS))
    elif kept.kind == keeping.SUPERVISOR:
        supervision.reread(kept)


def _names(paths: Iterable[str]) -> list[str]:
    """Name the processes whose env files are among these."""
    return [Path(path).stem for path in paths if path.endswith(".env")]


def _same_as_seen(call: InstallCall) -> None:
    for path, seen in call.seen.items():
        now = facts.present(Path(path))
        if (now.digest if now is not None else "") != seen:
            raise OpsError("somebody has changed it since it was looked at; nothing was done", where=path, hint="again")


def _of_nobody_else(request: Request, call: InstallCall) -> None:
    """Refuse to replace what an application of the same name, in another folder of this host, has put there."""
    for path in call.seen:
        now = facts.present(Path(path))
        if now is not None and (other := _of_another(request, now)):
            what = f"it is of the application in {other}, which has the same name; nothing was done"
            hint = "give one of them another `application`, or there: fab karafka.uninstall"
            raise OpsError(what, where=path, hint=hint)


def _none_lives(request: Request, reports: Iterable[ProcessReport]) -> None:
    """Refuse to take from living processes what keeps them, and from those of which nobody can tell."""
    kept = request.keeping
    living, unknown = [], []
    for one in reports:
        try:
            if one.pid and keeper_of(kept, one.name, one.pid) == kept.kind:
                living.append(one.name)
        except OSError as error:
            unknown.append(f"{one.name} ({error})")
        if one.state is State.UNKNOWN:
            unknown.append(f"{one.name} ({one.message})")
    if living:
        raise OpsError(f"{', '.join(living)} still run", where=request.host, hint="fab karafka.stop, then again")
    if unknown:
        raise OpsError(f"nobody can tell whether these still run: {', '.join(unknown)}", where=request.host)


def _of_another(request: Request, file: PresentFile) -> str:
    """Give the folder of the other application that a file was rendered for; empty for none."""
    root = rendered_for(file.text)
    return root if root != str(Path(request.shared).parent) else ""


def _make_folders(folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            make_folder(folder)
        except OSError as error:
            raise OpsError(f"cannot be made: {error.strerror}", where=str(folder), hint="fab karafka.setup") from error


def _outdated(kept: Keeping, living: Iterable[str], replaced: Iterable[str], programs: Container[str]) -> Iterator[str]:
    """Name the living processes that were started by what has been replaced: an env file is one process's own."""
    paths = list(replaced)
    unit = any(path.endswith(f"/{kept.template}") for path in paths)
    for name in living:
        if name in _names(paths) or kept.program(name) in programs or (kept.kind == keeping.SYSTEMD and unit):
            yield name
