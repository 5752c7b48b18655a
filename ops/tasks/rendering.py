"""`inv templates.render`: the files that an install puts on a host, for people who provision by other means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context

from ops.shell.door import command

if TYPE_CHECKING:
    from pathlib import Path

    from ops.core.installation import HostFile
    from ops.core.settings import Host, Settings

_KINDS = ("systemd", "supervisor", "logrotate")


@command(
    positional=["kind"],
    help={
        "kind": "systemd, supervisor or logrotate",
        "out": "write them below this folder, as a host has them below /; default: print them",
        "host": "of which host; default: the first of the stage",
        "stage": "which stage; default: as fab takes it",
    },
)
def render(context: Context, kind: str, out: str = "", host: str = "", stage: str = "") -> int:
    """Print or write the files by which systemd, supervisor or logrotate know the processes; connects to nothing."""
    import sys
    from pathlib import Path

    from ops.core.accounts import home_path
    from ops.core.errors import SettingsError, UsageError
    from ops.core.section import load
    from ops.tasks.project import section

    if kind not in _KINDS:
        raise UsageError(f"no kind {kind!r}; there are: {', '.join(_KINDS)}", where="templates.render")
    raw = section(context)
    if raw is None:
        raise SettingsError("no karafka: section found", where=str(Path.cwd() / "fabric.yaml"))
    settings = load(raw, stage or None)
    files = _files(settings, _host(settings, host), kind, _login_user(context))
    if out:
        for path in _write(files, Path(home_path(out))):
            print(path)
        return 0
    for file in files:
        sys.stdout.write(f"# {file.path} (mode {file.mode:04o})\n{file.text}\n")
    return 0


def _login_user(context: Context) -> str:
    """Return Fabric's own `user` in the settings' file: who logs in by SSH; empty where it names none.

    Raises
    ------
    SettingsError : the file is no YAML.
    """
    from ops.shell import early
    from ops.tasks.project import settings_file

    path = settings_file(context)
    user = None if path is None else early.own_key(path, "user")
    return user if isinstance(user, str) else ""


def _host(settings: Settings, name: str) -> Host:
    """Give the host that is named, or the first one.

    Raises
    ------
    UsageError : there is none of that name.
    """
    from ops.core.errors import UsageError

    found = next((one for one in settings.hosts if name in ("", one.host)), None)
    if found is None:
        there = ", ".join(one.host for one in settings.hosts)
        raise UsageError(f"stage {settings.stage} has no host {name!r}; there are: {there}", where="--host")
    return found


def _files(settings: Settings, host: Host, kind: str, login: str) -> tuple[HostFile, ...]:
    """Render one kind; nobody is asked, so the processes' user is whom SSH logs in as."""
    from msgspec import structs

    from ops.core.accounts import user_name
    from ops.core.keeping import PIDFILE
    from ops.fleet.tasks.hosting import host_files

    user = settings.systemd.user or host.user or login or user_name()
    home = "/root" if user == "root" else f"/home/{user}"
    manager = PIDFILE if kind == "logrotate" else kind  # of plain processes it is all there is
    files = host_files(structs.replace(settings, manager=manager), host, user=user, group=user, home=home)
    return tuple(file for file in files if (file.path.startswith(f"{settings.logrotate_d}/")) == (kind == "logrotate"))


def _write(files: tuple[HostFile, ...], folder: Path) -> list[Path]:
    """Write files below a folder.

    Raises
    ------
    OpsError : one cannot be written.
    """
    from ops.core.errors import OpsError

    written = []
    for file in files:
        path = folder / file.path.lstrip("/")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)
            path.chmod(file.mode)
        except OSError as error:
            raise OpsError(error.strerror or str(error), where=str(path)) from None
        written.append(path)
    return written
