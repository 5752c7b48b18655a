"""Which member of a group is which foreign consumer: by what is known, never by a guess.

The brokers tell of a member its client id, its instance id and the address that its connection came from. Hosts tell
their addresses, and of each process its pid and whether it is connected to a broker at all. What these do not tell
apart stays together as a `Crowd`: it is known how many are there, and not who. A foreign command is taken for one
consumer of a group.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from ops.core.cluster import Member
from ops.core.crowd import Crowd
from ops.core.records import dataclass
from ops.core.standing import Process
from ops.core.states import GONE

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![0-9A-Za-z.])[0-9]{3,7}(?![0-9A-Za-z.])")
_RESERVED_PIDS = (
    300  # the kernel gives no lower one after its start: below it are counters (`consumer-1`) and containers
)
LINGER_SECONDS = 300.0  # how long the place of a member that did not leave may outlive it


@dataclass(frozen=True)
class Attribution:
    """What is known of foreign processes in a group.

    Attributes
    ----------
    present : the member of each process, by the process's name, where it is certain.
    crowds : what cannot be told apart.
    missing : processes that certainly are no members.
    left : members that are none of the processes.
    """

    present: dict[str, Member]
    crowds: tuple[Crowd, ...]
    missing: tuple[Process, ...]
    left: tuple[Member, ...]


def attribute(
    members: Sequence[Member],
    processes: Sequence[Process],
    ports: Collection[int] = (),
    old: Collection[str] = (),
    own_hosts: Collection[str] = (),
    group: str = "",
) -> Attribution:
    """Tell foreign processes and members of a group apart as far as what is known goes.

    Parameters
    ----------
    members : of which no process of this application tells that they are its own.
    processes : foreign ones that may be members, wherever they run and however they are.
    ports : that the brokers listen on; without any, each connection may be one to a broker.
    old : ids of members that were there before the processes that are `replaced` began.
    own_hosts : addresses of all members of the group.
    group : its name, of which client ids are often made.
    """
    present = _by_instance_id(members, processes, old)
    taken = {one.id for one in present.values()}
    rest = [one for one in members if one.id not in taken]
    waiting = [one for one in processes if one.name not in present]
    lines = _Lines(rest, waiting, processes, frozenset(ports), frozenset(old), own_hosts, group)
    present |= lines.settle()
    return lines.attribution(present)


def plain_address(text: str) -> str:
    """Return an address as hosts write it: Kafka begins it with a slash, and IPv6 may carry an IPv4 one or a zone.

    Brokers write all eight parts of an IPv6 address (Java's getHostAddress), hosts leave zeros out.
    """
    bare = text.lstrip("/").partition("%")[0].strip("[]").lower()
    if ":" not in bare:
        return bare
    from ipaddress import IPv6Address  # seldom needed: an agent's start is waited for

    try:
        address = IPv6Address(bare)
    except ValueError:
        return bare
    return str(address.ipv4_mapped or address)


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _by_instance_id(members: Sequence[Member], processes: Sequence[Process], old: Collection[str]) -> dict[str, Member]:
    """Find who uses the instance id that its command was given, as such or within its client id."""
    given = {one.given_id: one for one in processes if one.given_id}
    found: dict[str, list[Member]] = {}
    for member in members:
        own = member.instance_id if member.instance_id in given else None
        own = own or max((one for one in given if _carries(member.client_id, one)), key=len, default=None)
        if own is not None and not (given[own].replaced and member.id in old):
            found.setdefault(given[own].name, []).append(member)
    return {name: some[0] for name, some in found.items() if len(some) == 1}


def _numbers_in(text: str) -> set[int]:
    return {int(one) for one in _NUMBER.findall(_UUID.sub("", text))}


def _carries(text: str, word: str) -> bool:
    return word in text and re.search(rf"(?<![0-9A-Za-z]){re.escape(word)}(?![0-9A-Za-z])", text) is not None


class _Lines:
    """Which process each member may be, narrowed down until nothing more is certain."""

    def __init__(
        self,
        members: Sequence[Member],
        waiting: Sequence[Process],
        everybody: Sequence[Process],
        ports: frozenset[int],
        old: frozenset[str],
        own_hosts: Collection[str],
        group: str,
    ) -> None:
        self._members = list(members)
        self._living = [one for one in waiting if one.state not in GONE]
        self._ended = [one for one in waiting if one.state in GONE and not (one.ended_seconds or 0) > LINGER_SECONDS]
        self._hosts = tuple(dict.fromkeys(one.host for one in everybody))
        self._addresses = {one.host: one.addresses for one in everybody}
        self._seen = {
            host
            for address in map(plain_address, own_hosts)
            for host in self._at(address)
            if not _is_loopback(address) and len(self._at(address)) == 1
        }
        self._by_host: dict[str, list[Process]] = {}
        for one in self._living:
            self._by_host.setdefault(one.host, []).append(one)
        self._numbers = self._numbers_of_one(ports, (group, *self._hosts))
        self._said = self._hosts_in_client_ids()
        self._may: dict[str, set[str]] = {}
        self._left_over: dict[str, set[str]] = {}
        self._far: set[str] = set()  # whose address proves nothing
        for member in self._members:
            self._may[member.id] = self._narrow(member, old)
        silent = self._without_connection(ports)
        for may in self._may.values():
            may -= silent

    def _at(self, address: str) -> list[str]:
        return [host for host in self._hosts if address in (self._addresses[host] or ())]

    def _narrow(self, member: Member, old: frozenset[str]) -> set[str]:
        hosts, far = self._places(member)
        said = self._said.get(member.id, frozenset()) & hosts
        if said:
            hosts, far = set(said), False
        here = (one for host in hosts for one in self._by_host.get(host, ()))
        may = [one for one in here if not (one.replaced and member.id in old)]
        by_pid = [one for one in may if one.pid in self._numbers[member.id]]
        if len(by_pid) == 1:
            self._left_over[member.id] = set()
            return {by_pid[0].name}
        self._left_over[member.id] = {one.name for one in self._ended if one.host in hosts}
        if far:
            self._far.add(member.id)
        return {one.name for one in may}

    def _numbers_of_one(self, ports: frozenset[int], words: Sequence[str]) -> dict[str, set[int]]:
        """Return the numbers in each member's client id that may be a pid.

        One that several members have is a year or a port, as is one that stands in the names of all this.
        """
        found = {one.id: _numbers_in(one.client_id) for one in self._members}
        had = Counter(number for numbers in found.values() for number in numbers)
        others = ports.union(*map(_numbers_in, words))
        return {
            id: {one for one in numbers if had[one] == 1 and one > _RESERVED_PIDS and one not in others}
            for id, numbers in found.items()
        }

    def _places(self, member: Member) -> tuple[set[str], bool]:
        """Give the hosts that a member may be on, and whether its address leaves that open.

        An address that no host has, as behind NAT or in a container, may be that of a host whose address nobody knows,
        or none of whose consumers is seen under its own: all of a host's connections to one broker go the same way.
        """
        address = plain_address(member.host)
        if not _is_loopback(address) and self._at(address):
            return set(self._at(address)), False
        hidden = {one for one in self._hosts if self._addresses[one] is None or one not in self._seen}
        return hidden, not (_is_loopback(address) and len(self._hosts) == 1)

    def _hosts_in_client_ids(self) -> dict[str, frozenset[str]]:
        """Give the hosts whose name a member's client id carries, where no more carry it than they have processes."""
        names: dict[str, set[str]] = {}
        for host in self._hosts:
            for name in {host, host if host[:1].isdigit() else host.partition(".")[0]}:
                names.setdefault(name, set()).add(host)
        carried = {
            one.id: max((n for n in names if _carries(one.client_id, n)), key=len, default="") for one in self._members
        }
        processes = Counter(one.host for one in (*self._living, *self._ended))
        told = Counter(carried.values())
        fitting = {name for name in told if name and told[name] <= sum(processes[host] for host in names[name])}
        return {id: frozenset(names[name]) for id, name in carried.items() if name in fitting}

    def _without_connection(self, ports: frozenset[int]) -> set[str]:
        """Give the processes that are connected to no broker, on hosts where others are."""
        found: set[str] = set()
        for host in self._hosts:
            mine = self._by_host.get(host, [])
            told = {one.name: set(one.ports) for one in mine if one.ports is not None}
            silent = {name for name, some in told.items() if not (some & ports if ports else some)}
            names = {one.name for one in mine}
            here = sum(not names.isdisjoint(may) for may in self._may.values())
            if here <= len(mine) - len(silent):  # else the connections tell nothing: a proxy, a container
                found |= silent
        return found

    def settle(self) -> dict[str, Member]:
        """Give what is certain: a member that only one process can be, and no other member besides."""
        found: dict[str, Member] = {}
        while True:
            sole = Counter(next(iter(may)) for may in self._may.values() if len(may) == 1)
            for member in self._members:
                may = self._may[member.id]
                certain = member.id not in self._far and not self._left_over[member.id]
                if len(may) == 1 and certain and sole[next(iter(may))] == 1:
                    break
            else:
                return found
            name = next(iter(may))
            found[name] = member
            self._members.remove(member)
            for others in self._may.values():
                others.discard(name)

    def attribution(self, present: dict[str, Member]) -> Attribution:
        """Put together what is certain, and the crowds that are left."""
        living = {one.name: one for one in self._living if one.name not in present}
        crowds, left = [], []
        members = {one.id: one for one in self._members}
        missing = dict(living)
        order = {one.id: at for at, one in enumerate(self._members)}
        while members:
            _, first = members.popitem()
            names, some = set(self._may[first.id]), [first]
            while joined := [one for one in members.values() if self._may[one.id] & names]:
                for one in joined:
                    names |= self._may[one.id]
                    some.append(members.pop(one.id))
            ended = {name for one in some for name in self._left_over[one.id]}
            if not names and not ended:
                left += some
                continue
            paired = self._pairs(some)
            crowds.append(
                Crowd(
                    tuple(one for name, one in living.items() if name in names),
                    tuple(sorted(some, key=lambda one: order[one.id])),
                    tuple(one for one in self._ended if one.name in ended),
                    len(names) - paired,
                    len(some) - paired,
                )
            )
            for name in names:
                missing.pop(name, None)
        left.sort(key=lambda one: order[one.id])
        return Attribution(present, tuple(crowds), tuple(missing.values()), tuple(left))

    def _pairs(self, members: Sequence[Member]) -> int:
        """Count how many members can be a process each (augmenting paths)."""
        owner: dict[str, Member] = {}

        def place(member: Member, tried: set[str]) -> bool:
            may = self._may[member.id]
            for name in may - owner.keys() or may - tried:
                tried.add(name)
                if name not in owner or place(owner[name], tried):
                    owner[name] = member
                    return True
            return False

        return sum(place(one, set()) for one in members)
