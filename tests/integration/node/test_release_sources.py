"""What an agent takes from a repository, an artifact's name and a hook: nothing beyond the release, nothing in /tmp."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.core.protocol import Event, Request, Response, Verb, decode_line
from ops.core.release import Artifact, DeployAction, DeployCall

RELEASE = "20260101000001"


def ask(root: Path, action: DeployAction, payload: bytes = b"", **call: Any) -> tuple[list[str], Response]:
    """Ask an agent whose own folder for temporary files is one that nothing can be run from: there is none."""
    made = DeployCall(action, str(root), performer="somebody", **call)
    request = Request(Verb.DEPLOY, "h1", (), shared=str(root / "shared"), deploy=made)
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


def test_a_hook_runs_from_a_folder_below_deploy_to(root: Path) -> None:
    # Given a host where nothing can be run from /tmp
    told, answer = ask(root, DeployAction.HOOK, b"#!/bin/sh\necho $0\n", name="after-updated.sh")
    # Then the hook runs from shared/, and is gone afterwards
    assert answer.error == ""
    assert told[0].startswith(f"{root}/shared/tmp/")
    assert list((root / "shared/tmp").iterdir()) == []
    # And what a killed agent has left goes with the next cleanup
    (root / "shared/tmp/karafka-hook-left").mkdir()
    ask(root, DeployAction.CLEANUP)
    assert list((root / "shared/tmp").iterdir()) == []
    # And no name of a hook is a path
    _, refused = ask(root, DeployAction.HOOK, b"#!/bin/sh\n", name="../after-updated")
    assert "is no name of a hook" in refused.error
