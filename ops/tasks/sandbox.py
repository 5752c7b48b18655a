"""`inv sandbox.*`: embedded Kafka and a local SSH fleet to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.core.guarded import print_json
from ops.core.needs import require_linux
from ops.shell.door import command

if TYPE_CHECKING:
    from ops.sandbox.state import Status

_DIR = "the sandbox's folder"
_JSON = "print JSON"


@command(help={"hosts": "SSH hosts", "processes": "consumer processes a host", "dir": _DIR, "json": _JSON})
def up(_context: Context, hosts: int = 3, processes: int = 2, dir: str = ".sandbox", json: bool = False) -> None:
    """Start an embedded Kafka and local SSH hosts; write their fabric.yaml."""
    require_linux("sandbox.up")
    from ops.sandbox import sandbox

    found = sandbox.up(Path(dir), hosts, processes)
    if json:
        print_json(found.data(), indent=None)
        return
    print(
        f"{'up' if found.began else 'already up'}: Kafka {found.bootstrap}, {len(found.hosts)} hosts ({found.server})"
    )
    print(f"next: fab -f {_short(found.config)} karafka.start")


@command(help={"dir": _DIR, "json": _JSON})
def status(_context: Context, dir: str = ".sandbox", json: bool = False) -> int:
    """Show what of the sandbox is up; exit 3 where it is down, 1 where a part of it is."""
    require_linux("sandbox.status")
    from ops.sandbox import sandbox

    found = sandbox.status(Path(dir))
    if json:
        print_json(found.data(), indent=None)
    else:
        _show(found)
    return 0 if found.up else 1 if found.parts else 3


@command(help={"dir": _DIR})
def down(_context: Context, dir: str = ".sandbox") -> None:
    """End everything that runs in the sandbox, and remove its folder."""
    require_linux("sandbox.down")
    from ops.sandbox import sandbox

    print("down" if sandbox.down(Path(dir)) else f"no sandbox in {dir}")


@command(
    help={"dir": "a folder of its own for the sandbox", "picture": "also write what its restart did into this folder"}
)
def demo(_context: Context, dir: str = ".demo", picture: str = "") -> None:
    """Watch it all: Kafka, three hosts, six consumers, a restart under load, a kill -9; a minute."""
    require_linux("sandbox.demo")
    from ops.core.errors import UsageError
    from ops.sandbox.demo import Demo
    from ops.sandbox.needs import check
    from ops.sandbox.stage import Stage

    check()
    if picture and Path(picture).exists() and not Path(picture).is_dir():
        raise UsageError("a folder was expected", where=f"--picture {picture}")
    Demo(Path(dir), Stage(recording=bool(picture)), Path(picture) if picture else None).run()


def _show(found: Status) -> None:
    if not found.parts:
        print(f"down: no sandbox in {_short(str(found.directory))}")
        return
    for name, alive in found.parts.items():
        print(f"{name + ':':<10}{'up' if alive else 'DOWN'}")
    print(f"brokers:  {found.bootstrap}")
    print(f"settings: {_short(found.config)}")


def _short(path: str) -> str:
    """Give a path as it is typed from here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
