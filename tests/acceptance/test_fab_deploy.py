"""`fab deploy` over real SSH: from a git repository, from an artifact, with hooks, and back again."""

from __future__ import annotations

import json
import os
import shlex
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.labs.in_process import FABFILE as PLAIN
from tests.labs.in_process import fab
from tests.labs.parts import find
from tests.labs.yard import Yard

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def _tidy(yard: Yard) -> None:
    """Hooks, tasks and settings of a test are its own."""
    yard.tidy()


def test_a_deploy_from_git_makes_a_release_everywhere_and_restarts(yard: Yard) -> None:
    # Given a project whose releases share folders, and a file in one of them
    yard.settings(linked_dirs=["log", "tmp/cache", "config"], linked_files=["config/database.yml"])
    before = yard.current(), [list((root / "releases").glob("*")) for root in yard.hosts.values()]
    for root in yard.hosts.values():
        (root / "shared/config/database.yml").unlink(missing_ok=True)
    # When it is deployed while the file is missing
    refused = yard.fab("test", "deploy", code=1)
    # Then nothing is moved, and every host says what is in the way
    assert refused.stderr.count("config/database.yml is missing") >= 3, refused.stderr
    assert (yard.current(), [list((root / "releases").glob("*")) for root in yard.hosts.values()]) == before
    # When the file is there
    for root in yard.hosts.values():
        (root / "shared/config/database.yml").write_text("adapter: none\n")
    done = yard.fab("test", "deploy")
    # Then the release works everywhere, is of the commit, and has what is shared
    release, sha = yard.only(), yard.git("rev-parse", "HEAD")
    for root in yard.hosts.values():
        current = root / "current"
        assert (current / "REVISION").read_text().strip() == sha
        assert (current / "config/database.yml").read_text() == "adapter: none\n"
        assert (current / "tmp/cache").resolve() == (root / "shared/tmp/cache").resolve()
        line = (root / "revisions.log").read_text().splitlines()[-1]
        assert line.startswith(f"Branch main (at {sha}) deployed as release {release} by ")
        audit = [json.loads(one) for one in (root / "shared/log/karafka-audit.log").read_text().splitlines()]
        assert [one["action"] for one in audit][-4:] == ["check", "update", "publish", "finish"]
        assert audit[-1]["lease"] > 0
    assert f"release {release} ({sha}) is current on 2 hosts, restarted" in done.stdout


FABFILE = """
from ops.fleet.tasks import after, before, namespace as ns

@before("deploy:publishing")
def announce(context, deploy):
    context.run(f'echo "$KARAFKA_HOOK $KARAFKA_RELEASE {deploy.previous} $KARAFKA_HOSTS" > announced')
"""


def pack(yard: Yard, path: Path) -> Path:
    """Build an artifact of the source."""
    with tarfile.open(path, "w:gz") as archive:
        for name in ("program.py", "mode"):
            archive.add(yard.source / name, name)
    return path


def test_an_artifact_is_deployed_with_hooks_that_inherit_the_lease(yard: Yard) -> None:
    # Given an artifact, a function and executables as hooks; one of them restarts by the tool itself
    before = yard.working()
    again = shlex.join(yard.argv("karafka.restart", "--hosts", "host2"))
    yard.settings(default_hooks=False, hooks={"after-updated.sh": {"on": "hosts"}})
    (yard.folder / "fabfile.py").write_text(FABFILE)
    yard.hook("after-updated.sh", 'echo "$KARAFKA_STAGE $KARAFKA_REVISION" > migrated; echo in $(basename "$PWD")')
    yard.hook("after-published", f"{again} 2>&1; echo restarted: $?")
    artifact = pack(yard, yard.folder / "app.tar.gz")
    # When the plan is asked for
    plan = fab(yard.folder, "test", "deploy", "--artifact", str(artifact), "--dry-run").stdout
    # Then every hook is in it at its place, and nothing is done
    order = ["updating", "after   after-updated.sh (on the hosts)", "before  announce (here)", "publish all hosts"]
    places = [plan.index(text) for text in (*order, "after   after-published (here)", "deploy:finished")]
    assert places == sorted(places)
    assert yard.only() == before
    # When it is deployed
    done = yard.fab("test", "deploy", "--artifact", str(artifact))
    # Then current leads to it, and only the host that a hook restarted runs it
    release = yard.current()["host1"]
    assert set(yard.current().values()) == {release}
    assert yard.running() == {"host1": before, "host2": release}
    assert "after-published | restarted: 0" in done.stderr, done.stderr
    # And hooks ran where they belong, with the facts
    revision = (yard.hosts["host1"] / "current/REVISION").read_text().strip()
    assert revision.startswith("sha256:")
    for name, root in yard.hosts.items():
        assert (root / "current/migrated").read_text() == f"test {revision}\n"
        assert f"{name} after-updated.sh | in {release}" in done.stderr
    assert (yard.folder / "announced").read_text() == f"before-publishing {release} {before} host1,host2\n"
    # When another one is made without the hooks
    (yard.folder / "fabfile.py").write_text(PLAIN)
    (yard.folder / ".karafka/hooks/after-published").unlink()
    # Then the lease is free again: without the variable a command takes its own
    assert "nobody has the lease" in yard.fab("test", "deploy.unlock", "--yes").stdout
    # And an archive that says something else than what was sent is refused before anything is moved
    log = yard.hosts["host2"] / "revisions.log"
    log.rename(log.with_name("kept"))
    log.mkdir()
    events = yard.fab("test", "deploy", "--artifact", str(artifact), "--json", "--hosts", "host2").stdout
    log.rmdir()
    log.with_name("kept").rename(log)
    kinds = [json.loads(line) for line in events.splitlines()]
    assert all(one.pop("at") for one in kinds)
    assert kinds[0] == {"event": "StageBegun", "flow": "deploy", "stage": "starting"}
    assert kinds[-1]["event"] == "Result"
    assert kinds[-1]["exit_code"] == 0
    # And what could not be done, and keeps nothing from going on, is among the last words
    assert "host2: revisions.log could not be written: Is a directory\nrelease " in kinds[-1]["message"]
    assert {
        "event": "Uploaded",
        "host": "host2",
        "sent": artifact.stat().st_size,
        "size": artifact.stat().st_size,
    } in kinds


def test_a_wheel_is_installed_into_a_venv_of_the_release(yard: Yard) -> None:
    # Given a wheel without requirements, and the default build step on a host that has uv
    uv = find("uv")
    assert uv is not None
    wheel = yard.folder / "standing-1.0-py3-none-any.whl"
    info = "standing-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("standing.py", (yard.source / "program.py").read_text().replace('"mode"', '"/dev/null"'))
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: standing\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    env = {"PATH": f"{Path(uv).parent}:{os.environ['PATH']}", "UV_CACHE_DIR": str(yard.folder / "uv")}
    yard.settings(build=True, command=[".venv/bin/python", "-m", "standing"], env=env)
    # When it is deployed to one host
    done = yard.fab("test", "deploy", "--artifact", str(wheel), "--hosts", "host1")
    # Then its process runs by the release's own interpreter
    release = yard.current()["host1"]
    assert yard.running()["host1"] == release
    pid = int((yard.hosts["host1"] / "shared/tmp/pids/karafka-0.pid").read_text().split()[0])
    assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b".venv/bin/python\0")
    assert "built in " in done.stderr
