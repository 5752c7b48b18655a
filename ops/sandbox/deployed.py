"""An application on a systemd host, as a deploy and an install leave it, and its agent: for tests and benches."""

from __future__ import annotations

from pathlib import PurePosixPath

from ops.core.errors import OpsError
from ops.core.protocol import Event, ProcessReport, ProcessSpec, Request, Response, Verb, decode_line
from ops.core.settings import Settings
from ops.fleet.plan import agent_of, deploy_to, keeping_of, process_specs
from ops.render.units import systemd_files
from ops.sandbox.nspawn import USER, SystemdHost


class Deployed:
    """One application on one host.

    Parameters
    ----------
    host : the one of that name in the settings.
    settings : `manager` is systemd, `agent_python` leads to `ops.sandbox.nspawn.PYTHON`.
    """

    def __init__(self, host: SystemdHost, settings: Settings) -> None:
        self.host = host
        self.settings = settings
        self.kept = keeping_of(settings)
        self._at = next(one for one in settings.hosts if one.host == host.name)
        self.root = PurePosixPath(deploy_to(settings, self._at))
        self.specs = process_specs(settings, self._at)

    def release(self, name: str, files: dict[str, str] | None = None) -> None:
        """Make a release and point `current` to it."""
        release = self.root / "releases" / name
        shared = self.root / "shared"
        script = 'mkdir -p "$1" "$2/log" "$2/tmp/pids" "$2/tmp/slots" "$2/units" && ln -sfn "$1" "$3"'
        folder = str(self.root)
        self.host.run("install", "-d", "-o", USER, "-g", USER, folder)
        self.host.run("sh", "-c", script, "sh", str(release), str(shared), f"{folder}/current", user=USER)
        for path, text in (files or {}).items():
            self.host.write(str(release / path), text, user=USER)

    def install(self) -> None:
        """Put the units, their env files and what sudo allows in place, and let systemd read them."""
        for one in systemd_files(self.settings, self._at, self.specs, user=USER, home=f"/home/{USER}"):
            owned = one.path.startswith((str(self.root), "/home"))
            self.host.write(one.path, one.text, mode=one.mode, user=USER if owned else "root")
        self.host.run(*self.systemctl("daemon-reload"), user=USER if self.kept.scope == "user" else "root")

    def systemctl(self, *arguments: str) -> list[str]:
        """Give the argv of a systemctl that reaches the units; for whoever has them."""
        if self.kept.scope == "system":
            return ["systemctl", *arguments]
        from ops.sandbox.nspawn import UID

        return ["env", f"XDG_RUNTIME_DIR=/run/user/{UID}", "systemctl", "--user", *arguments]

    def unit(self, index: int = 0) -> str:
        """Give the unit of one of its processes."""
        return self.kept.unit(self.specs[index].name)

    def show(self, name: str, index: int = 0) -> str:
        """Give one property of a unit."""
        return self.host.run(*self.systemctl("show", "--value", f"--property={name}", self.unit(index))).stdout.strip()

    def journal(self, index: int = 0) -> str:
        """Give a unit's journal."""
        return self.host.run("journalctl", "--no-pager", "--output=cat", f"--unit={self.unit(index)}").stdout

    def ask(self, verb: Verb, *specs: ProcessSpec, user: str = "root", at_once: bool = True) -> Response:
        """Ask the host's agent; for all processes without specs."""
        request = Request(
            verb, self._at.host, specs or self.specs, at_once, shared=str(self.root / "shared"),
            keeping=self.kept,
        )  # fmt: skip
        return self.answer(tuple(agent_of(self.settings, self._at)), request, user)

    def answer(self, argv: tuple[str, ...], request: Request, user: str) -> Response:
        """Start an agent of the host, and give its response."""
        done = self.host.run(*argv, data=request.encode() + "\n", user=user, check=False)
        lines = [decode_line(line) for line in done.stdout.splitlines() if line]
        if not lines or isinstance(lines[-1], Event):
            raise OpsError(f"no answer: {done.stderr.strip()}", where=self.host.name)
        return lines[-1]

    def one(self, verb: Verb, index: int = 0, *, user: str = "root") -> ProcessReport:
        """Ask about one process."""
        response = self.ask(verb, self.specs[index], user=user)
        if response.error:
            raise OpsError(response.error, where=self.host.name)
        return response.processes[0]
