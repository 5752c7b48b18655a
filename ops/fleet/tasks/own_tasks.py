"""`on_hosts`: a user's own tasks reach the fleet's hosts as ours do, as Capistrano's `on roles(:x)` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from ops.core.errors import OpsError
from ops.core.records import dataclass
from ops.fleet.tasks.executing import SECONDS
from ops.shell.door import as_exit

if TYPE_CHECKING:
    from ops.core.settings import Settings
    from ops.fleet.inventory import Place
    from ops.fleet.remote_commands import HostResult

Names = str | Sequence[str] | None


@dataclass(frozen=True)
class FleetHost:
    """One host of the stage.

    Attributes
    ----------
    name : its key in the settings.
    address : where it is reached.
    roles : its own.
    deploy_to : the application's folder there.
    """

    name: str
    address: str
    roles: tuple[str, ...]
    deploy_to: str
    _hosts: FleetHosts

    def run(self, *argv: str, timeout_seconds: float = SECONDS, warn: bool = False, hide: bool = False) -> HostResult:
        """Run a command on this host alone; see `FleetHosts.run`."""
        (result,) = self._hosts.only(self.name).run(*argv, timeout_seconds=timeout_seconds, warn=warn, hide=hide)
        return result


class FleetHosts:
    """Hosts of a stage: to be gone through one by one, or to run a command on side by side."""

    def __init__(self, context: Context, settings: Settings, places: tuple[Place, ...]) -> None:
        self._context = context
        self._settings = settings
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[FleetHost]:
        from ops.fleet.plan import deploy_to

        for one in self._places:
            host = one.host
            roles = tuple(self._settings.roles_of(host))
            yield FleetHost(host.host, host.address or host.host, roles, deploy_to(self._settings, host), self)

    def only(self, name: str) -> FleetHosts:
        """Return the one host of this name."""
        return FleetHosts(self._context, self._settings, tuple(one for one in self._places if one.host.host == name))

    def run(
        self, *argv: str, timeout_seconds: float = SECONDS, warn: bool = False, hide: bool = False
    ) -> tuple[HostResult, ...]:
        """Run a command on all of them, side by side, as `fab karafka.exec` does; return what came of it on each.

        Parameters
        ----------
        argv : word for word; no shell reads it.
        timeout_seconds : after which it is ended.
        warn : whether a host where it failed, or that is silent, is a result like any other.
        hide : whether the output is not shown, only kept.

        Raises
        ------
        Exit : it did not exit with 0 everywhere; as `fab karafka.exec` exits: 13, 1 or 4. Of settings and usage: 2.
        """
        from ops.core.guarded import guarded_output
        from ops.fleet.remote_commands import exit_code_of
        from ops.fleet.tasks.executing import run_on

        with _exits(), guarded_output():
            report, results = run_on(
                self._context, self._settings, self._places, argv, timeout_seconds, quiet=hide
            )  # fmt: skip
        if report.interrupted:
            raise KeyboardInterrupt
        code = int(exit_code_of(report, results))
        if code and not warn:
            raise Exit(code=code)
        return results


def on_hosts(context: Context, *, hosts: Names = None, roles: Names = None) -> FleetHosts:
    """Return hosts of the stage that the command line names, in the settings' order.

    Parameters
    ----------
    context : of the task that calls this.
    hosts, roles : their names, in a list or separated by commas; None for all.

    Raises
    ------
    Exit : the settings are wrong, or have no such host or role; code 2.
    """
    from ops.core.guarded import guarded_output
    from ops.fleet.tasks.project import load_places, load_settings

    with _exits(), guarded_output():
        settings = load_settings(context)
        return FleetHosts(context, settings, load_places(context, settings, _text(hosts), _text(roles), None))


def _text(names: Names) -> str | None:
    return names if names is None or isinstance(names, str) else ",".join(names)


@contextmanager
def _exits() -> Iterator[None]:
    """End the command by an error's text and exit code: a user's task has no door of ours."""
    try:
        yield
    except OpsError as error:
        raise as_exit(error) from None
