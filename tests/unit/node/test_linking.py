"""Links of a release to shared/: whatever releases, shared/ and lists are, nothing outside of the release changes."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.core.errors import OpsError
from ops.node import extraction, linking

CHEAP = settings(
    max_examples=70, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
NAMES = st.sampled_from(("a", "b", "ab", "é"))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
HOSTILE = st.sampled_from(
    ("", ".", "..", "a/", "./a", "a//b", "a/../b", "../shared/a", "/etc", "a\0b", "\udcff", "REVISION")
)
LISTS = st.lists(st.one_of(PATHS, PATHS, PATHS, HOSTILE), max_size=3)
TARGETS = st.sampled_from(
    ("a", "../a", "../../shared", "../../shared/a", "../../../shared/b", "../../outside", "/", ".", "nowhere", "a/../b")
)
TREES = st.lists(st.tuples(PATHS, st.one_of(st.none(), st.binary(max_size=3), TARGETS)), max_size=7)


class Place:
    """A deploy_to with a release, and beside it what is nobody's business."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "app"
        self.release = self.root / "releases/20260101000000"
        self.shared = self.root / "shared"
        for made in (self.release, self.shared, folder / "outside/a", self.root / "releases/20250101000000"):
            made.mkdir(parents=True)
        (folder / "outside/a/b").write_text("somebody's")
        (self.root / "releases/20250101000000/a").write_text("the old one's")
        self.folder = folder

    def link(self, dirs: list[str], files: list[str]) -> None:
        linking.link(self.release, self.shared, dirs, files)

    def outside(self) -> dict[Path, Any]:
        """All but the release: what it is, whose, and what is in it."""
        found = {}
        for root, folders, names in os.walk(self.folder):
            for path in (Path(root, name) for name in (*folders, *names)):
                if self.release not in path.parents and path != self.release:
                    how = path.lstat()
                    content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
                    found[path] = (how.st_ino, how.st_mode, how.st_uid, how.st_gid, how.st_mtime_ns, content)
        return found


@contextmanager
def a_place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        yield Place(Path(folder))


def grow(root: Path, tree: list[tuple[str, bytes | str | None]]) -> None:
    """Make folders (None), files (bytes) and links (a target), as far as they go."""
    for path, what in tree:
        place = root / path
        if any(one.is_symlink() or one.is_file() for one in (place, *place.parents)):
            continue
        (place if what is None else place.parent).mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_bytes(what) if isinstance(what, bytes) else place.symlink_to(str(what))


@CHEAP
@given(TREES, TREES, LISTS, LISTS)
def test_whatever_is_linked_nothing_outside_of_the_release_changes(
    release: list[Any], shared: list[Any], dirs: list[str], files: list[str]
) -> None:
    # Given a release and a shared folder of any folders, files and links, also of links out of both
    with a_place() as place:
        grow(place.release, release)
        grow(place.shared, shared)
        before = place.outside()
        try:
            # When any lists are linked
            place.link(dirs, files)
        except OpsError:
            pass
        else:
            # Then each path leads to where the same one of shared/ does
            for path in (*dirs, *files):
                assert os.path.realpath(place.release / path) == os.path.realpath(place.shared / path)
        # And nothing else has changed, neither when it was refused
        assert place.outside() == before


STEPS = st.lists(st.sampled_from(("a", "b", "log", "..", "..", ".")), min_size=1, max_size=5).map("/".join)


@CHEAP
@given(st.dictionaries(PATHS, STEPS, min_size=1, max_size=5), st.sampled_from((["log"], ["a/log"], ["log", "a/b"])))
def test_a_link_of_the_release_leads_nowhere_else_once_folders_are_shared(
    links: dict[str, str], dirs: list[str]
) -> None:
    # Given a release of links that go up, down and through each other
    with a_place() as place:
        grow(place.release, [("a", None), ("b", None), *links.items()])
        grow(place.shared, [(f"{path}/in/it", b"") for path in dirs])
        inside = [path for path in place.release.rglob("*") if path.is_symlink() and is_below(path, place.release)]
        try:
            # When folders are linked
            place.link(dirs, [])
        except OpsError:
            return
        # Then each one that was not refused and led inside of the release leads there or into those folders
        for path in inside:
            assert is_below(path, place.release, *(place.shared / one for one in dirs)), path.readlink()


