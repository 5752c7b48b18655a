"""The sandbox as a whole: a broker, hosts and remote systems in one folder, up and down again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.errors import OpsError, UsageError
from ops.sandbox.census import end_all
from ops.sandbox.daemon import Daemon, tail
from ops.sandbox.hosts import LocalFleet, ServerKind
from ops.sandbox.interrupts import signals_interrupt, uninterrupted
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.layout import application_env, make_release, write_env, write_settings
from ops.sandbox.lockfile import locked_directory
from ops.sandbox.needs import check
from ops.sandbox.state import Status, read_state, read_status, state_file, write_state

CONSUMED = (
    *("repositories_created", "repositories_deleted", "repositories_updated", "sources_refresh"),
    *("users_create", "registered_topics"),
)
PRODUCED = (
    *("sources_created", "sources_deleted", "sources_updated", "sources_refreshed", "sources_disconnected"),
    *("users_created", "users_premium_created", "new_topics"),
)
DEAD_LETTERS = ("sources.dead", "users.dead")
_PARTITIONS = 12
_FEW = 3  # for what nobody shares out: each partition costs the broker some 10 ms of CPU
_LOCK_SECONDS = 60.0
_REMOTE_SECONDS = 15.0
_DRAIN_SECONDS = 15.0
_END_SECONDS = 10.0


def up(
    directory: Path,
    hosts: int = 3,
    processes: int = 2,
    server: ServerKind | None = None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> Status:
    """Start a sandbox; one that is up already is left as it is, a broken one is ended and made anew.

    An error, Ctrl-C or TERM on the way ends all that was started.

    Parameters
    ----------
    directory : its folder; empty, missing, or a sandbox's.
    hosts : how many SSH hosts.
    processes : consumer processes a host, as fabric.yaml will say.
    server : which SSH server; None takes OpenSSH's where it is installed.
    say : is told what is being done.

    Raises
    ------
    OpsError : a part doesn't come up.
    MissingExtraError : modules are not installed.
    UsageError : the folder is something else.
    LockHeldError : another command is at it.
    """
    if processes < 1:
        raise UsageError(f"{processes} processes", hint="at least one is needed on each host")
    check(server)
    directory = directory.absolute()
    fleet = LocalFleet(directory, hosts, server)
    with signals_interrupt(), locked_directory(directory, Deadline(_LOCK_SECONDS)):
        if any(directory.iterdir()):
            if not state_file(directory).exists():
                raise UsageError("not empty, and no sandbox", where=str(directory), hint="--dir names another folder")
            current = read_status(directory)
            if current.up:
                return current
            say("a broken sandbox is here: ending what is left of it")
            _clear(directory)
        write_state(directory, {})  # from now on it is a sandbox's, and `down` clears it
        (directory / ".gitignore").write_text("*\n")  # among it is the key that its hosts let in
        try:
            _start(directory, fleet, processes, say)
        except BaseException:
            with uninterrupted():
                _clear(directory)
                directory.rmdir()
            raise
        return read_status(directory, began=True)


def status(directory: Path) -> Status:
    """Tell how a sandbox is; a missing one is down."""
    return read_status(directory.absolute())


def down(directory: Path) -> bool:
    """End a sandbox with all that was started on its hosts, and remove its folder.

    Consumers are asked first and may drain, as long as their broker is there.

    Returns
    -------
    False where there was none.

    Raises
    ------
    OpsError : a process can't be ended.
    LockHeldError : another command is at it.
    """
    directory = directory.absolute()
    if not directory.is_dir():
        return False
    with locked_directory(directory, Deadline(_LOCK_SECONDS)):
        if not state_file(directory).exists():
            return False
        fleet = read_state(directory).get("fleet")
        if fleet:
            LocalFleet.load(fleet).stop()  # so that nobody starts more
        end_all(directory / "hosts", _DRAIN_SECONDS)
        _clear(directory)
        directory.rmdir()
    return True


def _start(directory: Path, fleet: LocalFleet, processes: int, say: Callable[[str], None]) -> None:
    """Start the parts and write down where they are."""
    kafka = EmbeddedKafka(directory / "kafka")
    say("starting Apache Kafka")
    kafka.start()
    say(f"  {kafka.bootstrap}")
    count = max(_PARTITIONS, len(fleet.hosts) * processes)
    kafka.create_topics(
        {**dict.fromkeys(CONSUMED, count), **dict.fromkeys(PRODUCED, _FEW), **dict.fromkeys(DEAD_LETTERS, 1)}
    )
    say(f"starting the hosts ({fleet.server})")
    fleet.start()
    for host in fleet.hosts:
        make_release(host.files, directory / "fabric.yaml")
        say(f"  {host.name} {host.files.address}:{host.files.port}")
    remote, url = _start_remote(directory / "remote")
    env = application_env(directory, kafka.bootstrap, url)
    write_settings(directory / "fabric.yaml", fleet, env, processes)
    write_env(directory / "env", env)
    write_state(
        directory,
        {
            "kafka": kafka.record(),
            "fleet": fleet.record(),
            "remote": {"daemon": remote.record(), "url": url},
            "env": env,
        },
    )


def _start_remote(directory: Path) -> tuple[Daemon, str]:
    """Start the remote systems; gives their process and URL."""
    daemon = Daemon.spawn("remote", [sys.executable, "-m", "ops.sandbox.remote"], directory=directory)
    url = Deadline(_REMOTE_SECONDS).poll(lambda: tail(daemon.log, 1) or not daemon.alive())
    if not daemon.alive() or not isinstance(url, str) or not url.startswith("http"):
        raise OpsError(f"the remote systems did not start:\n{tail(daemon.log)}", where=str(daemon.log))
    return daemon, url.strip()


def _clear(directory: Path) -> None:
    """End every process of the sandbox and remove its files, its state last."""
    end_all(directory / "hosts", _END_SECONDS)
    end_all(directory, 0)  # the broker's data goes with it: no orderly end
    for path in directory.iterdir():
        if path != state_file(directory):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    state_file(directory).unlink()
