"""A supervisord of one's own, for tests and benches: its config, socket and programs in one folder."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ops.core.accounts import user_name
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.core.keeping import SUPERVISOR, Keeping
from ops.core.protocol import ProcessSpec
from ops.core.section import load
from ops.node.supervisord import Supervisord
from ops.render.programs import supervisor_files
from ops.render.templates import FileRecord
from ops.sandbox.census import end_all
from ops.sandbox.daemon import Daemon, tail

_START_SECONDS = 30.0
_STOP_SECONDS = 60.0
_CONF = """\
[supervisord]
nodaemon = true
logfile = {folder}/supervisord.main.log
pidfile = {folder}/supervisord.own.pid
childlogdir = {folder}
loglevel = debug
[unix_http_server]
file = {socket}
{credentials}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files = {include}
"""


class LocalSupervisord:
    """One supervisord: `with LocalSupervisord(folder) as server`. What it runs ends with it.

    Parameters
    ----------
    folder : where it keeps everything but its socket, whose path the kernel allows 107 bytes.
    include : the pattern of its programs' files, below the folder.
    password : of the user `operator`, whom its socket asks for; empty for nobody.
    """

    def __init__(self, folder: Path, *, include: str = "conf.d/*.conf", password: str = "") -> None:
        self.folder = folder
        self._include = include
        self._password = password
        self.conf = folder / "supervisord.conf"
        self.conf_d = folder / Path(include).parent
        self._short = Path(tempfile.mkdtemp(prefix="sv-"))
        self.socket = str(self._short / "s")
        self._daemon: Daemon | None = None

    def __enter__(self) -> LocalSupervisord:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end_all(self.folder, timeout_seconds=2.0)
        shutil.rmtree(self._short, ignore_errors=True)

    def start(self) -> Daemon:
        """Start it and wait until it answers.

        Raises
        ------
        OpsError : it does not.
        """
        self.conf_d.mkdir(parents=True, exist_ok=True)
        credentials = f"username = operator\npassword = {self._password}" if self._password else ""
        text = _CONF.format(folder=self.folder, socket=self.socket, include=self._include, credentials=credentials)
        self.conf.touch(0o600)
        self.conf.write_text(text)
        argv = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(self.conf)]
        self._daemon = daemon = Daemon.spawn("supervisord", argv, directory=self.folder)
        if not Deadline(_START_SECONDS).poll(lambda: self._answers() or not daemon.alive()) or not daemon.alive():
            raise OpsError(f"supervisord does not answer: {tail(daemon.log)}", where=str(self.folder))
        return daemon

    @property
    def identity(self) -> Identity:
        """The process, once it was started."""
        assert self._daemon is not None
        return self._daemon.identity

    def keeping(self, application: str) -> Keeping:
        """Give the manager of an application, as requests carry it."""
        return Keeping(SUPERVISOR, application, socket=self.socket, conf=str(self.conf))

    def client(self) -> Supervisord:
        """Give a connection to it."""
        return Supervisord.of(self.keeping("any"))

    def install(
        self, application: str, specs: Sequence[ProcessSpec], *, watchdog_seconds: float = 0.0
    ) -> Mapping[str, list[str]]:
        """Put the files of an application's processes in place, and update as `supervisorctl update` does.

        Parameters
        ----------
        watchdog_seconds : of processes that feed one; 0 for none.

        Returns
        -------
        The groups that were `added`, `changed` (ended and added anew) and `removed` (ended).
        """
        self.place(application, specs, watchdog_seconds=watchdog_seconds)
        return self.update()

    def place(self, application: str, specs: Sequence[ProcessSpec], *, watchdog_seconds: float = 0.0) -> None:
        """Put the files of an application's processes in place, and tell nobody."""
        for spec in specs:
            Path(spec.files.log).parent.mkdir(parents=True, exist_ok=True)
        for record in self.files(application, specs, watchdog_seconds=watchdog_seconds):
            path = Path(record.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(record.mode)
            path.write_text(record.text)

    def files(
        self, application: str, specs: Sequence[ProcessSpec], *, watchdog_seconds: float = 0.0, enabled: bool = False
    ) -> tuple[FileRecord, ...]:
        """Give the files of an application's processes.

        Parameters
        ----------
        enabled : start them with supervisord.
        """
        root = Path(specs[0].files.lock).parents[2]
        section = {
            "application": application,
            "deploy_to": str(root.parent),
            "command": list(specs[0].command),
            "agent_python": sys.executable,
            "manager": "supervisor",
            "supervisor": {"socket": self.socket, "conf_d": str(self.conf_d), "watchdog_seconds": watchdog_seconds},
            "stages": {"local": {"hosts": [{"host": "h1"}]}},
        }
        if watchdog_seconds:
            section["app"] = "any:app"
        settings = load(section)
        return supervisor_files(settings, settings.hosts[0], specs, user=user_name(), enabled=enabled)

    def update(self) -> Mapping[str, list[str]]:
        """Read the files anew and do what `supervisorctl update` does; gives the groups by what was done to them."""
        server = self.client()
        try:
            added, changed, removed = server.reread()
            for name in (*changed, *removed):
                server.remove_group(name, Deadline(_STOP_SECONDS))
            for name in (*added, *changed):
                server.add_group(name)
        finally:
            server.close()
        return {"added": added, "changed": changed, "removed": removed}

    def _answers(self) -> bool:
        server = self.client()
        try:
            server.programs()
        except OpsError:
            return False
        finally:
            server.close()
        return True
