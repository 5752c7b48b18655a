"""How a unit's own rules end a process: told apart from the command's own end, and said with what lifts them."""

from __future__ import annotations

import subprocess

import pytest

from ops.core.deadline import Deadline
from ops.core.protocol import Verb
from ops.core.states import State
from ops.sandbox.nspawn import PYTHON, USER
from tests.labs.serving import STANDS_READY, MakeServing

PATIENCE = 30.0
READY = "from ops.core.notify import Notifier; Notifier.from_environment().ready()"
TAKES = """
import sys, time
from pathlib import Path
from ops.core.locks import Byte, SlotLock
lock = SlotLock(Path(sys.argv[1]))
assert lock.try_take(Byte.OWNER)
print("here", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("code", [75, 1])
def test_a_command_that_exits_with_a_code_of_its_own_is_restarted(serving: MakeServing, code: int) -> None:
    # Given a command that ends with a code, 75 as well, a moment after it was ready
    application = serving(f"{READY}; import time; time.sleep(1); raise SystemExit({code})")
    assert application.one(Verb.START).ok
    # Then systemd starts it again, as after any failure
    assert Deadline(PATIENCE).poll(lambda: int(application.show("NRestarts")) >= 2, every=0.2), application.journal()


def test_a_slot_that_another_process_has_is_no_reason_to_try_again(serving: MakeServing) -> None:
    # Given a slot that a process beside the unit has
    application = serving(STANDS_READY)
    lock = application.specs[0].files.lock
    taken = application.host.inside(PYTHON, "-c", TAKES, lock, user=USER)
    with subprocess.Popen(taken, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "here\n"
            # When systemd starts the unit by itself
            application.host.run("systemctl", "start", application.unit(), check=False)
            # Then it ends at once and is left at that
            assert application.show("ActiveState") == "failed"
            assert application.show("NRestarts") == "0"
            assert "has the slot" in application.journal()
        finally:
            application.host.run("pkill", "-f", lock, check=False)
    # And a status says why it does not run
    report = application.one(Verb.STATUS)
    assert report.state is State.DEAD
    assert "it found another process in its slot; systemd left it at that" in report.message


def test_what_the_unit_refuses_is_named_with_the_drop_in_that_allows_it(serving: MakeServing) -> None:
    # Given a command that lists the network's interfaces, as psutil and zmq do
    listing = "import psutil; print(sorted(psutil.net_if_addrs()), flush=True)"
    application = serving(f"{listing}; {STANDS_READY}")
    # When it is started
    report = application.one(Verb.START)
    # Then it fails, and the report names what lifts the restriction
    assert not report.ok
    edit = f"systemctl edit {application.kept.template} with [Service] RestrictAddressFamilies=AF_NETLINK in it"
    assert edit in report.message, report
    # And so does a status while systemd tries again and again, which the doctor shows
    application.host.run("systemctl", "start", "--no-block", application.unit())
    looping = Deadline(PATIENCE).poll(
        lambda: (one := application.one(Verb.STATUS)).state is State.CRASH_LOOPING and one, every=0.1
    )
    assert looping
    assert edit in looping.message
    application.host.run("systemctl", "stop", application.unit())
    # When the drop-in is there, then it works
    folder = f"/etc/systemd/system/{application.kept.template}.d"
    application.host.write(f"{folder}/netlink.conf", "[Service]\nRestrictAddressFamilies=AF_NETLINK\n")
    application.host.run("systemctl", "daemon-reload")
    assert application.one(Verb.START).ok
