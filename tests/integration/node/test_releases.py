"""Releases on a host with real files: artifacts that break off, disks that are full, agents that are killed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.lease import Fence
from ops.core.protocol import Request, Response, Verb, decode_line
from ops.core.release import Artifact, DeployAction, DeployCall, Release, ReleaseState
from ops.core.retention import previous_of
from ops.fleet.deploy.work import going_back
from ops.node.releases import Releases
from tests.labs.parts import NAMESPACES, needs

AGENT = (sys.executable, "-P", "-m", "ops.node")


class Place:
    """One host's folder and its agent."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.releases = Releases(root)
        self.enter: tuple[str, ...] = ()  # what agents are run by
        root.mkdir()

    def request(self, action: DeployAction, release: str = "", number: int = 0, **call: Any) -> bytes:
        made = DeployCall(action, str(self.root), release=release, performer="somebody", **call)
        fence = Fence(number, "somebody") if number else None
        request = Request(Verb.DEPLOY, "h1", (), shared=str(self.root / "shared"), deploy=made, fence=fence)
        return f"{request.encode()}\n".encode()

    def ask(
        self, action: DeployAction, release: str = "", payload: bytes = b"", limit: int = 0, **call: Any
    ) -> Response:
        """Ask an agent; `limit` is the largest file it may write, in bytes."""
        done = subprocess.run(
            (*self.enter, *AGENT), input=self.request(action, release, **call) + payload, capture_output=True,
            timeout=60, check=False,
            preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None,
        )  # fmt: skip
        last = decode_line(done.stdout.splitlines()[-1].decode())
        assert isinstance(last, Response), done.stderr
        return last

    def update(self, release: str, content: bytes, *, broken: int | None = None, **more: Any) -> Response:
        """Make a release of an archive with one file; `broken` is how much of it arrives."""
        packed = pack({"file": content})
        artifact = Artifact("app.tar.gz", len(packed), hashlib.sha256(packed).hexdigest())
        more = {"artifact": artifact, **more}
        return self.ask(DeployAction.UPDATE, release, packed[:broken], revision="a" * 40, branch="b1", **more)

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.root / "releases").iterdir())


def pack(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "app")


def test_an_artifact_becomes_a_release_with_its_links_and_current_leads_to_it(place: Place) -> None:
    # Given what releases share
    place.ask(DeployAction.CHECK, linked_dirs=("log", "tmp/cache"), linked_files=("config/x.yml",))
    (place.root / "shared/config/x.yml").write_text("x\n")
    # When an artifact is taken in
    links = {"linked_dirs": ("log", "tmp/cache"), "linked_files": ("config/x.yml",)}
    answer = place.update("20260101000001", b"one", **links)
    # Then its files are there, its links lead to shared/, and current is where it was: nowhere
    assert answer.error == ""
    release = place.root / "releases" / "20260101000001"
    assert (release / "file").read_bytes() == b"one"
    assert os.access(release / "file", os.X_OK)
    assert (release / "tmp/cache").readlink() == Path("../../../shared/tmp/cache")
    assert (release / "config/x.yml").read_text() == "x\n"
    assert place.releases.current() == ""
    # When it is published, twice
    for _ in range(2):
        assert place.ask(DeployAction.PUBLISH, "20260101000001").error == ""
        # Then current leads there by a relative link, as Capistrano's
        assert (place.root / "current").readlink() == Path("releases/20260101000001")
    # And what it had before was nothing, which the second time has not changed
    assert place.releases.get("20260101000001").previous == ""


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"broken": 40}, "broke off after 40 of"),
        ({"artifact": "other digest"}, "arrived with the SHA-256"),
        ({"limit": 100_000}, "File too large"),
        ({"linked_files": ("file/x.yml",)}, "linked_files: 'file/x.yml' lies below 'file', which is a link or a file"),
    ],
)
def test_what_does_not_arrive_whole_leaves_nothing_and_current_alone(
    place: Place, trouble: dict[str, Any], words: str
) -> None:
    # Given a release that is current
    place.update("20260101000001", b"one")
    place.ask(DeployAction.PUBLISH, "20260101000001")
    # When another one breaks off, is not what was meant, finds no room on the disk, or cannot be linked
    content = os.urandom(300_000)
    if "artifact" in trouble:
        trouble = {"artifact": Artifact("app.tar.gz", len(pack({"file": content})), "0" * 64)}
    answer = place.update("20260101000002", content, **trouble)
    # Then it is said, nothing is left of it, and it cannot be published
    assert words in answer.error
    assert place.names() == ["20260101000001"]
    assert "not there, or not whole" in place.ask(DeployAction.PUBLISH, "20260101000002").error
    assert place.releases.current() == "20260101000001"
    # And the audit log has it
    audit = (place.root / "shared/log/karafka-audit.log").read_text().splitlines()
    assert next(json.loads(line) for line in audit if "error" in line)["release"] == "20260101000002"


