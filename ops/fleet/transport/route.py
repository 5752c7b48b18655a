"""The hosts that a connection goes through, as ssh's ProxyJump has it."""

from __future__ import annotations

import re

from ops.core.errors import UnreachableError
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.client_configs import ClientConfigs, circle_hint

_MOST_HOPS = 16
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>.+)@)?(?:\[(?P<bracketed>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]+))?/?"
)

Route = tuple[ClientConfig, ...]
"""The hosts of a connection: the one that is connected to first stands first, the target last."""


def route_to(configs: ClientConfigs, name: str, user: str | None, port: int | None) -> Route:
    """Give the way to a host.

    Raises
    ------
    UnreachableError : the jump hosts are in a circle, or their names cannot be read.
    """
    return _hops(configs, configs.ask(name, user, port), None, ())


def _hops(configs: ClientConfigs, config: ClientConfig, jumps: tuple[str, ...] | None, seen: Route) -> Route:
    """Give the way to a host.

    Parameters
    ----------
    jumps : the jump hosts; None for those of its own settings. Where a host has several, each of them but the first is
        reached through the one before it, whatever its own settings say.
    seen : the hosts behind it.
    """
    if any((one.host, one.port, one.user) == (config.host, config.port, config.user) for one in seen):
        circle = " -> ".join(one.name for one in (*seen, config))
        raise UnreachableError(
            f"its jump hosts are in a circle: {circle}",
            where=seen[0].name,
            hint=circle_hint(config.name),
        )
    if len(seen) >= _MOST_HOPS:
        raise UnreachableError(f"it is behind more than {_MOST_HOPS} jump hosts", where=seen[0].name)
    if jumps is None:
        jumps = tuple(one.strip() for one in config.expand(config.text("proxyjump")).split(",") if one.strip())
    if not jumps:
        return (config,)
    *before, last = jumps
    found = _JUMP.fullmatch(last)
    if found is None:
        raise UnreachableError(f"its jump host cannot be read: {last!r}", where=config.name, hint="[user@]host[:port]")
    port = int(found["port"]) if found["port"] else None
    through = configs.ask(found["bracketed"] or found["host"], found["user"], port)
    return (*_hops(configs, through, tuple(before) or None, (*seen, config)), config)
