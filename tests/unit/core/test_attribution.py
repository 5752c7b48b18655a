"""Which foreign consumer is which member: only what is known, and what is not known is never guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.attribution import plain_address
from ops.core.cluster import CLASSIC, Group, Member, Partition, Progress
from ops.core.gate import Gate, Terms
from ops.core.membership import Muster, muster
from ops.core.observation import observe
from ops.core.preflight import preflight
from ops.core.protocol import ProcessReport
from ops.core.sight import HostReport, Observation, Zombie
from ops.core.standing import Process
from ops.core.states import State
from ops.core.verdict import Cause, Verdict

PORTS = (9092,)


def consumer(name: str, **facts: Any) -> Process:
    """Give a foreign process of a host that tells its addresses: web1 has 10.0.0.1."""
    host = name.split()[0]
    given = {"addresses": (f"10.0.0.{host[-1]}", "127.0.0.1"), "ports": PORTS, "pid": 4000 + hash(name) % 1000}
    return Process(name, None, ("g",), foreign=True, **{**given, "given_id": f"app.{name.replace(' ', '.')}", **facts})


def member(id: str, address: str, client_id: str = "consumer", instance: str | None = None) -> Member:
    return Member(id, instance, client_id, f"/{address}", ("t",), (Partition("t", int(id.strip("m") or 0)),))


def group(*members: Member, state: str = "Stable") -> Group:
    progress = tuple(Progress(own, 5, 5) for one in members for own in one.partitions)
    return Group("g", CLASSIC, state, members=members, progress=progress, ports=PORTS)


def told(found: Muster) -> tuple[dict[str, str], list[str], list[tuple[int, int]]]:
    """Give what is certain, who is missing, and what crowds lack and have too many."""
    present = {name: one.id for name, one in found.present.items()}
    return present, [one.name for one in found.missing], [(one.absent, one.surplus) for one in found.crowds]


def test_the_only_process_at_an_address_is_the_member_that_comes_from_there() -> None:
    # Given a process on each of two hosts, and the second one's member alone
    found = muster(group(member("m2", "10.0.0.2")), [consumer("web1 a-0"), consumer("web2 a-0")])
    # Then it is the second one's, and the first one is missing
    assert told(found) == ({"web2 a-0": "m2"}, ["web1 a-0"], [])


def test_of_two_processes_of_a_host_neither_is_blamed_for_the_member_that_is_missing() -> None:
    # Given two hosts with two processes each, of which one of the first host is not in the group
    processes = [consumer(f"web{host} {slot}") for host in (1, 2) for slot in ("small-0", "big-0")]
    seen = group(member("m1", "10.0.0.1"), member("m2", "10.0.0.2"), member("m3", "10.0.0.2"))
    found = muster(seen, processes)
    # Then nobody is named; it is known how many of the first host are there, and that all of the other are
    assert told(found)[:2] == ({}, [])
    assert sorted((one.processes[0].host, one.absent) for one in found.crowds) == [("web1", 1), ("web2", 0)]
    crowd = found.crowd_of("web1 big-0")
    assert crowd is not None
    assert crowd.absent_text(1) == "1 of 2 processes on web1 is not a member (web1 small-0, web1 big-0)"


def test_who_is_connected_to_no_broker_is_the_one_that_is_missing() -> None:
    # Given two processes of a host, of which one has no connection to a broker, and one member
    silent = consumer("web1 a-0", ports=(443,))
    seen = group(member("m1", "10.0.0.1"))
    # Then both are told apart
    assert told(muster(seen, [silent, consumer("web1 b-0")])) == ({"web1 b-0": "m1"}, ["web1 a-0"], [])
    # And where the connections contradict the group (a proxy, a container) they tell nothing
    both = [silent, consumer("web1 b-0", ports=())]
    assert told(muster(seen, both)) == ({}, [], [(1, 0)])
    # And whose connections nobody may see may be any
    assert told(muster(seen, [replace(silent, ports=None), consumer("web1 b-0")])) == ({}, [], [(1, 0)])


@pytest.mark.parametrize(
    ("client_id", "instance", "certain"),
    [
        ("consumer", "app.web1.b-0", True),  # its group.instance.id
        ("app.web1.b-0-7f3a", None, True),  # within its client id
        ("consumer-4711", None, True),  # its pid
        ("consumer-web1-4711-1", None, True),
        ("consumer-web1", None, False),  # the host is known anyway
        ("consumer-47110", None, False),
        ("rdkafka-4.711", None, False),
        ("consumer-6f1c4711-4711-4711-8711-471147114711", None, False),  # a UUID
        ("consumer", "b", False),  # an instance id of its own
    ],
)
def test_what_a_client_says_of_itself_tells_it_apart(client_id: str, instance: str | None, certain: bool) -> None:
    # Given two processes of a host, and one member that says something of itself
    processes = [consumer("web1 a-0", pid=4710), consumer("web1 b-0", pid=4711)]
    found = muster(group(member("m1", "10.0.0.1", client_id, instance)), processes)
    # Then it is that process's, or nobody's in particular
    assert told(found) == (({"web1 b-0": "m1"}, ["web1 a-0"], []) if certain else ({}, [], [(1, 0)]))


def test_a_client_id_that_several_have_tells_nothing_of_a_pid() -> None:
    # Given a number that all members' client ids carry, and a process whose pid it happens to be
    processes = [consumer("web1 a-0", pid=2024), consumer("web1 b-0", pid=2025)]
    seen = group(*(member(f"m{n}", "10.0.0.1", "billing-2024") for n in (1, 2)))
    assert told(muster(seen, processes)) == ({}, [], [(0, 0)])


def test_a_number_that_several_members_carry_is_no_pid() -> None:
    # Given client ids made of the group's name, in which a number is that happens to be a process's pid
    processes = [consumer("web1 a-0", pid=2024), consumer("web1 b-0", pid=2025)]
    both = group(*(member(f"m{n}", "10.0.0.1", f"consumer-orders-2024-{n}") for n in (1, 2)))
    # Then nobody is missing, and nobody is there twice
    assert told(muster(both, processes)) == ({}, [], [(0, 0)])
    # And nobody is named by a number of the group's, of a host's, or of a broker's port
    for number, own in ((2024, {"name": "orders-2024"}), (9092, {}), (4040, {})):
        hosts = [replace(consumer("web1 a-0", pid=number), name="web-4040 a-0"), consumer("web1 b-0", pid=77777)]
        hosts[1] = replace(hosts[1], name="web-4040 b-0")
        one = replace(group(member("m1", "10.0.0.1", f"consumer-{number}")), **own)
        assert told(muster(one, hosts)) == ({}, [], [(1, 0)]), number


@pytest.mark.parametrize(
    "seen", ["2001:db8:0:0:0:0:0:1", "2001:DB8::1", "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1%eth0"]
)
def test_an_address_is_the_same_however_it_is_written(seen: str) -> None:
    # Given hosts with IPv6, and a member as a broker tells it, all zeros written
    processes = [consumer(f"web{n} a-0", addresses=(f"2001:db8::{n}",)) for n in (1, 2)]
    # Then it is known whose it is
    assert told(muster(group(member("m1", seen)), processes)) == ({"web1 a-0": "m1"}, ["web2 a-0"], [])
    # And so is an IPv4 address within one
    for mapped in ("::ffff:10.0.0.1", "0:0:0:0:0:ffff:a00:1"):
        assert plain_address(f"/{mapped}") == "10.0.0.1"


def test_behind_one_address_members_are_counted_and_nobody_is_named() -> None:
    # Given three hosts behind one address that none of them has, a process each
    processes = [consumer(f"web{n} a-0") for n in (1, 2, 3)]
    seen = group(member("m1", "192.0.2.7"), member("m2", "192.0.2.7"))
    # Then two of the three are there
    assert told(muster(seen, processes)) == ({}, [], [(1, 0)])
    # And a single one is not taken for the stranger's it may be
    assert told(muster(group(member("m1", "192.0.2.7")), processes[:1])) == ({}, [], [(0, 0)])
    # And names in client ids tell the hosts apart, unless more carry one than the host has processes
    named = group(member("m1", "192.0.2.7", "web1-a"), member("m2", "192.0.2.7", "web3-a"))
    assert told(muster(named, processes)) == ({"web1 a-0": "m1", "web3 a-0": "m2"}, ["web2 a-0"], [])
    copied = group(member("m1", "192.0.2.7", "web1-a"), member("m2", "192.0.2.7", "web1-a"))
    assert told(muster(copied, processes)) == ({}, [], [(1, 0)])


def test_a_member_at_nobodys_address_is_a_stranger_where_all_hosts_are_seen_under_their_own() -> None:
    # Given a host whose member is seen under its own address, and one at another
    seen = group(member("m1", "10.0.0.1"), member("m9", "198.51.100.9"))
    found = muster(seen, [consumer("web1 a-0"), consumer("web1 b-0")])
    # Then the other one is nobody's, though a process is missing
    assert told(found) == ({}, [], [(1, 0)])
    assert [one.id for one in found.strangers] == ["m9"]


def test_an_address_is_read_as_hosts_write_it() -> None:
    assert plain_address("/10.0.0.1") == plain_address("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain_address("/FE80::1%eth0") == "fe80::1"


def test_a_member_that_was_there_before_a_process_began_is_not_that_process() -> None:
    # Given a host whose process was replaced, and a member that was there before
    terms = Terms((consumer("web1 a-0", replaced=True),), before=(group(member("m1", "10.0.0.1")),))
    gate = Gate(terms)
    # Then the gate does not take it for the new one's
    assert gate.see([group(member("m1", "10.0.0.1"))], 0.0).causes == {Cause.MISSING, Cause.STRANGER}
    assert gate.see([group(member("m2", "10.0.0.1"))], 1.0).verdict is Verdict.PASSED


def test_gates_count_the_members_of_a_host_that_cannot_be_told_apart() -> None:
    # Given two foreign processes on a host
    terms = Terms((consumer("web1 a-0"), consumer("web1 b-0")))
    # Then the gate passes with two members from there
    gate = Gate(terms)
    both = group(member("m1", "10.0.0.1"), member("m2", "10.0.0.1"))
    assert [gate.see([both], at).verdict for at in (0.0, 1.0)] == [Verdict.WAITING, Verdict.PASSED]
    # And with one it says how many are missing, of no process in particular
    (reason,) = gate.see([group(member("m1", "10.0.0.1"))], 2.0).reasons
    assert (reason.cause, reason.subject) == (Cause.MISSING, "")
    assert "1 of 2 processes on web1 is not a member" in reason.text
    # And with three that one is a stranger
    three = group(*(member(f"m{n}", "10.0.0.1") for n in (1, 2, 3)))
    assert gate.see([three], 3.0).causes == {Cause.STRANGER}


def test_what_a_dead_process_left_is_no_stranger_to_preflight_and_gate() -> None:
    # Given a host with a process that runs and one that was killed, whose member is still there
    dead = consumer("web1 b-0", state=State.DEAD, pid=None, ports=None)
    terms = Terms((consumer("web1 a-0"),), ended=(dead,))
    left = group(member("m1", "10.0.0.1"), member("m2", "10.0.0.1"))
    # Then neither the preflight nor the gate calls it one
    assert preflight(terms, [left]).verdict is Verdict.PASSED
    gate = Gate(terms)
    assert [gate.see([left], at).verdict for at in (0.0, 1.0)] == [Verdict.WAITING, Verdict.PASSED]
    # And one more is a stranger
    more = group(*(member(f"m{n}", "10.0.0.1") for n in (1, 2, 3)))
    assert preflight(terms, [more]).causes == {Cause.STRANGER}
    # And once it runs again its own member is waited for
    again = (*terms.processes, replace(dead, state=State.RUNNING, pid=4999, ports=PORTS, replaced=True))
    before = replace(terms, before=(group(member("m1", "10.0.0.1")),))
    alone = Gate(before).see([group(member("m1", "10.0.0.1"))], 0.0, again)
    assert alone.causes == {Cause.MISSING}


def hosts(*slots: str, ages: tuple[float, ...] = (), states: tuple[State, ...] = (), **facts: Any) -> HostReport:
    reports = tuple(
        ProcessReport(
            slot, states[at] if states else State.RUNNING, 4000 + at, uptime_seconds=ages[at] if ages else 60.0,
            ports=PORTS, **facts,
        )
        for at, slot in enumerate(slots)
    )  # fmt: skip
    return HostReport(
        "web1", reports, dict.fromkeys(slots), dict.fromkeys(slots, ("g",)), addresses=("10.0.0.1",)
    )  # fmt: skip


def remarks(seen: Observation) -> list[tuple[Zombie, str]]:
    return [(one.zombie, one.text) for one in seen.remarks]


def test_a_status_blames_the_group_for_a_member_that_is_missing() -> None:
    # Given three processes that nobody can tell apart, and two members
    two = group(member("m1", "10.0.0.1"), member("m2", "10.0.0.1"))
    seen = observe([hosts("a-0", "a-1", "a-2")], [two])
    # Then no row has partitions, lag or a mark
    assert [(row.partitions, row.lag, row.zombies) for row in seen.rows] == [(None, None, ())] * 3
    assert all(row.places[0].untold for row in seen.rows)
    # And the group is blamed
    text = "group g (Stable): 1 of 3 processes on web1 is not a member (web1 a-0, web1 a-1, web1 a-2)"
    assert remarks(seen) == [(Zombie.NOT_IN_GROUP, text)]
    # And not while one of them is so young that it may be on its way, whichever that is
    for ages in ((1.0, 60.0, 60.0), (60.0, 1.0, 60.0), (60.0, 60.0, 1.0)):
        assert observe([hosts("a-0", "a-1", "a-2", ages=ages)], [two]).remarks == ()


def test_a_place_that_an_ended_process_left_makes_nobody_elses_member_uncertain_to_be_named() -> None:
    # Given a process that runs and one that died, and one member from their host
    died = hosts("a-0", "a-1", states=(State.RUNNING, State.DEAD))
    seen = observe([died], [group(member("m1", "10.0.0.1"))])
    # Then it may be what the dead one left
    assert [row.partitions for row in seen.rows] == [None, 0]
    # And two of them are that process's and what is left
    left = observe([died], [group(member("m1", "10.0.0.1"), member("m2", "10.0.0.1"))])
    ((zombie, text),) = remarks(left)
    assert (zombie, "web1 a-1 is dead" in text) == (Zombie.UNEXPLAINED, True)
    # And a third one is no process of the application
    (*_, (zombie, text)) = remarks(observe([died], [group(*(member(f"m{n}", "10.0.0.1") for n in (1, 2, 3)))]))
    assert "2 of 3 members are no processes of this application" in text


def test_members_of_hosts_that_were_not_asked_are_no_strangers() -> None:
    # Given a look at one of two hosts with two processes each, and the members of both
    slots = ("a-0", "a-1")
    silent = HostReport("web2", (), dict.fromkeys(slots), dict.fromkeys(slots, ("g",)), reachable=False)
    four = [member(f"m{n}", f"10.0.0.{1 + n // 2}") for n in range(4)]
    # Then all are explained, and also where some of the other host are missing
    assert observe([hosts(*slots), silent], [group(*four)]).remarks == ()
    assert observe([hosts(*slots), silent], [group(*four[:3])]).remarks == ()
    # And one more than the settings have is a stranger
    five = observe([hosts(*slots), silent], [group(*four, member("m5", "10.0.0.2"))])
    assert [one for one, _ in remarks(five)] == [Zombie.UNEXPLAINED]


def test_a_member_that_commits_nothing_is_named_with_the_processes_it_may_be() -> None:
    # Given two processes that cannot be told apart, and a member whose messages wait for seven seconds
    zero, one = Partition("t", 1), Partition("t", 2)
    stuck = replace(
        group(member("m1", "10.0.0.1"), member("m2", "10.0.0.1")),
        progress=(Progress(zero, 5, 9), Progress(one, 9, 9)),
    )  # fmt: skip
    first = observe([hosts("a-0", "a-1")], [stuck])
    assert [(one.member, one.process) for one in first.suspects] == [("m1", "")]
    seen = observe([hosts("a-0", "a-1")], [stuck], earlier=[stuck], apart_seconds=7.0)
    # Then it is the member that makes no progress, and both processes are named
    ((zombie, text),) = remarks(seen)
    assert zombie is Zombie.NO_PROGRESS
    assert text.endswith("it is one of web1 a-0, web1 a-1")
    assert [row.zombies for row in seen.rows] == [(), ()]


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Process], Group, dict[str, str]]:
    """Give a fleet of foreign consumers, their group, and which member each process that has one is."""
    processes: list[Process] = []
    members: list[Member] = []
    truth: dict[str, str] = {}
    natted = draw(st.sets(st.integers(1, 4)))
    asked = draw(st.sets(st.integers(1, 4), min_size=1))
    loopback = draw(st.booleans()) and draw(st.booleans())
    for number in range(1, draw(st.integers(1, 4)) + 1):
        style = draw(st.sampled_from(["", "pid", "host", "given", "instance"]))
        hides = draw(st.booleans())
        for index in range(draw(st.integers(0, 3))):
            name, pid = f"web{number} a-{index}", 1000 * number + index
            there = draw(st.sampled_from([True, True, True, False]))
            state = State.RUNNING if there else draw(st.sampled_from([State.RUNNING, State.DEAD, State.STOPPED]))
            connected = there or (state is State.RUNNING and draw(st.booleans()))
            lingers = state is not State.RUNNING and draw(st.booleans())
            own = (f"10.0.0.{number}", f"fd00::{number}", "127.0.0.1")
            known = number in asked
            one = Process(
                name, None, ("g",), state if known else State.UNKNOWN, foreign=True,
                given_id=f"app.web{number}.a.{index}",
                pid=pid if known and state is State.RUNNING else None,
                addresses=own if known else None,
                ports=((9092, 443) if connected else (443,)) if known and not hides else None,
            )  # fmt: skip
            processes.append(one)
            if there or lingers:
                id = f"m-{number}-{index}"
                address = "127.0.0.1" if loopback else "192.0.2.1" if number in natted else f"::ffff:{own[0]}"
                client = {"pid": f"c-{pid}", "host": f"web{number}-c", "given": f"{one.given_id}-x"}.get(style, "c")
                instance = one.given_id if style == "instance" else None
                members.append(Member(id, instance, client, address, ("t",), ()))
                truth[id] = name
    for number in range(draw(st.integers(0, 2))):  # people's own, from elsewhere
        members.append(Member(f"x{number}", None, "console", f"198.51.100.{number}", ("t",), ()))
    shuffled = draw(st.permutations(members))
    return draw(st.permutations(processes)), group(*shuffled), truth


@given(fleets())
def test_no_member_is_ever_attributed_to_a_process_it_is_not(
    fleet: tuple[list[Process], Group, dict[str, str]],
) -> None:
    # Given a fleet whose members' processes are known, some of them ended or evicted
    processes, seen, truth = fleet
    found = muster(seen, processes)
    # Then whatever is called certain is so
    assert all(truth.get(one.id) == name for name, one in found.present.items())
    # And who is called missing is missing
    assert not {one.name for one in found.missing} & set(truth.values())
    # And no member of the fleet is a stranger
    assert not {one.id for one in found.strangers} & truth.keys()
    # And nobody is lost or counted twice
    crowded = [one.name for crowd in found.crowds for one in crowd.processes]
    living = {one.name for one in processes if one.state not in (State.DEAD, State.STOPPED)}
    told_of = [*(found.present.keys() & living), *crowded, *(one.name for one in found.missing)]
    assert sorted(told_of) == sorted(living)
