"""A repository behind a password: git is let in, and nobody else learns it."""

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from ops.core.lease import Fence
from ops.core.release import DeployAction
from tests.integration.node.test_release_sources import ask
from tests.labs.parts import GIT, needs

pytestmark = needs(GIT)

USER, PASSWORD = "deploy-bot", "p@ss/w0rd with: all?#"
ENCODED = "p%40ss%2Fw0rd%20with%3A%20all%3F%23"
ALLOWED = {f"Basic {base64.b64encode(text.encode()).decode()}" for text in (f"{USER}:{PASSWORD}", "TOKEN-0123456:")}
RELEASE = "20260101000001"


class Guarded(SimpleHTTPRequestHandler):
    """Serves files to who has the password, and looks meanwhile at what every process shows of itself."""

    seen: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "git" in words:
                self.seen.add(words)
        if self.headers.get("Authorization") in ALLOWED:
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A repository's place behind `http://`, and its only commit."""
    source, bare = tmp_path / "source", tmp_path / "served" / "r.git"
    git = ("git", "-C", str(source), "-c", "user.name=n", "-c", "user.email=e@localhost")
    subprocess.run(("git", "init", "--quiet", str(source)), check=True, timeout=60)
    (source / "file").write_text("x")
    subprocess.run((*git, "add", "."), check=True, timeout=60)
    subprocess.run((*git, "commit", "--quiet", "--message", "one"), check=True, timeout=60)
    subprocess.run(("git", "clone", "--quiet", "--bare", str(source), str(bare)), check=True, timeout=60)
    subprocess.run(("git", "-C", str(bare), "update-server-info"), check=True, timeout=60)
    head = subprocess.run((*git, "rev-parse", "HEAD"), check=True, timeout=60, capture_output=True, text=True)
    Guarded.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Guarded, directory=str(bare.parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}/r.git", head.stdout.strip()
    server.shutdown()
    thread.join(10)


@pytest.mark.parametrize("userinfo", [f"{USER}:{ENCODED}", "TOKEN-0123456"])
def test_git_is_let_in_by_a_password_that_stands_nowhere(
    tmp_path: Path, served: tuple[str, str], userinfo: str
) -> None:
    # Given a repository behind a password, or a token
    place, commit = served
    root = tmp_path / "app"
    source = f"http://{userinfo}@{place}"
    # When a mirror is made, and brought up to date
    _, first = ask(root, DeployAction.UPDATE, release=RELEASE, source=source, revision=commit)
    told, again = ask(root, DeployAction.RESOLVE, fence=Fence(1, "me"), source=source, branch="HEAD")
    # Then both went well
    assert (first.error, again.error) == ("", "")
    assert again.deployed is not None
    assert again.deployed.revision == commit
    assert "updated" in told[0]
    # And no process showed the password, and no file has it
    secrets = {PASSWORD, ENCODED, "TOKEN-0123456"}
    assert any("fetch" in words for words in Guarded.seen)
    assert [words for words in Guarded.seen if any(one in words for one in secrets)] == []
    kept = [path for path in root.rglob("*") if path.is_file()]
    assert [path for path in kept if any(one.encode() in path.read_bytes() for one in secrets)] == []


def test_what_another_tool_has_left_of_a_password_in_a_mirror_is_taken_out(
    tmp_path: Path, served: tuple[str, str]
) -> None:
    # Given a mirror that was made with the password in its address
    place, commit = served
    root = tmp_path / "app"
    source = f"http://TOKEN-0123456@{place}"
    ask(root, DeployAction.UPDATE, release=RELEASE, source=source, revision=commit)
    config = root / "repo/config"
    subprocess.run(("git", "config", "--file", str(config), "remote.origin.url", source), check=True, timeout=60)
    assert "TOKEN" in config.read_text()
    # When it is brought up to date
    _, done = ask(root, DeployAction.RESOLVE, fence=Fence(1, "me"), source=source, branch="HEAD")
    # Then it has it no more
    assert done.error == ""
    assert "TOKEN" not in config.read_text()


def test_a_clone_that_fails_names_the_repository_and_no_password(tmp_path: Path, served: tuple[str, str]) -> None:
    # Given a wrong password
    place, commit = served
    source = f"http://{USER}:wr0ng%2Fpassword@{place}"
    # When a release is to be made
    told, answer = ask(tmp_path / "app", DeployAction.UPDATE, release=RELEASE, source=source, revision=commit)
    # Then it fails by name, and neither the answer, its events nor the audit log has the password
    audit = (tmp_path / "app/shared/log/karafka-audit.log").read_text()
    assert "the repository cannot be cloned" in answer.error
    assert place in answer.error
    for text in (answer.error, *told, audit):
        assert "wr0ng" not in text
