"""What a process of a hardened unit may write, and what PID 1 reads for it: nothing that leads to more rights."""

from __future__ import annotations

import json

from ops.core.protocol import Verb
from ops.sandbox.nspawn import USER, SystemdHost
from tests.labs.serving import STANDS_READY, MakeServing

TRIES = """
import json, os, pathlib
shared = pathlib.Path(os.environ["KARAFKA_STATUS_FILE"]).parents[2]
found = {}
for name in ("", "units", "units/x.env", "releases", "rollouts", "karafka.env", "karafka-ops", "tmp", "tmp/lease.json",
             "log", "tmp/slots", "tmp/pids", "data", "../current", "../releases/1", ".."):
    path = shared / name
    try:
        descriptor = os.open(path / "new" if path.is_dir() else path, os.O_WRONLY | os.O_CREAT)
        found[name] = "written"
    except OSError as error:
        found[name] = error.strerror
(shared / "log" / "found.json").write_text(json.dumps({"found": found, "secret": os.environ.get("SECRET", "")}))
"""


def test_a_process_writes_where_processes_have_to(serving: MakeServing, systemd_host: SystemdHost) -> None:
    # Given a process that tries to write everywhere in its application
    application = serving(TRIES + STANDS_READY, linked_dirs=["data"])
    shared = f"{application.root}/shared"
    systemd_host.run("mkdir", "-p", f"{shared}/data", f"{shared}/karafka-ops", f"{shared}/rollouts", user=USER)
    systemd_host.write(f"{shared}/karafka.env", "SECRET=own\n", mode=0o600, user=USER)
    # When it runs
    assert application.one(Verb.START).ok
    said = json.loads(systemd_host.run("cat", f"{shared}/log/found.json").stdout)
    # Then it could where it works, and nowhere that it, or an agent, is started from or by
    assert {name for name, how in said["found"].items() if how == "written"} == {"log", "tmp/slots", "tmp/pids", "data"}
    assert set(said["found"].values()) == {"written", "Read-only file system"}
    # And it has its secrets
    assert said["secret"] == "own"


def test_a_planted_link_gives_a_process_no_secret_of_roots(serving: MakeServing, systemd_host: SystemdHost) -> None:
    # Given root's secrets, and links to them in the place of the application's own
    application = serving(TRIES + STANDS_READY)
    systemd_host.write("/etc/roots.env", "SECRET=roots\n", mode=0o600)
    for name in ("karafka.env", "tmp/slots/karafka-0.once"):
        systemd_host.run("ln", "-sfn", "/etc/roots.env", f"{application.root}/shared/{name}", user=USER)
    # When it is started, by the agent and by systemd alone
    started = application.one(Verb.START)
    systemd_host.run("systemctl", "start", application.unit(), check=False)
    # Then it does not run, which is said with the reason
    assert not started.ok
    assert "its environment cannot be read" in application.journal()
    assert "Permission denied" in application.journal()
    assert systemd_host.run("test", "-e", f"{application.root}/shared/log/found.json", check=False).returncode == 1
