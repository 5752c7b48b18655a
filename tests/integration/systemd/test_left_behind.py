"""What a unit's or a user's process has started in sessions of its own: ended with it, or named."""

from __future__ import annotations

from ops.core.deadline import Deadline
from ops.core.protocol import ProcessReport, ProcessSpec, Request, Response, Verb, decode_line
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.sandbox.nspawn import PYTHON, UID, USER, SystemdHost
from tests.labs.serving import MakeServing

PATIENCE = 30.0
LEAVES = """
import os, subprocess, sys
if len(sys.argv) > 1:
    print("child", os.getsid(0) == os.getpid(), flush=True)
else:
    subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True)
import time; time.sleep(300)
"""


def test_children_with_sessions_of_their_own_end_with_their_unit_whatever_its_drop_ins_say(
    serving: MakeServing,
) -> None:
    # Given a foreign command with a child out of its session, and later a drop-in that spares all but the main process
    for drop_in in ("", "[Service]\nKillMode=process\n"):
        application = serving(command=[PYTHON, "leaves.py"], readiness="alive")
        application.release("2", {"leaves.py": LEAVES})
        if drop_in:
            folder = f"/etc/systemd/system/{application.kept.template}.d"
            application.host.write(f"{folder}/kill.conf", drop_in)
            application.host.run("systemctl", "daemon-reload")
        assert application.one(Verb.START).ok
        assert Deadline(PATIENCE).poll(lambda: "child True" in application.journal())  # noqa: B023
        # When it is stopped
        report = application.one(Verb.STOP)
        # Then nothing of it is left
        assert report.ok, report
        assert ("1 process that it had started ended too" in report.message) is bool(drop_in)
        assert application.host.run("pgrep", "-f", "leaves.py", check=False).stdout == ""


def test_what_belongs_to_another_user_is_named_and_a_stop_is_not_well(systemd_host: SystemdHost) -> None:
    # Given a plain process of a user, with a grandchild that sudo has made root's
    host, root = systemd_host, "/srv/left"
    host.write("/etc/sudoers.d/all", f"{USER} ALL=(root) NOPASSWD: ALL\n", mode=0o440)
    host.run("install", "-d", "-o", USER, "-g", USER, root, f"{root}/current")
    files = SlotFiles.below(f"{root}/shared", "tmp/pids/karafka.pid", Slot("karafka", 0))
    command = ("sh", "-c", "sudo sh -c 'sleep 299 &'; exec sleep 300")
    spec = ProcessSpec("karafka-0", command, f"{root}/current", files, readiness="alive", stop_timeout_seconds=1.0)

    def ask(verb: Verb, user: str) -> ProcessReport:
        data = Request(verb, "h1", (spec,)).encode() + "\n"
        said = host.run(PYTHON, "-I", "-m", "ops.node", data=data, user=user).stdout
        response = decode_line(said.splitlines()[-1])
        assert isinstance(response, Response)
        return response.processes[0]

    try:
        assert ask(Verb.START, USER).ok
        assert Deadline(PATIENCE).poll(lambda: host.run("pgrep", "-xf", "sleep 299", check=False).stdout)
        # When the user stops it
        report = ask(Verb.STOP, USER)
        # Then what is left is named with the reason, again and again
        assert (report.ok, report.state) == (False, State.STOPPED)
        assert "what it had started is left: process" in report.message
        assert f"runs as another user (0, not {UID})" in report.message
        assert not ask(Verb.STOP, USER).ok
        assert "what it had started is left" in ask(Verb.STATUS, USER).message
        # And root ends it
        assert ask(Verb.STOP, "root").ok
        assert ask(Verb.STATUS, USER).message == ""
    finally:
        host.run("pkill", "-xf", "sleep 299", check=False)
        host.run("rm", "/etc/sudoers.d/all")
