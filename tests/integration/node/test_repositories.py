"""What an agent takes from a git repository: commits of its own branches and tags, and all that belongs to them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.protocol import Request, Response, Verb, decode_line
from ops.core.release import COMMIT, DeployAction, DeployAnswer, DeployCall, Release
from ops.node import sources, streaming
from ops.node.lfs import require_none
from ops.node.mirror import Mirror
from ops.node.submodules import absolute
from tests.labs.parts import GIT, GIT_LFS, NAMESPACES, find, needs

pytestmark = needs(GIT)
ALLOWED = ("-c", "protocol.file.allow=always")


class Repository:
    """A repository with a working tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=n", "-c", "user.email=e@localhost", *ALLOWED)
        done = subprocess.run(
            ("git", *who, *words), cwd=self.folder, check=True, timeout=60, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        """Commit files; `__` in their names stands for a slash. Gives the commit."""
        for name, content in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "one")
        return self.git("rev-parse", "HEAD")


class Host:
    """A host's folder; its agent's functions are called in here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "releases").mkdir(parents=True)
        self.count = 0

    def commit_of(self, source: Path, name: str) -> str:
        return Mirror(str(source), self.root / "repo", lambda *_: None, streaming.run).commit_of(name, Deadline(60))

    def release(self, source: Path, commit: str, tree: str = "") -> Path:
        """Put a commit's files into a release."""
        self.count += 1
        path = self.root / "releases" / f"{20260101000000 + self.count}"
        path.mkdir()
        sources.archive(str(source), commit, self.root, path, 60, lambda *_: None, streaming.run, tree)
        return path


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Repository]:
    return lambda name: Repository(tmp_path / name)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "app")


def files(release: Path) -> dict[str, str]:
    return {str(path.relative_to(release)): path.read_text() for path in release.rglob("*") if path.is_file()}


def test_a_name_is_a_branch_a_tag_or_a_commit_of_theirs_and_a_forks_commit_is_none(
    make: Callable[[str], Repository], host: Host
) -> None:
    # Given a repository with a commit that a pull request alone has, and a mirror that has those, too
    made = make("source")
    one = made.commit(file="1")
    made.git("tag", "--annotate", "--message", "first", "v1")
    two = made.commit(file="2")
    made.git("checkout", "--quiet", "--detach")
    fork = made.commit(file="fork")
    made.git("update-ref", "refs/pull/7/head", fork)
    made.git("checkout", "--quiet", "main")
    made.git("update-ref", "refs/heads/-x", one)
    made.git("update-ref", "refs/heads/v2", two)
    made.git("update-ref", "refs/tags/v2", one)
    made.git("update-ref", "refs/heads/same", one)
    made.git("update-ref", "refs/tags/same", one)
    subprocess.run(
        ("git", "clone", "--quiet", "--mirror", "--", str(made.folder), str(host.root / "repo")), check=True, timeout=60
    )
    # Then each name is its commit, whatever it looks like
    names = {"main": two, "v1": one, "-x": one, "refs/heads/-x": one, "refs/tags/v2": one, "refs/heads/v2": two}
    for name, commit in {**names, "main~1": one, one: one, one[:9]: one, "same": one}.items():
        assert host.commit_of(made.folder, name) == commit, name
    # And a fork's commit is refused by any name, with the words that say why
    for name in ("pull/7/head", "refs/pull/7/head", fork, fork[:9]):
        with pytest.raises(OpsError, match=r"no branch or tag of .* has"):
            host.commit_of(made.folder, name)
    with pytest.raises(OpsError, match=r"no branch or tag of .* has"):
        host.release(made.folder, fork)
    # And so is what is two things, or nothing
    with pytest.raises(OpsError, match="both a branch and a tag are called 'v2'"):
        host.commit_of(made.folder, "v2")
    for name in ("", "none", "--output=x", "main..v1", "refs/heads/none", "f" * 40):
        with pytest.raises(OpsError, match=r"is no branch, tag or commit|no branch or tag"):
            host.commit_of(made.folder, name)
    # And a mirror that is made here never gets it, nor an answer that is no commit
    shutil.rmtree(host.root / "repo")
    with pytest.raises(OpsError, match="is no branch, tag or commit"):
        host.commit_of(made.folder, "pull/7/head")
    for revision in ("--output=/x", "HEAD", one[:9], f"{one}\n", one.upper()):
        with pytest.raises(OpsError, match="is no commit"):
            host.release(made.folder, revision)