def is_below(path: Path, *folders: Path) -> bool:
    """Whether a path leads to one of these folders, or below it."""
    real = os.path.realpath(path)
    return any(f"{real}/".startswith(f"{folder}/") for folder in folders)


@CHEAP
@given(TREES, LISTS, LISTS)
def test_of_shared_nothing_but_missing_folders_is_made(shared: list[Any], dirs: list[str], files: list[str]) -> None:
    # Given a shared folder of anything
    with a_place() as place:
        grow(place.shared, shared)
        before = place.outside()
        try:
            # When what links need is made
            in_the_way = list(linking.make_dirs(place.shared, dirs, files))
        except OpsError:
            # Then lists that cannot be make nothing
            assert place.outside() == before
            return
        after = place.outside()
        # Then what was there is there, and what is new are folders of shared/ itself
        assert {path: one[:4] for path, one in before.items()}.items() <= {
            path: one[:4] for path, one in after.items()
        }.items()
        new = after.keys() - before.keys()
        assert all(path.is_dir() and not path.is_symlink() and place.shared in path.parents for path in new)
        # And all that is wanted is there, or said
        assert all((place.shared / path).is_dir() for path in dirs) or in_the_way


def test_a_linked_file_in_a_linked_folder_is_there_by_the_folders_link(tmp_path: Path) -> None:
    # Given a folder and a file in it that are shared, and a release that brings both
    place = Place(tmp_path)
    grow(place.release, [("config/database.yml", b"of the repository"), ("config/app.yml", b"")])
    grow(place.shared, [("config/database.yml", b"secret")])
    before = place.outside()
    # When both are linked
    place.link(["config"], ["config/database.yml"])
    # Then the folder is, what it holds is shared's, and that is as it was
    assert (place.release / "config").readlink() == Path("../../shared/config")
    assert (place.release / "config/database.yml").read_bytes() == b"secret"
    assert place.outside() == before


REFUSED: list[tuple[list[Any], list[str], list[str], str]] = [
    ([("config", "../../shared/config")], [], ["config/x.yml"], "linked_files: 'config/x.yml' lies below 'config'"),
    ([("config", "conf"), ("conf", None)], [], ["config/x.yml"], "'config', which is a link or a file in the release"),
    ([("config", b"")], ["config/env"], [], "linked_dirs: 'config/env' lies below 'config', which is a link or a file"),
    ([("log", "var")], ["log"], [], "linked_dirs: 'log' is a link in the release"),
    ([("log", b"")], ["log"], [], "linked_dirs: 'log' is a file in the release"),
    ([("x.yml/y", b"")], [], ["x.yml"], "linked_files: 'x.yml' is a folder in the release"),
    (
        [],
        ["log"],
        ["log/x", "tmp", "log"],
        "linked_files[0]: 'log/x' lies below 'log', which is a file by linked_files",
    ),
    ([], ["log"], ["tmp", "log"], "linked_files[1]: 'log' stands in linked_dirs, too"),
    ([], ["x.yml/a"], ["x.yml"], "linked_dirs[0]: 'x.yml/a' lies below 'x.yml', which is a file by linked_files"),
    ([], ["../releases"], [], "linked_dirs[0]: expected paths below shared/"),
    # a link that stays inside as long as `log` is a folder of the release
    ([("up", "log/../karafka.env")], ["log"], [], "'up' is a link to 'log/../karafka.env', which leads out of"),
    ([("d/one", "../log"), ("two", "d/one/..")], ["log"], [], "'two' is a link to 'd/one/..', which leads out of"),
]


@pytest.mark.parametrize(("release", "dirs", "files", "words"), REFUSED, ids=[one[3] for one in REFUSED])
def test_what_cannot_be_linked_without_touching_shared_is_refused_by_name(
    release: list[Any], dirs: list[str], files: list[str], words: str, tmp_path: Path
) -> None:
    # Given a release whose own links, files or folders are in the way
    place = Place(tmp_path)
    grow(place.release, release)
    grow(place.shared, [("config/x.yml", b"secret"), ("karafka.env", b"secret")])
    before = place.outside()
    # When it is linked
    with pytest.raises(OpsError) as refused:
        place.link(dirs, files)
    # Then it is refused in words that name the setting and the path
    assert words in str(refused.value)
    assert place.outside() == before


