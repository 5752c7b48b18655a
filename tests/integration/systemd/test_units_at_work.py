"""Hardened units with real consumers: watchdog, broken releases, reload, rollout by fab, reboot."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ops.core.deadline import Deadline
from ops.core.protocol import Verb
from ops.core.states import State
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.nspawn import PYTHON, USER, SystemdHost
from tests.labs.serving import STANDS_READY, MakeServing
from tests.labs.unit_relays import MakeUnitRelays

pytestmark = pytest.mark.kafka

PATIENCE = 60.0
PARTITIONS = 4


def test_a_rolling_restart_by_fab_loses_and_repeats_nothing_and_moves_no_partition(
    relays_of: MakeUnitRelays, systemd_host: SystemdHost
) -> None:
    # Given an application below a home, deployed by a user with sudo for its units alone, and traffic
    relays = relays_of(
        2,
        deploy_to=f"/home/{USER}/relays",
        systemd={"sudo": True},
        stages={"test": {"hosts": [{"host": "h1", "address": systemd_host.address, "user": USER}]}},
    )
    started = relays.fab("karafka.start")
    assert started.returncode == 0, started.stdout + started.stderr
    generation = relays.until_settled()
    before = [relays.status(index).pid for index in range(2)]
    # When a new release is rolled out under traffic
    with relays.traffic():
        assert Deadline(PATIENCE).poll(lambda: relays.group(1).get("processed", 0) > 20, every=0.1)
        relays.release("second")
        done = relays.fab("karafka.restart")
        assert done.returncode == 0, done.stdout + done.stderr
    # Then both processes are new ones of that release, stopped and started by systemd
    after = [relays.status(index) for index in range(2)]
    assert [one.release for one in after] == ["second", "second"]
    assert not {one.pid for one in after} & set(before)
    assert [int(relays.application.show("MainPID", index)) for index in range(2)] == [one.pid for one in after]
    # And nothing was lost or repeated, and no partition moved
    tally = relays.tally()
    assert tally.exact, str(tally)
    assert relays.until_settled() == generation
    # And systemd shows partitions and lag
    assert Deadline(PATIENCE).poll(lambda: "lag 0" in relays.application.show("StatusText"), every=0.2)
    assert "2 partitions" in relays.application.show("StatusText")


def test_what_hangs_ends_by_the_watchdog_which_says_why(relays_of: MakeUnitRelays) -> None:
    # Given a consumer whose messages may take half a second, and a watchdog of three; of a release whose poll loop
    # stands still when it is told to, with patience of a second for it
    relays = relays_of(1, systemd={"watchdog_seconds": 3}, env={"KARAFKA_MESSAGE_TIMEOUT_SECONDS": "0.5"})
    file = f"{relays.application.root}/shared/log/wedge"
    relays.release(
        "wedged",
        "import ops.consumer.source as source, ops.consumer.telling as telling\n"
        "telling._STALL_SECONDS = 1.0\n"
        "def balance(*_):\n"
        f"    if os.path.exists({file!r}):\n"
        f"        os.unlink({file!r})\n"
        "        time.sleep(3600)\n"
        "source.Pressure.balance = balance",
    )
    relays.start()
    wedged = relays.status().pid
    # When its poll loop does
    relays.host.write(file, "", user=USER)
    # Then systemd starts another process
    second = relays.until(State.RUNNING, other_than=wedged).pid
    # And the journal has the reason, and all stacks of the one that was ended
    journal = relays.application.journal()
    assert "its poll loop has made no turn for" in journal
    assert "Fatal Python error: Aborted" in journal
    assert "is in work for" not in journal
    # When a message is never done
    relays.hold()
    # Then systemd starts another process
    relays.until(State.RUNNING, other_than=second)
    assert relays.status().restarts >= 2
    # And the journal has the reason, and where it hung
    journal = relays.application.journal()
    assert "is in work for" in journal
    assert "the watchdog is not fed any more" in journal
    assert "Watchdog timeout" in journal
    assert 'relay.py", line' in journal


def test_a_broken_release_stops_the_rollout_and_shows_what_it_said(relays_of: MakeUnitRelays) -> None:
    # Given two processes at work
    relays = relays_of(2, command=[PYTHON, "relay.py"])
    relays.release("works", STANDS_READY)
    assert all(report.ok for report in relays.application.ask(Verb.START).processes)
    other = relays.status(1).pid
    # When a release that cannot be imported is rolled out
    relays.release("broken", 'raise SystemExit("this release is broken")')
    done = relays.fab("karafka.restart", "--json")
    # Then it stops at the first process, with its journal's tail
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads(done.stdout)["hosts"][0]["processes"][0]
    assert "exited with 1" in report["message"]
    assert any("this release is broken" in line for line in report["log"]), report
    assert relays.status(1).pid == other
    # And systemd does not go on trying: nobody has asked for the end, so it counts as dead
    assert relays.application.show("ActiveState") == "inactive"
    assert relays.status().state is State.DEAD


def test_a_reload_finishes_what_is_in_work_and_starts_what_is_current(relays_of: MakeUnitRelays) -> None:
    # Given a consumer under traffic, and a new release that is current
    relays = relays_of(1)
    relays.start()
    old, generation = relays.status(), relays.until_settled()
    with relays.traffic():
        assert Deadline(PATIENCE).poll(lambda: relays.group().get("processed", 0) > 20, every=0.1)
        relays.release("second")
        # When systemd reloads its unit
        relays.host.run("systemctl", "reload", relays.application.unit())
        new = relays.until(State.RUNNING, other_than=old.pid)
    # Then another process runs that release, nothing was lost or repeated, and nobody calls it a crash
    assert new.release == "second"
    tally = relays.tally()
    assert tally.exact, str(tally)
    assert relays.until_settled() == generation
    assert relays.status().restarts == 0
    assert relays.application.show("Result") == "success"


def test_groups_that_a_start_leaves_reach_that_start_alone(serving: MakeServing) -> None:
    # Given a process at work
    application = serving()
    assert application.one(Verb.START).ok
    environment = 'tr "\\0" "\\n" </proc/$1/environ | grep ^KARAFKA_FRESH_MEMBER || true'

    def fresh(pid: int | None) -> str:
        return application.host.run("sh", "-c", environment, "sh", str(pid)).stdout.strip()

    def another(pid: int | None) -> int | None:
        report = application.one(Verb.STATUS)
        return report.pid if report.state is State.RUNNING and report.pid != pid else None

    # When it is restarted as a new member of its group
    changed = replace(application.specs[0], fresh_member_of=("relays",))
    report = application.ask(Verb.RESTART, changed).processes[0]
    assert report.ok, report
    # Then that process is told so
    assert fresh(report.pid) == "KARAFKA_FRESH_MEMBER=relays"
    # And one that systemd starts after it is not
    application.host.run("kill", "-KILL", str(report.pid))
    assert fresh(Deadline(PATIENCE).poll(lambda: another(report.pid), every=0.1)) == ""


def test_after_a_reboot_what_is_enabled_comes_back_and_takes_its_place(relays_of: MakeUnitRelays) -> None:
    # Given a process at work that systemd starts at boot
    relays = relays_of(1)
    relays.start()
    generation = relays.until_settled()
    relays.host.run("systemctl", "enable", relays.application.unit(), relays.application.kept.target)
    # When the host restarts
    with relays.traffic(20):
        relays.reboot()
        # Then it comes back without anybody's asking, in the place that it had
        relays.until(State.RUNNING)
        assert relays.until_settled() == generation
    tally = relays.tally()
    assert not tally.lost, str(tally)
    # And an agent finds it as it should be
    again = relays.application.one(Verb.START)
    assert (again.ok, again.message) == (True, "already running")


@pytest.mark.soak
def test_the_reference_app_does_its_work_within_the_unit(
    serving: MakeServing, systemd_host: SystemdHost, broker: EmbeddedKafka
) -> None:
    # Given the app `sources`: SQLite in a linked folder, a remote system by HTTP, Kafka
    from ops.core.brokers import Brokers
    from ops.reference.sources import app
    from ops.reference.tally import count
    from ops.reference.traffic import Traffic

    broker.create_topics(dict.fromkeys(app.topic_names(), PARTITIONS))
    script = "from ops.sandbox.remote import RemoteServer; RemoteServer(8099).serve()"
    systemd_host.run("systemd-run", "--unit=remote", PYTHON, "-c", script)
    application = serving(
        app="ops.reference.sources:app",
        command=[PYTHON, "-m", "ops.reference", "server"],
        env={
            "SOURCES_DATABASE_URL": "sqlite:////srv/sources/shared/data/sources.db",
            "SOURCES_REMOTE_URL": "http://127.0.0.1:8099",
        },
        deploy_to="/srv/sources",
        linked_dirs=["data"],
        kafka={"brokers": [broker.bootstrap]},
        start_timeout_seconds=40,
    )
    systemd_host.run("mkdir", "/srv/sources/shared/data", user=USER)
    started = application.one(Verb.START)
    assert started.ok, started
    # When it is told of resources, and to fetch some of them
    brokers = Brokers.at(broker.bootstrap)
    Traffic(brokers, "repositories_updated").run(100, 2)
    Traffic(brokers, "sources_refresh", resources=5).run(20, 1)
    # Then each message is answered once, and what was fetched is in the database
    assert count(brokers, "repositories_updated", ["sources_updated"]).exact
    query = "import sqlite3; print(sqlite3.connect('/srv/sources/shared/data/sources.db').execute('{}').fetchall())"
    tables = systemd_host.run(PYTHON, "-c", query.format("select count(*) from remote_resources"), user=USER).stdout
    assert tables.strip() == "[(60,)]"
    assert count(brokers, "sources_refresh", ["sources_refreshed"]).exact
