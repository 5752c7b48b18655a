"""What an agent takes from a repository, an artifact's name and a hook: nothing beyond the release, nothing in /tmp."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.core.lease import Fence
from ops.core.protocol import Event, Request, Response, Verb, decode_line
from ops.core.release import Artifact, DeployAction, DeployCall
from tests.labs.parts import GIT, NAMESPACES, needs

RELEASE = "20260101000001"


def ask(
    root: Path, action: DeployAction, payload: bytes = b"", fence: Fence | None = None, **call: Any
) -> tuple[list[str], Response]:
    """Ask an agent whose own folder for temporary files is one that nothing can be run from: there is none."""
    made = DeployCall(action, str(root), performer="somebody", **call)
    request = Request(Verb.DEPLOY, "h1", (), shared=str(root / "shared"), deploy=made, fence=fence)
    done = subprocess.run(
        (sys.executable, "-P", "-m", "ops.node"), input=f"{request.encode()}\n".encode() + payload,
        capture_output=True, timeout=120, check=False, env={**os.environ, "TMPDIR": "/proc/none"},
    )  # fmt: skip
    lines = [decode_line(line.decode()) for line in done.stdout.splitlines() if line]
    last = lines[-1]
    assert isinstance(last, Response), done.stderr
    return [line.detail for line in lines if isinstance(line, Event)], last


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    return tmp_path / "app"


@needs(GIT)
def test_a_link_of_a_repository_that_leads_out_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    # Given a repository with a link inside, and then one that leads out
    source = tmp_path / "source"
    git = ("git", "-C", str(source), "-c", "user.name=n", "-c", "user.email=e@localhost")
    subprocess.run(("git", "init", "--quiet", str(source)), check=True, timeout=60)

    def commit() -> str:
        subprocess.run((*git, "add", "."), check=True, timeout=60)
        subprocess.run((*git, "commit", "--quiet", "--message", "one"), check=True, timeout=60)
        head = subprocess.run((*git, "rev-parse", "HEAD"), check=True, timeout=60, capture_output=True, text=True)
        return head.stdout.strip()

    (source / "file").write_text("x")
    (source / "same").symlink_to("file")
    inside = commit()
    (source / "etc").symlink_to("/etc/ssl")
    outside = commit()
    # When both are taken
    _, good = ask(root, DeployAction.UPDATE, release=RELEASE, source=str(source), revision=inside)
    _, bad = ask(root, DeployAction.UPDATE, release="20260101000002", source=str(source), revision=outside)
    # Then the first is there, and the second is refused in the words of any archive
    assert good.error == ""
    assert (root / "releases" / RELEASE / "same").read_text() == "x"
    assert "'etc' is a link to '/etc/ssl', which leads out of the release" in bad.error
    assert [path.name for path in (root / "releases").iterdir()] == [RELEASE]


@pytest.mark.parametrize("name", ["../../x.whl", "/srv/x.whl", "-r.whl", ".x.whl", "a/b.whl", "a\nb.whl"])
def test_an_artifacts_name_is_never_a_path_nor_an_option(root: Path, name: str) -> None:
    # Given an artifact by such a name
    artifact = Artifact(name, 1, hashlib.sha256(b"x").hexdigest())
    # Then it is refused, and nothing is left of it
    _, answer = ask(root, DeployAction.UPDATE, b"x", release=RELEASE, artifact=artifact)
    assert "is no name of an artifact" in answer.error
    assert list((root / "releases").iterdir()) == []
    assert not list(root.rglob("*.whl"))


HOOKS = {
    "sh": "#!/bin/sh\necho $KARAFKA_HOOK $(pwd)\n",
    "named": "#!/bin/sh\ncase $0 in /*/after-updated.x) echo $KARAFKA_HOOK $(pwd); esac\n",
    "by its real path": (
        f"#!{sys.executable}\nimport os, sys\nos.stat(os.path.realpath(sys.argv[0]))\n"
        "print(os.environ['KARAFKA_HOOK'], os.getcwd())\n"
    ),
    "bash": "#!/usr/bin/env -S bash -e\necho $KARAFKA_HOOK $(pwd)\n",
    "python": f"#!{sys.executable}\nimport os\nprint(os.environ['KARAFKA_HOOK'], os.getcwd())\n",
    "perl": '#!/usr/bin/perl\nuse Cwd;\nprint "$ENV{KARAFKA_HOOK} ", getcwd, "\\n";\n',
}


@pytest.mark.parametrize("text", HOOKS.values(), ids=HOOKS)
def test_a_hook_in_any_language_runs_in_deploy_to_and_nothing_is_left_of_it(root: Path, text: str) -> None:
    # Given a hook
    # When it runs
    told, answer = ask(
        root, DeployAction.HOOK, text.encode(), name="after-updated.x", env={"KARAFKA_HOOK": "after-updated.x"}
    )
    # Then it does so in deploy_to
    assert (answer.error, told) == ("", [f"after-updated.x {root}"])
    # And nothing but the note of it is left there
    assert {path.name for path in root.rglob("*") if path.is_file()} == {"karafka-audit.log"}
    assert {path.name for path in root.iterdir()} == {"shared"}


def test_what_an_agent_that_was_killed_has_left_of_a_hook_is_removed_by_the_next_deploy(root: Path) -> None:
    # Given what is left of a hook, whose folder none but its user may look into
    says = "#!/bin/sh\nkill -9 $PPID\n"
    made = DeployCall(DeployAction.HOOK, str(root), name="after-updated")
    request = Request(Verb.DEPLOY, "h1", (), shared=str(root / "shared"), deploy=made)
    data = f"{request.encode()}\n{says}".encode()
    argv = (sys.executable, "-P", "-m", "ops.node")
    killed = subprocess.run(argv, input=data, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = [path for path in root.iterdir() if path.name != "shared"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in left] == [0o700]
    # When the next release is made
    digest = hashlib.sha256(b"x").hexdigest()
    _, answer = ask(root, DeployAction.UPDATE, b"x", release=RELEASE, artifact=Artifact("a.whl", 1, digest))
    # Then it is gone
    assert answer.error == ""
    assert {path.name for path in root.iterdir()} == {"shared", "releases"}


# Mounts a folder noexec, in a namespace of its own, and becomes the program that follows.
NOEXEC = 'mount --bind "$1" "$1" && mount -o remount,bind,noexec "$1" && shift && exec "$@"'


@needs(NAMESPACES)
@pytest.mark.parametrize("where", ["tmp", "deploy_to"])
def test_hooks_and_builds_run_where_nothing_may_be_run_from_the_temporary_folder(root: Path, where: str) -> None:
    # Given a host whose /tmp is mounted noexec; or deploy_to, so that hooks are run from memory
    there = root.with_name("tmp") if where == "tmp" else root
    there.mkdir(exist_ok=True)
    release = root / "releases/20260101000001"
    release.mkdir(parents=True)
    agent = ["unshare", "-rm", "sh", "-c", NOEXEC, "sh", str(there), sys.executable, "-P", "-m", "ops.node"]
    env = {**os.environ, "TMPDIR": str(there)}

    def answer(action: DeployAction, payload: bytes = b"", **call: Any) -> Response:
        made = DeployCall(action, str(root), release=release.name, **call)
        request = Request(Verb.DEPLOY, "h1", (), shared=str(root / "shared"), deploy=made)
        data = f"{request.encode()}\n".encode() + payload
        done = subprocess.run(agent, input=data, capture_output=True, timeout=60, check=False, env=env)
        last = decode_line(done.stdout.splitlines()[-1].decode())
        assert isinstance(last, Response), done.stderr
        return last

    # When a hook runs, then it does
    assert answer(DeployAction.HOOK, b"#!/bin/sh\ntouch hooked\n", name="after-updated").error == ""
    assert (release / "hooked").exists()
    if where == "tmp":
        # And a build that makes a program for itself and runs it does, too, and leaves nothing
        build = 'printf "#!/bin/sh\\ntouch built\\n" > "$TMPDIR/made"; chmod +x "$TMPDIR/made"; "$TMPDIR/made"'
        assert answer(DeployAction.BUILD, build=("sh", "-ec", build)).error == ""
        assert sorted(path.name for path in release.iterdir()) == ["built", "hooked"]


def test_a_hook_that_is_a_binary_runs_and_one_that_cannot_says_why(root: Path) -> None:
    # Given a program of the machine's own, larger than one read
    binary = Path(shutil.which("ls") or "").read_bytes()
    (root / "here").touch()
    # When it is a hook
    told, answer = ask(root, DeployAction.HOOK, binary, name="after-updated")
    # Then it runs
    assert answer.error == ""
    assert "here" in told
    # And one whose interpreter is missing is named, as one that fails or does not end
    for text, said in (
        ("#!/none\n", "after-updated cannot be run: the interpreter that its first line names is not there"),
        ("#!/bin/sh\r\n", "after-updated cannot be run: the interpreter that its first line names is not there"),
        ("#!/bin/sh\nexit 3\n", "the hook after-updated failed"),
        ("#!/bin/sh\nsleep 60\n", "after-updated had not ended after"),
    ):
        _, bad = ask(root, DeployAction.HOOK, text.encode(), name="after-updated", timeout_seconds=0.5)
        assert said in bad.error
    # And no name of a hook is a path
    _, refused = ask(root, DeployAction.HOOK, b"#!/bin/sh\n", name="../after-updated")
    assert "is no name of a hook" in refused.error