def test_a_link_is_found_however_deep_it_lies(tmp_path: Path) -> None:
    # Given an archive with a link below folders whose path is longer than the kernel takes
    place, deep, packed = Place(tmp_path), "/".join(["d" * 250] * 20), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        up = tarfile.TarInfo(f"{deep}/up")
        up.type, up.linkname = tarfile.SYMTYPE, f"{'../' * 20}log/../karafka.env"
        archive.addfile(up)
    extraction.unpack(io.BytesIO(packed.getvalue()), "app.tar", place.release, place.root)
    # Then it is judged as any
    with pytest.raises(OpsError, match="leads out of the release by way of what is linked"):
        place.link(["log"], [])


def test_links_of_the_release_may_lead_into_what_is_shared(tmp_path: Path) -> None:
    # Given a link of the release's own to a folder that is shared
    place = Place(tmp_path)
    grow(place.release, [("public/cache", "../tmp/cache/web")])
    # When that is linked
    place.link(["tmp/cache"], [])
    # Then both lead to shared/
    assert os.path.realpath(place.release / "public/cache") == str(place.shared / "tmp/cache/web")


def test_links_lead_to_shared_also_where_its_folders_are_on_other_disks(tmp_path: Path) -> None:
    # Given releases/ and shared/ by links to other disks, and shared/log by one to yet another
    place = Place(tmp_path / "host")
    for name in ("releases", "shared"):
        (tmp_path / "disks/deep").mkdir(parents=True, exist_ok=True)
        (place.root / name).rename(tmp_path / "disks/deep" / name)
        (place.root / name).symlink_to(tmp_path / "disks/deep" / name)
    (tmp_path / "logs").mkdir()
    (place.shared / "log").symlink_to(tmp_path / "logs")
    # When they are made and linked
    assert list(linking.make_dirs(place.shared, ["log", "tmp/a"], ["config/x.yml"])) == []
    place.link(["log", "tmp/a"], ["config/x.yml"])
    # Then each link leads where it has to
    (place.release / "log/one").write_text("")
    (place.shared / "config/x.yml").write_text("secret")
    assert (tmp_path / "logs/one").exists()
    assert (place.release / "config/x.yml").read_text() == "secret"
    assert (place.release / "tmp/a").samefile(place.shared / "tmp/a")


def test_what_of_shared_is_no_file_no_folder_or_a_releases_own_is_said(tmp_path: Path) -> None:
    # Given a file where a folder is wanted, a link where one is missing, a folder for a file, a link into a release
    place = Place(tmp_path)
    (place.root / "current").symlink_to("releases/20250101000000")
    grow(place.shared, [("log", b""), ("data", str(tmp_path)), ("x.yml", None), ("old", "../current/a")])
    # When it is looked at
    dirs, files = ["log", "log/sub", "data/new"], ["x.yml", "old", "gone"]
    found = [*linking.make_dirs(place.shared, dirs, files)]
    found += linking.unfit(place.shared, place.root / "releases", dirs, files)
    # Then each is said, and nothing was made through the link
    shared = place.shared
    assert found == [
        f"{shared}/log of linked_dirs cannot be made: 'log' is a file or a link",
        f"{shared}/log/sub of linked_dirs cannot be made: 'log' is a file or a link",
        f"{shared}/data/new of linked_dirs cannot be made: 'data' is a file or a link",
        f"{shared}/x.yml is a folder, and 'x.yml' stands in linked_files",
        f"the linked file {shared}/gone is missing",
        f"{shared}/old leads into a release, and those are removed one day",
    ]
    assert not (tmp_path / "new").exists()


def test_what_root_makes_belongs_to_who_owns_deploy_to(tmp_path: Path) -> None:
    # Given a deploy_to that is, where root deploys, somebody else's
    place = Place(tmp_path)
    owner = (os.geteuid(), os.getegid()) if os.geteuid() else (54321, 54322)
    os.chown(place.root, *owner)
    # When folders and links are made
    assert list(linking.make_dirs(place.shared, ["tmp/a"], [])) == []
    place.link(["tmp/a"], [])
    # Then they are that one's
    made = (place.shared / "tmp", place.shared / "tmp/a", place.release / "tmp", place.release / "tmp/a")
    assert {(one.lstat().st_uid, one.lstat().st_gid) for one in made} == {owner}
