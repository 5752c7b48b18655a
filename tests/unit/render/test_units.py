"""What systemd is given: clean, hardened, and exact to the character."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ops.core import envfile, section
from ops.core.errors import SettingsError
from ops.core.settings import Settings
from ops.fleet.plan import process_specs
from ops.render.templates import FileRecord
from ops.render.units import env_value, systemd_files
from tests.labs.parts import SYSTEMD_ANALYZE, VISUDO, find, require

EXPOSURE = 1.5


def settings(**more: Any) -> Settings:
    base: dict[str, Any] = {
        "application": "sources",
        "app": "sources_app:app",
        "deploy_to": "/srv/sources",
        "command": ".venv/bin/python -m ops server",
        "processes": 2,
        "consumer_groups": ["orders", "payments"],
        "manager": "systemd",
        "kafka": {"brokers": ["kafka1:9092"]},
        "stages": {"production": {"hosts": [{"host": "web1"}]}},
    }
    return section.load(base | more)


def files(**more: Any) -> dict[str, FileRecord]:
    given = settings(**more)
    host = given.hosts[0]
    found = systemd_files(given, host, process_specs(given, host), user="deploy", home="/home/deploy")
    return {one.path: one for one in found}


def unit_of(found: dict[str, FileRecord]) -> str:
    return next(one.text for path, one in found.items() if path.endswith("@.service"))


def values_of(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


@pytest.fixture
def analyze(tmp_path: Path) -> Any:
    """systemd-analyze, on files that stand where nothing is run."""
    require(SYSTEMD_ANALYZE)

    def run(found: dict[str, FileRecord], *options: str) -> subprocess.CompletedProcess[str]:
        for path, one in found.items():
            if path.endswith((".service", ".target")):
                (tmp_path / Path(path).name.replace("@.", "@karafka-0.")).write_text(one.text)
        unit = next(tmp_path.glob("*.service"))
        argv = ["systemd-analyze", *options, str(unit)]
        env = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "XDG_RUNTIME_DIR": str(tmp_path)}
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, env=env)

    return run


def test_everything_has_its_place_and_its_mode() -> None:
    # Given an application whose host runs two processes, by system units and sudo
    found = files(systemd={"sudo": True})
    # Then there are its template unit, its target, an env file a process and what sudo allows
    assert {path: oct(one.mode) for path, one in found.items()} == {
        "/etc/systemd/system/karafka-sources@.service": "0o644",
        "/etc/systemd/system/karafka-sources.target": "0o644",
        "/etc/karafka-ops/sources/karafka-0.env": "0o600",
        "/etc/karafka-ops/sources/karafka-1.env": "0o600",
        "/etc/sudoers.d/karafka-sources": "0o440",
    }


def test_systemd_reads_nothing_below_deploy_to_as_root() -> None:
    # Given a system unit: its env files are read by PID 1, whatever a link there leads to
    unit = unit_of(files())
    # Then they lie where root alone writes, and the secrets are read by the shim, as the unit's user
    assert values_of(unit, "EnvironmentFile") == ["/etc/karafka-ops/sources/%i.env"]
    assert " --secrets /srv/sources/shared/karafka.env -- " in values_of(unit, "ExecStart")[0]


def test_a_process_writes_where_processes_have_to() -> None:
    # Given an application with linked folders, and pidfiles of its own place
    unit = unit_of(files(linked_dirs=["data", "my files"], pid="run/sources.pid"))
    # Then these are its own to write to, with its log and slots
    (writable,) = values_of(unit, "ReadWritePaths")
    shared = "/srv/sources/shared"
    assert writable == f'-{shared}/tmp/slots -{shared}/log -{shared}/run -{shared}/data -"{shared}/my files"'


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pid", "sources.pid"),
        ("pid", "units/sources.pid"),
        ("pid", "karafka-ops/bin/sources.pid"),
        ("linked_dirs", ["data", "units"]),
        ("linked_dirs", ["releases/old"]),
        ("linked_dirs", ["rollouts"]),
        ("linked_dirs", ["karafka-ops-1.0-1"]),
    ],
)
def test_what_a_process_is_started_by_is_never_its_own_to_write(key: str, value: Any) -> None:
    # Given a setting that would have a process write there
    with pytest.raises(SettingsError, match="would be writable for the processes") as caught:
        files(**{key: value})
    # Then it is refused, with the setting
    assert caught.value.where == f"karafka.{key}"


def test_user_units_lie_in_the_users_home() -> None:
    # Given user units
    found = files(systemd={"scope": "user"})
    # Then they are where the user's own systemd looks, start with it, and name no user
    assert "/home/deploy/.config/systemd/user/karafka-sources@.service" in found
    assert "WantedBy=default.target" in found["/home/deploy/.config/systemd/user/karafka-sources.target"].text
    assert not values_of(unit_of(found), "User")


def test_each_process_has_its_own_environment() -> None:
    # Given an application with one consumer group a process
    found = files()
    # Then each env file names its own group, member and files, in lines that systemd and this project read alike
    one = envfile.parse(found["/etc/karafka-ops/sources/karafka-1.env"].text)
    assert one["KARAFKA_GROUPS"] == "payments"
    assert one["KARAFKA_INSTANCE_ID"] == "sources.web1.karafka.1"
    assert one["KARAFKA_STATUS_FILE"] == "/srv/sources/shared/tmp/slots/karafka-1.status"
    assert one["KARAFKA_SLOT_LOCK"] == "/srv/sources/shared/tmp/slots/karafka-1.lock"


@pytest.mark.parametrize("value", ["", "a b", 'say "hi"', "it's", "50% off\\", "$HOME `id`", " edge ", "#no", "ünï"])
def test_a_value_comes_through_the_env_file_as_it_was(value: str) -> None:
    assert envfile.parse(f"NAME={env_value('NAME', value)}") == {"NAME": value}


def test_a_value_that_systemd_cannot_read_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="TOKEN") as caught:
        env_value("TOKEN", "secret\x00")
    assert "secret" not in str(caught.value)


def test_the_timeouts_are_above_the_processes_own() -> None:
    # Given times that a process has to start and to drain
    unit = unit_of(files(start_timeout_seconds=40, stop_timeout_seconds=50, systemd={"watchdog_seconds": 90}))
    # Then systemd is the last to lose patience
    assert float(values_of(unit, "TimeoutStartSec")[0]) > 40
    assert float(values_of(unit, "TimeoutStopSec")[0]) > 50
    assert values_of(unit, "WatchdogSec") == ["90"]


def test_a_command_that_says_nothing_is_not_waited_for() -> None:
    # Given a foreign command that never says READY=1
    unit = unit_of(files(app=None, readiness="alive", command=["bundle", "exec", "karafka", "server"]))
    # Then it is up when it is executed, has no watchdog, no reload
    assert values_of(unit, "Type") == ["exec"]
    assert not values_of(unit, "WatchdogSec") + values_of(unit, "ExecReload")


def test_sudo_is_allowed_exact_commands_for_exact_units(tmp_path: Path) -> None:
    # Given a user who deploys by sudo
    text = files(systemd={"sudo": True})["/etc/sudoers.d/karafka-sources"].text
    # Then every line is one whole command, without a wildcard
    assert "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl start karafka-sources@karafka-1.service\n" in text
    assert not re.search(r"[*?\[\]!]", text.split("\n", 1)[1])
    # And sudo understands it
    require(VISUDO)
    path = tmp_path / "sudoers"
    path.write_text(text)
    said = subprocess.run(
        [str(find("visudo")), "-cf", str(path)], capture_output=True, text=True, timeout=20, check=False
    )
    assert said.returncode == 0, said.stderr


CASES = {
    "below-srv": {},
    "below-home": {"deploy_to": "/home/deploy/sources"},
    "foreign-command": {"app": None, "readiness": "alive"},
    "user-units": {"systemd": {"scope": "user"}},
    "odd-folder": {"deploy_to": "/srv/my 100% app", "agent_python": "/bin/true"},
}


@pytest.mark.parametrize("more", CASES.values(), ids=CASES.keys())
def test_systemd_finds_nothing_wrong(analyze: Any, more: dict[str, Any]) -> None:
    # Given the files of an application; the interpreter is one that is there, for systemd looks for it
    found = files(**{"agent_python": "/usr/bin/env", **more})
    # When systemd reads them
    scope = ["--user"] if "systemd" in more else []
    said = analyze(found, *scope, "--man=no", "verify")
    # Then it has nothing to say of them; its exit code is 0 even for unknown keys
    own = [line for line in said.stderr.splitlines() if "karafka" in line]
    assert (own, said.returncode) == ([], 0)


@pytest.mark.parametrize("deploy_to", ["/srv/sources", "/home/deploy/sources"])
def test_it_is_hardened(analyze: Any, deploy_to: str) -> None:
    # Given a system unit
    found = files(deploy_to=deploy_to)
    # When systemd judges it
    said = analyze(found, "security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}")
    # Then little is exposed
    assert said.returncode == 0, said.stdout + said.stderr


def test_a_foreign_command_has_no_watchdog_that_it_would_not_feed() -> None:
    # Given a command that says it is ready and never that it is alive
    unit = unit_of(files(app=None))
    # Then nobody ends it for its silence
    assert "Type=notify" in unit
    assert "WatchdogSec" not in unit
