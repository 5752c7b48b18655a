"""`fab` on a host with a real supervisord: install, start at boot, more processes, a bad file, migration and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.identity import Identity
from ops.sandbox.census import guard
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.shop import Shop

pytestmark = pytest.mark.timeout(400)  # a dozen commands a test, on a machine that has other work

ONLY = ("--hosts", "host1")
UP = {"STARTING", "RUNNING"}  # supervisor's words: starting for its startsecs, though it is ready


@pytest.fixture
def server(tmp_path: Path, run_owner: Identity) -> Iterator[LocalSupervisord]:
    with LocalSupervisord(tmp_path / "supervisord") as running:
        guard(running.folder, run_owner)
        yield running


@pytest.fixture
def project(shop: Shop, server: LocalSupervisord) -> Shop:
    """The project, kept by that supervisord."""
    shop.supervisor = {"socket": server.socket, "conf_d": str(server.conf_d)}
    shop.settings(manager="supervisor", supervisor=shop.supervisor)
    return shop


def states(server: LocalSupervisord) -> dict[str, str]:
    asked = server.client()
    try:
        return {name: program.state for name, program in asked.programs().items()}
    finally:
        asked.close()


def pids(project: Shop) -> list[int]:
    """Return the pids of the first host's processes, as their pidfiles have them."""
    folder = project.fleet.hosts[0].files.deploy_to / "shared/tmp/pids"
    return [int(path.read_text().split()[0]) for path in sorted(folder.glob("*.pid"))]


def test_programs_are_installed_enabled_added_and_removed_and_none_is_touched(
    project: Shop, server: LocalSupervisord
) -> None:
    # When the programs are installed
    project.fab("karafka.install", *ONLY)
    # Then supervisord knows them, and has started none
    assert states(server) == {"karafka-shop@karafka-0": "STOPPED"}
    # When they run
    project.fab("karafka.start", *ONLY)
    before = pids(project)
    # Then the doctor misses nothing but their start with the host
    done = project.fab("karafka.doctor", *ONLY, "--json", code=1)
    assert [one["kind"] for one in json.loads(done.stdout)["findings"]] == ["boot"]
    # When they are enabled, one more process is wanted, and both are installed
    done = project.fab("karafka.enable", *ONLY)
    assert "restart" not in done.stdout
    project.settings(manager="supervisor", supervisor=project.supervisor, processes=2)
    project.fab("karafka.install", *ONLY)
    # Then the old one goes on, and the new one is there, and waits to be started
    assert pids(project)[0] == before[0]
    assert states(server)["karafka-shop@karafka-1"] == "STOPPED"
    assert "autostart = true" in (server.conf_d / "karafka-shop.conf").read_text()
    # When the program of a process is changed while it runs
    project.settings(manager="supervisor", supervisor=project.supervisor, stop_timeout_seconds=7)
    done = project.fab("karafka.install", *ONLY)
    # Then a restart is what takes it
    assert "fab karafka.restart --hosts host1 --processes karafka-0" in done.stdout
    project.fab("karafka.restart", *ONLY)
    assert pids(project) != before
    project.fab("karafka.doctor", *ONLY)
    # When they are stopped and uninstalled
    assert "karafka-0 still run" in project.fab("karafka.uninstall", *ONLY, code=1).stderr
    project.fab("karafka.stop", *ONLY)
    project.fab("karafka.uninstall", *ONLY)
    # Then nothing is left of them
    assert states(server) == {}
    assert not (server.conf_d / "karafka-shop.conf").exists()


def test_what_supervisord_cannot_read_is_taken_back(project: Shop, server: LocalSupervisord) -> None:
    # Given an installed program, and a file of somebody else's that is broken
    project.fab("karafka.install", *ONLY)
    good = (server.conf_d / "karafka-shop.conf").read_text()
    (server.conf_d / "other.conf").write_text("[program:other]\n")
    # When something else is installed
    project.settings(manager="supervisor", supervisor=project.supervisor, stop_timeout_seconds=9)
    done = project.fab("karafka.install", *ONLY, code=1)
    # Then it says why, and the file is as it was
    assert "supervisord cannot read its files" in done.stderr
    assert (server.conf_d / "karafka-shop.conf").read_text() == good