def test_an_agent_that_is_killed_leaves_what_the_next_deploy_removes(place: Place) -> None:
    # Given a release that is current, and an agent that is killed while another one is on its way
    place.update("20260101000001", b"one")
    place.ask(DeployAction.PUBLISH, "20260101000001")
    packed = pack({"file": os.urandom(100_000), "last": b"x"})
    artifact = Artifact("app.tar.gz", len(packed), hashlib.sha256(packed).hexdigest())
    with subprocess.Popen(AGENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdin is not None
        agent.stdin.write(place.request(DeployAction.UPDATE, "20260101000002", artifact=artifact) + packed[:50_000])
        agent.stdin.flush()
        assert Deadline(20).poll(lambda: (place.root / "releases/20260101000002").is_dir())
        agent.send_signal(signal.SIGKILL)
    # Then what is there is not whole: it is never published
    assert "not there, or not whole" in place.ask(DeployAction.PUBLISH, "20260101000002").error
    # When the next deploy comes
    assert place.update("20260101000003", b"three").error == ""
    # Then it is gone
    assert place.names() == ["20260101000001", "20260101000003"]
    assert place.releases.current() == "20260101000001"


def test_a_build_ends_at_its_deadline_by_its_exit_code_or_when_the_lease_has_gone(place: Place) -> None:
    # Given a release that is to be built
    place.ask(DeployAction.CHECK)
    build = DeployAction.BUILD

    def make(release: str) -> None:
        place.update(release, b"x", build=())

    make("20260101000001")
    # When the build fails, takes too long, or somebody else has the lease meanwhile
    failed = place.ask(build, "20260101000001", build=("sh", "-c", "echo so; echo why; exit 3"))
    make("20260101000002")
    late = place.ask(build, "20260101000002", build=("sh", "-c", "echo early; sleep 170"), timeout_seconds=2)
    make("20260101000003")
    with subprocess.Popen(AGENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        began = time.monotonic()
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(place.request(build, "20260101000003", 7, build=("sh", "-c", "echo on; sleep 170")))
        agent.stdin.close()
        assert b'"on"' in b"".join(agent.stdout.readline() for _ in range(4))
        place.ask(DeployAction.CHECK, number=8)
        lost = decode_line(agent.stdout.read().splitlines()[-1].decode())
    # Then each says so, its last words with it, and is bad
    assert "it exited with 3\n  | so\n  | why" in failed.error
    assert "had not ended after 2.0 s\n  | early" in late.error
    assert isinstance(lost, Response)
    assert lost.stale
    assert time.monotonic() - began < 40
    states = {one.name: one.state for one in place.releases.all()}
    assert set(states.values()) == {ReleaseState.BAD}
    # And one that ends well makes it whole
    make("20260101000004")
    assert place.ask(build, "20260101000004", build=("sh", "-c", "touch built")).error == ""
    assert place.releases.get("20260101000004").good


def test_a_way_back_leads_to_what_was_current_before(place: Place) -> None:
    # Given a release of Capistrano's, and two of ours, the second over the first
    (place.root / "releases/20250101000000").mkdir(parents=True)
    (place.root / "current").symlink_to(place.root / "releases/20250101000000")
    for name in ("20260101000001", "20260101000002"):
        place.update(name, b"x")
        place.ask(DeployAction.PUBLISH, name)
    # When the second is reverted
    answer = place.ask(DeployAction.REVERT, "20260101000002", reason="it was bad").deployed
    # Then current leads to the first, and the second is bad, with the reason
    assert answer is not None
    assert (answer.current, answer.previous) == ("20260101000001", "20250101000000")
    assert place.releases.get("20260101000002").reason == "it was bad"
    # And again it changes nothing
    place.ask(DeployAction.REVERT, "20260101000002", reason="it was bad")
    assert place.releases.current() == "20260101000001"
    # And so on to Capistrano's, beyond which there is nothing
    place.ask(DeployAction.REVERT, "20260101000001")
    assert place.releases.current() == "20250101000000"
    assert "no good release before" in place.ask(DeployAction.REVERT, "20250101000000").error
    # And a cleanup spares what a process works in
    with subprocess.Popen(["sleep", "60"], cwd=place.root / "releases/20260101000002") as process:
        place.ask(DeployAction.CLEANUP, keep=1)
        assert "20260101000002" in place.names()
        process.kill()
    assert Release("20250101000000") in place.releases.all()


def test_the_way_back_past_a_release_that_nobody_here_has_published_never_leads_to_what_was_left(place: Place) -> None:
    # Given two releases of another tool's, without records, and one of our own after them
    for name in ("20260101000001", "20260101000002"):
        (place.root / "releases" / name).mkdir(parents=True)
    place.update("20260101000003", b"three")
    (place.root / "current").symlink_to("releases/20260101000002")
    place.ask(DeployAction.PUBLISH, "20260101000003")
    # When it is gone back from
    place.releases.publish("20260101000002", leaving="20260101000003", reason="rolled back")
    # Then the next way back is theirs, too
    assert place.releases.get("20260101000002").previous == "20260101000001"
    assert previous_of(place.releases.all(), "20260101000002") == "20260101000001"


def test_the_way_back_leads_to_what_was_current_whatever_it_is_called(place: Place) -> None:
    # Given a release of another tool's, whose name is no time and sorts after all times, and a bad one of our own
    (place.root / "releases/good").mkdir(parents=True)
    (place.root / "current").symlink_to("releases/good")
    place.update("20260101000001", b"one")
    place.releases.mark("20260101000001", "bad")
    # When the next one is published over it, and reverted
    place.update("20260101000002", b"two")
    place.ask(DeployAction.PUBLISH, "20260101000002")
    answer = place.ask(DeployAction.REVERT, "20260101000002", reason="bad").deployed
    # Then current leads there again
    assert answer is not None
    assert answer.current == "good"


def test_nothing_goes_back_to_a_release_whose_folder_is_gone(place: Place) -> None:
    # Given three releases, one after the other, and the folder of the second is gone
    for name in ("20260101000001", "20260101000002", "20260101000003"):
        place.update(name, b"x")
        place.ask(DeployAction.PUBLISH, name)
    shutil.rmtree(place.root / "releases/20260101000002")
    # Then the way back is past it, and it cannot be published
    listed = place.ask(DeployAction.LIST).deployed
    assert listed is not None
    assert listed.previous == "20260101000001"
    assert [one.name for one in listed.releases if one.good] == ["20260101000001", "20260101000003"]
    assert "not there, or not whole" in place.ask(DeployAction.PUBLISH, "20260101000002").error
    # And the next deploy removes what was noted of it, after which the way back is the same
    place.ask(DeployAction.CHECK)
    place.update("20260101000004", b"x")
    assert "20260101000002" not in {one.name for one in place.releases.all()}
    assert previous_of(place.releases.all(), "20260101000003") == "20260101000001"


def test_nothing_leads_to_a_release_whose_build_failed_nor_by_a_record_of_another_name(place: Place) -> None:
    # Given a release that works, one whose build failed, which the deploy marks, and one with another one's record
    for name in ("20260101000001", "20260101000003"):
        place.update(name, b"x")
        place.ask(DeployAction.PUBLISH, name)
    place.update("20260101000002", b"x", build=("false",))
    assert "the build failed" in place.ask(DeployAction.BUILD, "20260101000002", build=("false",)).error
    place.ask(DeployAction.MARK, "20260101000002", reason="updated: the build failed")
    records = place.root / "shared/releases"
    (records / "20260101000003.json").write_text((records / "20260101000001.json").read_text())
    # Then it cannot be published, by name neither
    refused = place.ask(DeployAction.PUBLISH, "20260101000002", leaving="20260101000003").error
    assert "not there, or not whole" in refused
    there = place.ask(DeployAction.LIST).deployed
    assert there is not None
    with pytest.raises(OpsError, match="20260101000002 is not there, or not whole"):
        going_back({"h1": there}, "20260101000002")
    # And each is told once, by its own name
    states = [(one.name, str(one.state)) for one in there.releases]
    assert states == [("20260101000001", "whole"), ("20260101000002", "bad"), ("20260101000003", "bad")]
    assert place.releases.current() == "20260101000003"


@needs(NAMESPACES)
def test_what_cannot_be_removed_is_a_remark_and_deploys_go_on(place: Place) -> None:
    # Given a release that is due for removal, and something in it that cannot be removed
    for name in ("20260101000001", "20260101000002"):
        place.update(name, b"x")
        place.ask(DeployAction.PUBLISH, name)
    (place.root / "releases/20260101000001/busy").mkdir()
    mounting = "mount -t tmpfs none releases/20260101000001/busy && echo there && exec sleep 170"
    with subprocess.Popen(("unshare", "-rm", "sh", "-c", mounting), cwd=place.root, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"there\n"
        place.enter = ("nsenter", "-U", "-m", "--preserve-credentials", "-t", str(holder.pid))
        (place.root / "revisions.log").unlink(missing_ok=True)
        os.mkfifo(place.root / "revisions.log")  # nor can this be written, which nobody reads
        # When deploys go on
        for name in ("20260101000003", "20260101000004", "20260101000005"):
            for answer in (
                place.update(name, b"x"),
                place.ask(DeployAction.PUBLISH, name),
                place.ask(DeployAction.FINISH, name, keep=2),
            ):
                assert answer.error == ""
                assert answer.deployed is not None
            # Then each is told of it, in its answer and in the audit log, and all else is gone
            remark = "release 20260101000001 could not be removed: 'busy': something is mounted there"
            if name > "20260101000003":
                assert remark in answer.deployed.remarks
                assert any("revisions.log could not be written" in one for one in answer.deployed.remarks)
                audit = (place.root / "shared/log/karafka-audit.log").read_text().splitlines()
                assert remark in json.loads(audit[-1])["remarks"]
                assert [path.name for path in (place.root / "releases/20260101000001").iterdir()] == ["busy"]
        assert place.names() == ["20260101000001", "20260101000004", "20260101000005"]
        # And it is no release any more: nothing leads back to it, whatever else goes
        shutil.rmtree(place.root / "releases/20260101000004")
        listed = place.ask(DeployAction.LIST).deployed
        assert listed is not None
        assert listed.previous == ""
        assert listed.releases[0].reason == "left: 'busy': something is mounted there"
        assert "not there, or not whole" in place.ask(DeployAction.PUBLISH, "20260101000001").error
        holder.kill()
    # And as soon as it can be removed the next deploy does so
    place.enter = ()
    assert place.update("20260101000006", b"x").error == ""
    assert "20260101000001" not in place.names()


def test_an_artifact_with_one_folder_around_it_is_said_to_be_one_and_its_pointers_are_refused(place: Place) -> None:
    # Given an artifact as people pack a checkout: all of it in one folder
    packed = pack({"app-1.0/file": b"x"})
    artifact = Artifact("app-1.0.tar.gz", len(packed), hashlib.sha256(packed).hexdigest())
    # When it is taken as it is, and without that folder
    plain = place.ask(DeployAction.UPDATE, "20260101000001", packed, artifact=artifact).deployed
    inner = place.ask(DeployAction.UPDATE, "20260101000002", packed, artifact=artifact, strip=1).deployed
    # Then the first says so, and the second has what is in it
    assert plain is not None
    assert plain.remarks == (
        "app-1.0.tar.gz has all of it in the folder 'app-1.0'; `strip_components: 1` would leave that out",
    )
    assert (place.root / "releases/20260101000001/app-1.0/file").read_bytes() == b"x"
    assert inner is not None
    assert inner.remarks == ()
    assert (place.root / "releases/20260101000002/file").read_bytes() == b"x"
    # And one that was packed without the files of Git LFS is no release
    packed = pack({"model": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 4\n".encode()})
    artifact = Artifact("app.tar.gz", len(packed), hashlib.sha256(packed).hexdigest())
    refused = place.ask(DeployAction.UPDATE, "20260101000003", packed, artifact=artifact)
    assert "'model' came as a pointer of Git LFS" in refused.error
    assert place.names() == ["20260101000001", "20260101000002"]