@needs(NAMESPACES)
def test_a_broken_mirror_is_made_anew_also_where_it_cannot_be_removed(
    make: Callable[[str], Repository], tmp_path: Path
) -> None:
    # Given a mirror that is broken, with something in it that cannot be removed, and one that a killed agent was making
    made, root = make("source"), tmp_path / "app"
    commit = made.commit(file="1")
    (root / "repo/busy").mkdir(parents=True)
    (root / "repo/HEAD").write_text("broken")
    (root / ".repo-new-1/objects").mkdir(parents=True)
    # When it is asked for a commit, twice
    script = f"mount -t tmpfs none repo/busy && exec {sys.executable} -c '{ASK}' {made.folder}"
    done = subprocess.run(
        ("unshare", "-rm", "sh", "-c", script), cwd=root, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    # Then it is a good one each time, and what is left of the old one is told
    assert done.stdout.count(commit) == 2, done.stderr
    assert done.stdout.count("could not be removed: 'busy': something is mounted there") == 1
    assert sorted(path.name for path in root.iterdir() if not path.name.startswith(".repo-old-")) == ["repo"]


ASK = """
import sys
from pathlib import Path
from typing import Any
from ops.core.deadline import Deadline
from ops.node import streaming
from ops.node.mirror import Mirror
for _ in range(2):
    print(Mirror(sys.argv[1], Path("repo").absolute(), print, streaming.run).commit_of("main", Deadline(60)))
"""
WRONG = st.text(min_size=1, max_size=70).filter(lambda text: not COMMIT.fullmatch(text)) | st.sampled_from(
    ["--output=/srv/x", "../x", "a" * 41, "A" * 40, f"{'a' * 40}\n", "sha256:x", "٣" * 40]
)


@given(WRONG)
def test_what_a_host_answers_is_never_taken_for_an_option_or_a_path(text: str) -> None:
    # Given anything that is no commit: then no answer of a host can have it as one
    with pytest.raises(ValueError, match="is no commit"):
        DeployAnswer(revision=text)
    # And no request to another host
    if not text.startswith("sha256:"):
        with pytest.raises(ValueError, match="is no revision"):
            DeployCall(DeployAction.UPDATE, "/srv/x", revision=text)
    # And what looks like a path, an option or two lines is no release's name either
    if {*text} & {"/", "\n"} or text.startswith(("-", ".")):
        for make in (Release, lambda name: DeployAnswer(current=name), lambda name: DeployAnswer(previous=name)):
            with pytest.raises(ValueError, match="is no name of a release"):
                make(text)


def test_a_request_that_names_an_option_for_a_revision_or_a_path_for_a_release_does_nothing(host: Host) -> None:
    # Given requests as no operator of ours would make them
    for wrong in ('"revision": "--output=/x"', '"release": "../../x"', '"leaving": "/x"'):
        call = DeployCall(DeployAction.UPDATE, str(host.root), source="x")
        text = Request(Verb.DEPLOY, "h1", (), shared=str(host.root / "shared"), deploy=call).encode()
        key = wrong.split(":")[0]
        line = text.replace(f'{key}: ""', wrong)
        assert line != text
        # When an agent gets one
        done = subprocess.run(
            (sys.executable, "-P", "-m", "ops.node"), input=f"{line}\n".encode(), capture_output=True, timeout=60,
            check=False,
        )  # fmt: skip
        answer = decode_line(done.stdout.splitlines()[-1].decode())
        # Then it refuses it
        assert isinstance(answer, Response)
        assert "the request does not fit" in answer.error


def test_submodules_come_with_a_release_their_own_too_by_addresses_as_git_reads_them(
    make: Callable[[str], Repository], host: Host
) -> None:
    # Given a repository with a submodule by a relative address, which has one itself, and a folder with another
    inner, middle, made = make("inner"), make("middle"), make("source")
    inner.commit(deep="deep")
    middle.commit(lib="lib")
    middle.git("submodule", "--quiet", "add", "../inner", "in side")
    middle.commit()
    made.commit(app="app", services__a__main="a")
    made.git("submodule", "--quiet", "add", "../middle", "vendor/middle")
    made.git("submodule", "--quiet", "add", str(inner.folder), "services/a/-inner")
    commit = made.commit()
    # When it is released
    release = host.release(made.folder, commit)
    # Then all files are there, as in a clone with --recurse-submodules
    found = {name: text for name, text in files(release).items() if not name.endswith(".gitmodules")}
    assert found == {
        "app": "app", "services/a/main": "a", "services/a/-inner/deep": "deep",
        "vendor/middle/lib": "lib", "vendor/middle/in side/deep": "deep",
    }  # fmt: skip
    # And of a folder that is to be the release those below it come, without what is beside
    assert files(host.release(made.folder, commit, "services/a/")) == {"main": "a", "-inner/deep": "deep"}
    for tree in ("services/b", "app", "vendor/middle"):
        with pytest.raises(OpsError, match="there is no folder"):
            host.release(made.folder, commit, tree)
    # And a link may lead from one to another, and not out of the release by both
    (made.folder / "link").symlink_to("vendor/middle/lib")
    assert (host.release(made.folder, made.commit()) / "link").read_text() == "lib"
    (middle.folder / "up").symlink_to("../..")
    middle.commit()
    made.git("-C", "vendor/middle", "pull", "--quiet", "origin", "main")
    (made.folder / "out").symlink_to("vendor/middle/up/..")
    commit = made.commit()
    with pytest.raises(OpsError, match="leads out of the release"):
        host.release(made.folder, commit)


def test_a_submodule_comes_though_export_ignore_keeps_its_address_out_of_the_release(
    make: Callable[[str], Repository], host: Host
) -> None:
    # Given a repository with a submodule, and .gitmodules left out of what git packs
    lib, made = make("lib"), make("source")
    lib.commit(lib="lib")
    made.git("submodule", "--quiet", "add", "../lib", "vendor/lib")
    (made.folder / ".gitattributes").write_text(".gitmodules export-ignore\n.gitattributes export-ignore\n")
    commit = made.commit(app="app")
    # When it is released, then the submodule's files are there
    assert files(host.release(made.folder, commit)) == {"app": "app", "vendor/lib/lib": "lib"}


def test_a_release_of_a_commit_that_is_there_takes_two_runs_of_git_and_a_new_one_two_more(
    make: Callable[[str], Repository], host: Host
) -> None:
    # Given a mirror of a repository that goes on
    made, runs = make("source"), list[str]()
    known = made.commit(app="app", folder__one="1")
    host.release(made.folder, known)

    def run(argv: Sequence[str], *args: Any, **how: Any) -> streaming.Ended:
        runs.append(next(word for word in argv if word in ("rev-list", "fetch", "config", "archive", "ls-tree")))
        return streaming.run(argv, *args, **how)

    def release(commit: str) -> list[str]:
        path = host.root / "releases" / f"{20270101000000 + len(runs)}"
        path.mkdir()
        runs.clear()
        sources.archive(str(made.folder), commit, host.root, path, 60, lambda *_: None, run)
        return runs

    # When commits are released, then git is asked for no more than is needed: each run is time of every host
    assert release(known) == ["rev-list", "archive"]
    assert release(made.commit(app="new")) == ["rev-list", "fetch", "rev-list", "archive"]


def test_a_submodule_that_cannot_be_fetched_ends_it_with_its_name(
    make: Callable[[str], Repository], host: Host, tmp_path: Path
) -> None:
    # Given submodules whose repository is gone, which lacks the commit, and one without an address
    lib, made = make("lib"), make("source")
    lib.commit(lib="lib")
    made.git("submodule", "--quiet", "add", "../lib", "vendor/lib")
    good = made.commit(app="app")
    made.git("-C", "vendor/lib", "commit", "--quiet", "--allow-empty", "--message", "never pushed")
    unpushed = made.commit()
    made.git("config", "-f", ".gitmodules", "submodule.vendor/lib.url", "ext::sh -c touch% hacked")
    command = made.commit()
    made.git("rm", "--quiet", "--cached", ".gitmodules")
    (made.folder / ".gitmodules").unlink()
    nameless = made.commit()
    # Then each ends the release, which is not published
    for commit, words in (
        (unpushed, "the submodule 'vendor/lib' cannot be fetched: no branch or tag of .*/lib has"),
        (command, "the submodule 'vendor/lib' cannot be fetched"),
        (nameless, "'vendor/lib' is a submodule without an address"),
    ):
        with pytest.raises(OpsError, match=words):
            host.release(made.folder, commit)
    assert not list(tmp_path.rglob("hacked"))
    shutil.rmtree(lib.folder)
    shutil.rmtree(host.root / "repo")
    with pytest.raises(OpsError, match="'vendor/lib' cannot be fetched: the repository cannot be cloned"):
        host.release(made.folder, good)


@pytest.mark.parametrize(
    ("parent", "address", "whole"),
    [
        ("https://t@host/o/r.git", "../lib.git", "https://t@host/o/lib.git"),
        ("https://host/o/r.git/", "../../x/lib", "https://host/x/lib"),
        ("git@host:o/r.git", "../lib", "git@host:o/lib"),
        ("git@host:r.git", "../lib", "git@host:lib"),
        ("/srv/git/r", "./lib", "/srv/git/r/lib"),
        ("/srv/git/r", "https://elsewhere/lib", "https://elsewhere/lib"),
        ("/srv/git/r", "git@elsewhere:lib", "git@elsewhere:lib"),
        ("https://host/r.git", "../../elsewhere/lib", ""),
        ("git@host:r.git", "../../lib", ""),
        ("https://host/r.git", "..", ""),
        ("https://host/r.git", "--upload-pack=x", ""),
        ("https://host/r.git", "lib", ""),
    ],
)
def test_an_address_that_begins_with_dots_goes_from_its_parents_and_never_to_another_host(
    parent: str, address: str, whole: str
) -> None:
    # Then it is as git reads it, or refused
    if whole:
        assert absolute(parent, address) == whole
        return
    with pytest.raises(OpsError, match="the submodule's address"):
        absolute(parent, address)


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 4\n"


def test_a_pointer_of_git_lfs_never_becomes_a_release(tmp_path: Path) -> None:
    # Given files that look like pointers from afar, and links to one
    (tmp_path / "pointer").write_text(POINTER)
    release = tmp_path / "release"
    (release / "a").mkdir(parents=True)
    (release / "a/text").write_text(f"version 2\n{POINTER}")
    (release / "a/long").write_text(POINTER + "x" * 2000)
    (release / "a/link").symlink_to(tmp_path / "pointer")
    (release / "none").symlink_to("nowhere")
    # Then they are none
    require_none(release, "")
    # And pointers are, also with extensions
    (release / "a/model.bin").write_text(POINTER.replace("oid", f"ext-0-x sha256:{'b' * 64}\noid"))
    (release / "a/other.bin").write_text(POINTER)
    with pytest.raises(OpsError, match=r"'a/model.bin', and 1 more came as a pointer of Git LFS"):
        require_none(release, "")
    (release / "a/other.bin").unlink()
    # And in all other forms that git-lfs takes for one
    for form in (
        POINTER.replace("\n", "\r\n"), f"\n{POINTER}", POINTER.replace("oid", "\noid"), POINTER.rstrip(),
        POINTER.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2"),
        POINTER.replace("git-lfs", "hawser"),
    ):  # fmt: skip
        (release / "a/model.bin").write_bytes(form.encode())
        with pytest.raises(OpsError, match=r"'a/model.bin' came as a pointer of Git LFS"):
            require_none(release, "")


@needs(GIT_LFS)
def test_files_of_git_lfs_come_with_a_release(
    make: Callable[[str], Repository], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a repository with a file in LFS, which its server has
    monkeypatch.setenv("PATH", f"{Path(find('git-lfs') or '').parent}:{os.environ['PATH']}")
    made = make("source")
    made.git("lfs", "install", "--local")
    made.git("lfs", "track", "*.bin")
    commit = made.commit(services__model_bin="x")
    (made.folder / "services/model.bin").write_text("the model")
    commit = made.commit()
    # When it is released, whole or as one of its folders, and no settings of this user name LFS
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    # Then the file is there
    assert files(host.release(made.folder, commit))["services/model.bin"] == "the model"
    assert files(host.release(made.folder, commit, "services"))["model.bin"] == "the model"