def test_processes_are_migrated_there_and_back_and_a_broken_run_goes_on(
    project: Shop, server: LocalSupervisord
) -> None:
    # Given two plain processes, and a release that fails for the second one
    project.settings(supervisor=project.supervisor, processes=2, rollout={"settle_seconds": 0})
    project.fab("karafka.install", *ONLY)
    project.fab("karafka.start", *ONLY)
    plain = pids(project)
    assert "nothing is wrong" in project.fab("karafka.doctor", *ONLY).stdout
    release = project.fleet.hosts[0].files.deploy_to / "current/program.py"
    works = release.read_text()
    release.write_text('import os, sys\nif os.environ["KARAFKA_PROCESS"] == "karafka-1":\n    sys.exit(3)\n' + works)
    # When they are migrated
    done = project.fab("karafka.migrate", "supervisor", *ONLY, code=1)
    # Then the first is supervisor's, and the other one is told apart
    now = states(server)
    assert now["karafka-shop@karafka-0"] in UP, done.stderr
    assert now["karafka-shop@karafka-1"] not in UP
    assert pids(project)[0] != plain[0]
    found = json.loads(project.fab("karafka.doctor", *ONLY, "--json", code=1).stdout)["findings"]
    assert "karafka-0 run by supervisor, the settings say pidfile" in [one["text"] for one in found]
    # When the release is mended and it is run again
    release.write_text(works)
    done = project.fab("karafka.migrate", "supervisor", *ONLY)
    # Then it goes on with the one that is left, and says which setting is to be changed
    assert set(states(server).values()) <= UP
    assert "supervisor keeps it already" in done.stderr
    assert "manager: supervisor" in done.stderr
    project.settings(manager="supervisor", supervisor=project.supervisor, processes=2, rollout={"settle_seconds": 0})
    assert "differs" not in project.fab("karafka.doctor", *ONLY, code=1).stdout
    # When they go back
    project.fab("karafka.migrate", "pidfile", *ONLY)
    # Then supervisor has none of them any more
    assert states(server) == {}
    alive = pids(project)
    assert len(alive) == 2
    assert all(Path(f"/proc/{pid}").exists() for pid in alive)


def test_a_supervisord_as_epel_and_arch_have_it_with_a_password(
    shop: Shop, tmp_path: Path, run_owner: Identity
) -> None:
    # Given a supervisord that includes *.ini, and whose socket asks for a username and password
    secret = "s3cr3t%% and #more"
    with LocalSupervisord(tmp_path / "supervisord", include="supervisord.d/*.ini", password=secret) as server:
        guard(server.folder, run_owner)
        own = {"socket": server.socket, "conf": str(server.conf)}
        shop.settings(manager="supervisor", supervisor=own)
        # When the programs are installed there
        shown = shop.fab("karafka.install", "--diff", *ONLY).stdout
        said = shop.fab("karafka.install", *ONLY).stdout
        # Then they are where it looks for them, and it knows them
        assert [path.name for path in server.conf_d.iterdir()] == ["karafka-shop.ini"]
        assert states(server) == {"karafka-shop@karafka-0": "STOPPED"}
        # And they are started, seen, started at boot and removed as anywhere
        said += shop.fab("karafka.start", *ONLY).stdout
        said += shop.fab("karafka.status", *ONLY).stdout
        shop.fab("karafka.enable", *ONLY)
        assert "autostart = true" in (server.conf_d / "karafka-shop.ini").read_text()
        assert "already installed" in shop.fab("karafka.install", *ONLY).stdout
        said += shop.fab("karafka.config").stdout
        assert "s3cr3t" not in said + shown
        # When the password is another one than that of the file that is named
        wrong = tmp_path / "credentials"
        wrong.write_text("[supervisorctl]\nusername = operator\npassword = another\n")
        shop.settings(manager="supervisor", supervisor={**own, "credentials": str(wrong)})
        # Then that is said, of one that others can read, too, and the right one is not shown
        wrong.chmod(0o644)
        refused = shop.fab("karafka.status", *ONLY, code=None)
        assert "supervisord wants a username and password" in refused.stdout + refused.stderr
        assert "other users can read it" in refused.stdout + refused.stderr
        wrong.chmod(0o600)
        refused = shop.fab("karafka.stop", *ONLY, code=1)
        assert "it refused those that" in refused.stdout + refused.stderr
        assert "another" not in refused.stdout + refused.stderr
        # When it is right there, then it works
        wrong.write_text(f"[supervisorctl]\nusername = operator\npassword = {secret}\n")
        shop.fab("karafka.stop", *ONLY)
        shop.fab("karafka.uninstall", *ONLY)
        assert states(server) == {}


def test_an_install_that_supervisord_does_not_see_says_so_and_leaves_nothing(
    project: Shop, server: LocalSupervisord, tmp_path: Path
) -> None:
    # Given a folder that supervisord does not include
    own = {"socket": server.socket, "conf": str(server.conf), "conf_d": str(tmp_path / "conf.d")}
    project.settings(manager="supervisor", supervisor=own)
    # When programs are installed there
    done = project.fab("karafka.install", *ONLY, code=1)
    # Then it says that supervisord does not read it, and what it reads, and nothing is left
    said = done.stdout + done.stderr
    assert "supervisord does not read it, and knows no program karafka-shop@karafka-0" in said
    assert f"it includes {server.conf_d}/*.conf" in said
    assert not list((tmp_path / "conf.d").iterdir())
    assert states(server) == {}
    # And the next one says the same, and starts in no circle
    assert "does not read it" in project.fab("karafka.install", *ONLY, code=1).stderr
