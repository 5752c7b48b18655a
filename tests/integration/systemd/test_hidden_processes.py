"""Hosts that hide other users' processes (`hidepid`): who has a slot there is unknown, never gone."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ops.core.protocol import ProcessSpec, Request, Response, Verb, decode_line
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.sandbox.nspawn import PYTHON, USER, SystemdHost

HOLDER = """
import os, sys, time
from pathlib import Path
from ops.core.identity import Identity
from ops.core.locks import Byte, SlotLock
from ops.core import pidfile
lock = SlotLock(Path(sys.argv[1]))
assert lock.try_take(Byte.OWNER)
pidfile.write(Path(sys.argv[2]), Identity.own())
print("here", flush=True)
time.sleep(300)
"""


def test_a_holder_that_proc_hides_is_unknown_and_never_stopped(systemd_host: SystemdHost) -> None:
    # Given a host that hides other users' processes, and a slot that such a one has
    root = "/srv/hidden"
    systemd_host.run("install", "-d", "-o", USER, "-g", USER, root)
    files = SlotFiles.below(f"{root}/shared", "tmp/pids/karafka.pid", Slot("karafka", 0))
    spec = ProcessSpec("karafka-0", (PYTHON, "-c", "import time; time.sleep(300)"), f"{root}/current", files)
    lock, pid = files.lock, files.pidfile
    for folder in (lock, pid, f"{root}/current/x"):
        systemd_host.run("mkdir", "-p", str(Path(folder).parent), user=USER)
    holder = subprocess.Popen(
        systemd_host.inside(PYTHON, "-c", HOLDER, lock, pid, user="root"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "here\n"
        systemd_host.run("chmod", "0666", lock)
        agent = f"exec runuser -u {USER} -- {PYTHON} -I -m ops.node"
        hiding = f"mount -t proc -o hidepid=2 proc /proc && {agent}"
        for verb in (Verb.STATUS, Verb.STOP, Verb.START, Verb.RESTART):
            # When it is looked at, stopped, started there
            said = systemd_host.run(
                "unshare", "-m", "sh", "-c", hiding, data=Request(verb, "h1", (spec,)).encode() + "\n"
            ).stdout
            response = decode_line(said.splitlines()[-1])
            assert isinstance(response, Response)
            report = response.processes[0]
            # Then nobody says that it does not run, or has ended
            assert report.state is State.UNKNOWN, (verb, report)
            assert report.ok is (verb is Verb.STATUS)
            assert "is there, but /proc does not show it" in report.message
        assert holder.poll() is None
    finally:
        systemd_host.run("sh", "-c", f"kill -9 $(head -n 1 {pid})", check=False)
        holder.wait(10)
        holder.stdout.close() if holder.stdout else None
