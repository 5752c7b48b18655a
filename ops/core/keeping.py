"""Who keeps the processes of a host, and by which names: units of systemd, programs of supervisor, or pidfiles."""

from __future__ import annotations

from ops.core.records import dataclass

PIDFILE, SYSTEMD, SUPERVISOR = "pidfile", "systemd", "supervisor"
KINDS = (PIDFILE, SYSTEMD, SUPERVISOR)
SCOPES = ("system", "user")


@dataclass(frozen=True)
class Keeping:
    """The manager of an application's processes on a host, as every request carries it.

    The names carry the application, so that several of them live on a host side by side. Between application and
    process stands what neither may have in it (`@`): else `a` with a role `b-karafka`, and `a-b` with `karafka`, shared
    names.

    Attributes
    ----------
    kind : `pidfile`, `systemd` or `supervisor`.
    application : whose processes; empty only for pidfiles.
    scope : of systemd's units: `system`, or `user` (`systemctl --user`, with linger).
    sudo : whether systemctl is called by `sudo -n`.
    socket : of supervisord's XML-RPC server, an absolute path.
    conf : supervisord's own conf file; empty for where it is looked for by itself.
    credentials : a file with username and password of the socket; empty for those in `conf`.
    """

    kind: str = PIDFILE
    application: str = ""
    scope: str = "system"
    sudo: bool = False
    socket: str = ""
    conf: str = ""
    credentials: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.scope not in SCOPES:
            raise ValueError(f"no manager is {self.kind!r} of scope {self.scope!r}")
        if self.kind != PIDFILE and not self.application:
            raise ValueError(f"{self.kind} needs the application's name")

    @property
    def template(self) -> str:
        """The template unit: `karafka-sources@.service`."""
        return f"karafka-{self.application}@.service"

    @property
    def target(self) -> str:
        """The unit that all units of the application are part of: `karafka-sources.target`."""
        return f"karafka-{self.application}.target"

    @property
    def group(self) -> str:
        """The conf file of the application's programs of supervisor, without its suffix: `karafka-sources`.

        The suffix is what supervisord includes: `.conf`, `.ini`. It is no group of supervisor's: each program is one of
        its own, so that a change of one touches no other.
        """
        return f"karafka-{self.application}"

    def is_conf(self, path: str) -> bool:
        """Whether a path is that of the conf file, whatever its suffix."""
        name = path.rpartition("/")[2]
        return name.rpartition(".")[0] == self.group and self.kind == SUPERVISOR

    @property
    def rule(self) -> str:
        """The name of its rules for sudo and logrotate, `karafka-sources`.

        sudo reads no file that has a dot in its name, and logrotate none that ends as an old copy does (`.bak`). What
        stands for a dot here is in no application's name.
        """
        return f"karafka-{self.application}".replace(".", "+")

    def unit(self, process: str) -> str:
        """Give a process's unit: `karafka-sources@karafka-0.service`."""
        return f"karafka-{self.application}@{process}.service"

    def program(self, process: str) -> str:
        """Give a process's program of supervisor, and its group: `karafka-sources@karafka-0`."""
        return f"karafka-{self.application}@{process}"
