"""What the kernel tells of connections: this host's addresses, and the remote ports that a process is connected to."""

from __future__ import annotations

import _socket  # `socket` itself makes enumerations at its import: 4 ms of each status
import fcntl
import os
import struct
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ops.core.records import dataclass

_SIOCGIFCONF = 0x8912  # netdevice(7)
_IFREQ_BYTES = 40  # struct ifreq on 64 bit: a name of 16 bytes, then a sockaddr
_MOST_ADDRESSES = 1024
_ESTABLISHED = "01"
_STAT_BYTES = 4096
_MOST_PROCESSES = 200  # of one process's tree


def addresses() -> tuple[str, ...]:
    """Give this host's addresses; none where the kernel does not tell.

    Those of bridges without a network card are left out, and link-local ones: other hosts may have the same.
    """
    try:
        found = {address for name, address in (*_version_4(), *_version_6()) if not _is_inner_bridge(name)}
    except OSError:
        return ()
    return tuple(sorted(found))


def remote_ports(pids: Iterable[int]) -> dict[int, tuple[int, ...] | None]:
    """Return the remote ports that each process and its children are connected to (TCP); None where that is hidden.

    A wrapper may have its consumer as a child, so all below it and all of its session count. The host's processes are
    read for that once, whoever needs it.
    """
    kin: _Kin | None = None
    found: dict[int, tuple[int, ...] | None] = {}
    for pid in pids:
        try:
            ports = _connected(pid)
            if not ports:
                kin = kin or _kin()
                for other in _tree(pid, kin):
                    with suppress(FileNotFoundError, ProcessLookupError):
                        ports |= _connected(other)
        except (OSError, ValueError):
            found[pid] = None
        else:
            found[pid] = tuple(sorted(ports))
    return found


def _version_4() -> Iterator[tuple[str, str]]:
    buffer = array("B", bytes(_MOST_ADDRESSES * _IFREQ_BYTES))
    one = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        answer = fcntl.ioctl(one.fileno(), _SIOCGIFCONF, struct.pack("iL", len(buffer), buffer.buffer_info()[0]))
    finally:
        one.close()
    told = buffer.tobytes()[: struct.unpack("iL", answer)[0]]
    for at in range(0, len(told), _IFREQ_BYTES):
        name = told[at : at + 16].partition(b"\0")[0].decode(errors="replace")
        yield name, _socket.inet_ntop(_socket.AF_INET, told[at + 20 : at + 24])


def _version_6() -> Iterator[tuple[str, str]]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except FileNotFoundError:  # the kernel has no IPv6
        return
    for line in lines:
        fields = line.split()
        if not fields[0].startswith("fe80"):
            yield fields[5], _socket.inet_ntop(_socket.AF_INET6, bytes.fromhex(fields[0]))


def _is_inner_bridge(name: str) -> bool:
    """Whether an interface is a bridge that leads to no network card."""
    ports = Path("/sys/class/net") / name.partition(":")[0] / "brif"
    return ports.is_dir() and not any((ports.parent.parent / one.name / "device").exists() for one in ports.iterdir())


def _connected(pid: int) -> set[int]:
    """Give the remote ports of one process's own connections.

    Raises
    ------
    OSError : it has ended, or is somebody else's.
    """
    sockets = set()
    for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
        with suppress(FileNotFoundError):
            sockets.add(os.readlink(f"/proc/{pid}/fd/{name}"))  # noqa: PTH115
    inodes = {one[8:-1] for one in sockets if one.startswith("socket:[")}
    found: set[int] = set()
    for table in ("tcp", "tcp6") if inodes else ():
        with suppress(FileNotFoundError), Path(f"/proc/{pid}/net/{table}").open() as lines:
            for line in lines:
                fields = line.split()
                if fields[3] == _ESTABLISHED and fields[9] in inodes:
                    found.add(int(fields[2].rpartition(":")[2], 16))
    return found


@dataclass(frozen=True)
class _Kin:
    """Which processes a host has below each parent, and in each session."""

    children: dict[int, list[int]]
    sessions: dict[int, list[int]]


def _kin() -> _Kin:
    kin = _Kin({}, {})
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                _, parent, _, session, _ = _stat(name).rpartition(b")")[2].split(maxsplit=4)
                kin.children.setdefault(int(parent), []).append(int(name))
                kin.sessions.setdefault(int(session), []).append(int(name))
    return kin


def _stat(pid: str) -> bytes:
    """Read /proc/PID/stat (proc(5)), which a host has hundreds of, without the machinery of files."""
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _STAT_BYTES)
    finally:
        os.close(descriptor)


def _tree(pid: int, kin: _Kin) -> list[int]:
    """Return the processes below one and those of its session, the nearest first."""
    found = [pid]
    for one in found:
        found += [child for child in kin.children.get(one, ()) if child not in found]
    everybody = dict.fromkeys((*found, *kin.sessions.get(pid, ())))
    return [one for one in everybody if one != pid][:_MOST_PROCESSES]
