"""Archives put into a release's folder: nothing reaches out of it, and what is ordinary arrives as it was packed."""

from __future__ import annotations

import io
import os
import resource
import shutil
import stat
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
from ops.node import extraction

CHEAP = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
COMPRESSIONS = ("w", "w:gz", "w:bz2", "w:xz")
TYPES = (
    *(tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE),
    *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z", b"V"),
)
STEPS = st.sampled_from(("a", "A", "b", "c", "..", ".", "", "REVISION", "é", "\udcff", "x" * 120, "y" * 256))
PATHS = st.one_of(
    st.builds("/".join, st.lists(STEPS, max_size=5)),
    st.sampled_from(
        ("/etc/cron.d/x", "../outside/secret", "a/../../outside/secret", "./", "a\0b", "/", "-", "a/" * 300)
    ),
)
MODES = st.sampled_from((0, 0o644, 0o755, 0o700, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, -1))


class Place:
    """A release's folder, and beside it what no archive may reach."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "app"
        self.release = self.root / "releases/20260101000000"
        self.release.mkdir(parents=True)
        self.secret = folder / "outside/secret"
        self.secret.parent.mkdir()
        self.secret.write_text("untouched")
        self.secret.chmod(0o600)
        self._folder = folder
        self._before = self._outside()

    def unpack(self, packed: bytes, name: str = "app.tar") -> None:
        extraction.unpack(io.BytesIO(packed), name, self.release, self.root)

    def tree(self) -> dict[str, Any]:
        """What is in the release: path -> target of a link, content of a file, None for a folder."""
        found: dict[str, Any] = {}
        for path in self._all(self.release):
            key = str(path.relative_to(self.release))
            found[key] = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        return found

    def require_nothing_outside_touched(self) -> None:
        assert self._outside() == self._before

    def require_all_inside(self) -> None:
        """No kind, mode, owner or link of the release is more than it may be."""
        inside = os.path.realpath(self.release)
        for path in self._all(self.release):
            how = path.lstat()
            kind = stat.S_IFMT(how.st_mode)
            assert kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
            assert (how.st_uid, how.st_gid) == (os.geteuid(), os.getegid())
            real = os.path.realpath(path)
            assert real == inside or real.startswith(f"{inside}/")
            if kind != stat.S_IFLNK:
                assert stat.S_IMODE(how.st_mode) in ((0o755,) if kind == stat.S_IFDIR else (0o644, 0o755))

    def _outside(self) -> list[Any]:
        found = []
        for path in self._all(self._folder):
            if self.release not in path.parents:
                how = path.lstat()
                found.append((path, how.st_mode, how.st_uid, how.st_nlink if path.is_file() else 0, path.is_symlink()))
        return sorted(found), self.secret.read_text()

    @staticmethod
    def _all(folder: Path) -> Iterator[Path]:
        for root, folders, files in os.walk(folder):
            for name in (*folders, *files):
                yield Path(root, name)


def attempt(place: Place, packed: bytes) -> str | None:
    """Unpack an archive; gives why it was refused."""
    try:
        place.unpack(packed)
    except OpsError as error:
        return str(error)
    return None


@contextmanager
def a_place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        yield Place(Path(folder))


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", mode: int = 0o644, **more: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, to, mode
    made.uid, made.gid, made.uname, made.gname = 1001, 1002, "stranger", "strangers"
    for key, value in more.items():
        setattr(made, key, value)
    return made


def pack(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT, how: str = "w", content: bytes = b"new") -> bytes:
    packed = io.BytesIO()
    options = {"errors": "surrogateescape", "encoding": "utf-8", "format": form}
    with tarfile.open(fileobj=packed, mode=how, **options) as archive:  # type: ignore[call-overload]
        for one in members:
            one.size = len(content) if one.isreg() else 0
            archive.addfile(one, io.BytesIO(content) if one.isreg() else None)
    return packed.getvalue()


@st.composite
def hostile(draw: st.DrawFn) -> tarfile.TarInfo:
    extra = draw(st.sampled_from(({}, {"path": draw(PATHS)}, {"linkpath": draw(PATHS)}, {"mtime": "nan"})))
    made = member(draw(PATHS), draw(st.sampled_from(TYPES)), draw(PATHS), draw(MODES) & 0o7777)
    made.pax_headers = {key: value.replace("\udcff", "") for key, value in extra.items()}
    made.devmajor, made.devminor, made.mtime = 1, 3, draw(st.sampled_from((0, 1e9, 2**33)))
    return made


@CHEAP
@given(st.lists(hostile(), max_size=8), st.sampled_from(FORMATS))
def test_whatever_an_archive_says_nothing_reaches_or_shows_outside_of_the_release(
    members: list[tarfile.TarInfo], form: int
) -> None:
    # Given an archive of any members
    try:
        packed = pack(*members, form=form)
    except ValueError:  # this format cannot say it
        packed = pack(*members, form=tarfile.GNU_FORMAT)
    with a_place() as place:
        # When it is unpacked
        refused = attempt(place, packed)
        if refused is None:
            # Then everything is inside, harmless and usable
            place.require_all_inside()
        else:
            # Or it is refused in one line that names the archive
            assert refused.startswith("app.tar cannot be unpacked: ")
            assert refused.isprintable()
        # And what is beside it is as it was, and what has come can be removed
        place.require_nothing_outside_touched()
        shutil.rmtree(place.release)


LINKS = st.builds("/".join, st.lists(st.sampled_from(("a", "b", "c", "..", "..", ".")), min_size=1, max_size=5))


@CHEAP
@given(st.lists(st.tuples(LINKS, LINKS), min_size=1, max_size=7), st.sets(st.sampled_from(("a", "b", "c")), max_size=2))
def test_links_that_lead_through_each_other_never_lead_out(links: list[tuple[str, str]], folders: set[str]) -> None:
    # Given folders, and links whose names are harmless and whose targets go up, down and through each other
    members = [member(name, tarfile.DIRTYPE) for name in folders]
    members += [member(name.replace("..", "a"), tarfile.SYMTYPE, to) for name, to in links]
    with a_place() as place:
        # When they are unpacked
        if attempt(place, pack(*members)) is None:
            # Then each of them that was not refused ends inside
            place.require_all_inside()


@CHEAP
@given(
    st.dictionaries(
        st.lists(st.sampled_from(("lib", "src", "ä b", "n" * 99, "-x")), min_size=1, max_size=4).map("/".join),
        st.tuples(st.binary(max_size=1500), st.booleans()),
        max_size=6,
    ),
    st.sampled_from(FORMATS[1:]),
    st.sampled_from(COMPRESSIONS),
)
def test_what_was_packed_arrives_as_it_was(files: dict[str, tuple[bytes, bool]], form: int, how: str) -> None:
    # Given files, none of them below another one, in any format and compression
    plain = {name: what for name, what in files.items() if not any(other.startswith(f"{name}/") for other in files)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=how, format=form) as archive:  # type: ignore[call-overload]
        for name, (content, executable) in plain.items():
            one = member(f"./{name}", mode=0o700 if executable else 0o600, size=len(content), mtime=1_700_000_000)
            archive.addfile(one, io.BytesIO(content))
    with a_place() as place:
        # When they are unpacked
        place.unpack(packed.getvalue())
        # Then they are there, readable, executable where they were, with their time
        assert {name: what for name, what in place.tree().items() if what is not None} == {
            name: content for name, (content, _) in plain.items()
        }
        for name, (_, executable) in plain.items():
            how_it_is = (place.release / name).stat()
            assert stat.S_IMODE(how_it_is.st_mode) == (0o755 if executable else 0o644)
            assert how_it_is.st_mtime == 1_700_000_000


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("how", COMPRESSIONS)
@pytest.mark.parametrize(
    "name", [b"BZhang.txt", b"BZh91AY&SY", b"]", b"]...", b"\x1f\x8b", b"\xfd7zXZ", b"\x1f\x8b\x08/x"]
)
def test_a_member_may_be_called_as_compressed_data_begins(name: bytes, how: str, form: int, tmp_path: Path) -> None:
    # Given an archive whose first member has such a name
    place = Place(tmp_path)
    place.unpack(pack(member(os.fsdecode(name)), form=form, how=how))
    # Then it is unpacked by what it is
    assert place.tree()[os.fsdecode(name)] == b"new"


@CHEAP
@given(st.sampled_from(COMPRESSIONS), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_damaged_archive_ends_in_an_error_of_ours_and_a_short_one_always(how: str, at: float, flip: int) -> None:
    # Given an archive with long names, links and content, cut short before its end, or changed somewhere
    names = ("a/b", "n" * 150, "c")
    packed = pack(
        *(member(name) for name in names), member("l", tarfile.SYMTYPE, "a" * 120), how=how, content=b"x" * 999
    )
    end = len(packed.rstrip(b"\0")) if how == "w" else len(packed) * 3 // 4  # the last zeros are not waited for
    damage = int(at * end)
    changed = bytearray(packed)
    changed[damage] ^= flip
    with a_place() as place:
        # Then the short one is an error of ours, and so is the other, unless it is an archive all the same
        assert "app.tar" in (attempt(place, packed[:damage]) or "")
        shutil.rmtree(place.release)
        place.release.mkdir()
        assert "app.tar" in (attempt(place, bytes(changed)) or "app.tar")
        place.require_nothing_outside_touched()


REFUSED: list[tuple[list[tarfile.TarInfo], str]] = [
    ([member("/etc/x")], "'/etc/x' has an absolute name"),
    ([member("a/../../x")], "'a/../../x' has a name that leads out"),
    ([member("a", tarfile.SYMTYPE, "b"), member("a/x")], "'a/x' lies below 'a', which is a link or a file"),
    ([member("a"), member("a/x")], "'a/x' lies below 'a', which is a link or a file"),
    ([member("cfg", tarfile.SYMTYPE, "/etc/shadow")], "'cfg' is a link to '/etc/shadow', which leads out"),
    (
        [member("d/cfg", tarfile.SYMTYPE, "../../shared/k.env")],
        "'d/cfg' is a link to '../../shared/k.env', which leads",
    ),
    # each name alone is inside: together they are not
    ([member("d", tarfile.SYMTYPE, "."), member("l", tarfile.SYMTYPE, "d/../x")], "'l' is a link to 'd/../x', which"),
    ([member("h", tarfile.LNKTYPE, "../outside/secret")], "'h' has a name that leads out"),
    ([member("h", tarfile.LNKTYPE, "/etc/shadow")], "'h' has an absolute name"),
    ([member("h", tarfile.LNKTYPE, "later"), member("later")], "'h' is a hard link to 'later', which is no file"),
    ([member("l", tarfile.SYMTYPE, "../x"), member("h", tarfile.LNKTYPE, "l")], "'l' is a link to '../x', which leads"),
    ([member("tty", tarfile.CHRTYPE)], "'tty' is a character device"),
    ([member("sda", tarfile.BLKTYPE)], "'sda' is a block device"),
    ([member("pipe", tarfile.FIFOTYPE)], "'pipe' is a fifo"),
    ([member("odd", b"Z")], "'odd' is of the unknown kind b'Z'"),
    ([member(".")], "'.' would take the place of the release's folder itself"),
    ([member("")], "'' has no name"),
    ([member("a", pax_headers={"path": "a\0b"})], "has a zero byte in its name"),
    ([member("a/b"), member("a", tarfile.SYMTYPE, "c")], "'a' would take the place of a folder that is not empty"),
    ([member("d/" * 150 + "f")], "lies below more than 100 folders"),
    ([member("n" * 256)], "File name too long"),
    ([member("\x1b[2J", tarfile.FIFOTYPE)], r"'\x1b[2J' is a fifo"),
]


@pytest.mark.parametrize(("members", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_reaches_out_is_refused_by_name(members: list[tarfile.TarInfo], words: str, tmp_path: Path) -> None:
    # Given an archive with such a member
    place = Place(tmp_path)
    # When it is unpacked
    with pytest.raises(OpsError) as refused:
        place.unpack(pack(*members), "app.tar.gz")
    # Then it is refused in words that name archive and member
    assert words in str(refused.value)
    assert str(refused.value).startswith("app.tar.gz cannot be unpacked: ")
    place.require_nothing_outside_touched()


def test_links_within_the_release_are_kept(tmp_path: Path) -> None:
    # Given links that stay inside: up and down, to what comes later, to nothing yet, in a circle, absolute, a hard one
    place = Place(tmp_path)
    targets = {
        "bin/tool": "../lib/tool.py", "lib64": "lib", "soon": "not/there/yet", "round": "round",
        "whole": str(place.release / "lib"), "deep/er/up": "../../lib/..",
    }  # fmt: skip
    links = [member(name, tarfile.SYMTYPE, to) for name, to in targets.items()]
    same = member("lib/same.py", tarfile.LNKTYPE, "./lib/tool.py")
    link_again = member("deep/again", tarfile.LNKTYPE, "lib64")
    # When they are unpacked
    place.unpack(pack(*links, member("lib/tool.py"), same, link_again))
    # Then they are there, and lead where they said
    assert {name: str((place.release / name).readlink()) for name in targets} == targets
    assert (place.release / "bin/tool").read_bytes() == b"new"
    assert (place.release / "lib/same.py").samefile(place.release / "lib/tool.py")
    assert str((place.release / "deep/again").readlink()) == "lib"


def test_of_a_name_that_comes_twice_the_last_one_counts(tmp_path: Path) -> None:
    # Given a file with a hard link, and after it others by the same names: a link, a folder, a file
    place = Place(tmp_path)
    first = pack(member("a"), member("h", tarfile.LNKTYPE, "a"), member("l", tarfile.SYMTYPE, "h"), content=b"old")
    place.unpack(first)
    # When they are unpacked over them
    place.unpack(pack(member("a"), member("l"), member("h", tarfile.DIRTYPE), content=b"new"))
    # Then nothing was written through a link, hard or not
    assert place.tree() == {"a": b"new", "l": b"new", "h": None}
    # And a file of ours takes the place of whatever link the archive has there
    place.unpack(pack(member("REVISION", tarfile.SYMTYPE, "a")))
    extraction.write((b"r1\n",), "REVISION", place.release, place.root)
    assert place.tree() == {"a": b"new", "l": b"new", "h": None, "REVISION": b"r1\n"}


def test_what_the_disk_does_not_take_is_an_error_of_ours_by_the_files_name(tmp_path: Path) -> None:
    # Given a file of ours that is longer than this process may write
    place = Place(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        # Then the error names it
        with pytest.raises(OpsError, match=r"'app\.whl' cannot be written: File too large"):
            extraction.write((b"x" * 8, b"x" * 8), "app.whl", place.release, place.root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_modes_and_owner_are_never_the_archives_nor_the_umasks(umask: int, tmp_path: Path) -> None:
    # Given an archive packed by a stranger under umask 077, and deploy_to, which as root is somebody else's
    place = Place(tmp_path)
    owner = (os.geteuid(), os.getegid()) if os.geteuid() else (54321, 54322)
    os.chown(place.root, *owner)
    members = (
        member("d", tarfile.DIRTYPE, mode=0o700), member("d/secret", mode=0o600), member("d/run", mode=0o4700),
        member("none", mode=0), member("all", mode=0o7777), member("l", tarfile.SYMTYPE, "d"),
    )  # fmt: skip
    before = os.umask(umask)
    try:
        # When it is unpacked
        place.unpack(pack(*members))
    finally:
        os.umask(before)
    # Then who may look into the release can use it, nobody else may change it, and it is deploy_to's owner's
    found = {path.name: path.lstat() for path in place.release.rglob("*")}
    modes = {name: oct(stat.S_IMODE(how.st_mode)) for name, how in found.items() if name != "l"}
    files = {"secret": "0o644", "run": "0o755", "none": "0o644", "all": "0o755"}
    assert modes == {"d": "0o755", **files}
    assert {(how.st_uid, how.st_gid) for how in (*found.values(), place.release.stat())} == {owner}


def test_a_sparse_file_arrives_with_its_holes(tmp_path: Path) -> None:
    # Given a file with holes, as GNU tar writes it in PAX headers
    place, size, pieces = Place(tmp_path), 1 << 20, ((4096, b"one"), (900_000, b"two"))
    table = f"{len(pieces)}\n" + "".join(f"{at}\n{len(part)}\n" for at, part in pieces)
    content = table.encode().ljust(512, b"\0") + b"".join(part for _, part in pieces)
    sparse = {"major": "1", "minor": "0", "name": "data/sparse", "realsize": str(size)}
    one = member("GNUSparseFile.0/sparse", pax_headers={f"GNU.sparse.{key}": value for key, value in sparse.items()})
    # When it is unpacked, with another file after it
    place.unpack(b"".join((pack(one, content=content).rstrip(b"\0").ljust(512 * 5, b"\0"), pack(member("after")))))
    # Then every byte is where it was, and the holes are no bytes on the disk
    expected = bytearray(size)
    for at, part in pieces:
        expected[at : at + len(part)] = part
    assert (place.release / "data/sparse").read_bytes() == bytes(expected)
    assert (place.release / "data/sparse").stat().st_blocks * 512 < size // 2
    assert (place.release / "after").read_bytes() == b"new"


@pytest.mark.parametrize("claim", [1 << 21, 1 << 40])
def test_a_header_is_not_believed_to_be_of_any_length(claim: int, tmp_path: Path) -> None:
    # Given a header for a long name that claims to be as long as memory is
    head = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    head.size = claim
    # Then it is refused unread
    with pytest.raises(OpsError, match=f"a header claims to be {claim} B long"):
        Place(tmp_path).unpack(head.tobuf(tarfile.GNU_FORMAT) + bytes(5000))


def test_headers_without_end_and_members_without_number_are_no_trouble(tmp_path: Path) -> None:
    # Given headers for headers for headers
    nested = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    nested.size = 1
    with pytest.raises(OpsError, match="its headers are nested"):
        Place(tmp_path / "one").unpack((nested.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 2000)
    # And given thousands of members
    place = Place(tmp_path / "two")
    place.unpack(pack(*(member(f"d{number % 7}/{number}") for number in range(1000)), how="w:gz", content=b""))
    # Then all are there
    assert len([path for path in place.release.rglob("*") if path.is_file()]) == 1000


def test_an_archive_without_members_is_an_empty_release_and_no_archive_is_none(tmp_path: Path) -> None:
    # Given an archive of nothing, and nothing at all
    place = Place(tmp_path)
    place.unpack(pack())
    # Then the one is whole, the other is refused
    assert place.tree() == {}
    with pytest.raises(OpsError, match=r"app\.tar cannot be unpacked"):
        place.unpack(b"")


def test_an_archive_is_unpacked_while_it_arrives(tmp_path: Path) -> None:
    # Given an archive of which the end has not arrived
    place = Place(tmp_path)
    packed = pack(*(member(f"f{number}") for number in range(3)), content=os.urandom(600_000))

    class Slow(io.BytesIO):
        seen: tuple[str, ...] = ()

        def readinto(self, buffer: Any, /) -> int:
            if self.tell() > 1_000_000:
                self.seen = self.seen or tuple(place.tree())
            return super().readinto(buffer)

    slow = Slow(packed)
    # When it is unpacked
    extraction.unpack(slow, "app.tar", place.release, place.root)
    # Then what had arrived was there before the rest had
    assert "f0" in slow.seen
    assert "f2" not in slow.seen


def test_folders_around_all_of_an_archive_are_left_out_and_what_is_beside_them_is_refused(tmp_path: Path) -> None:
    # Given an archive whose members lie below one folder, with links among them
    link = member("./app-1.0/same", tarfile.SYMTYPE, "src/file")
    hard = member("app-1.0/hard", tarfile.LNKTYPE, "app-1.0/src/file")
    folder = member("app-1.0", tarfile.DIRTYPE)
    whole = (member(".", tarfile.DIRTYPE), folder, member("app-1.0/src/file"), link, hard)
    place = Place(tmp_path)
    # When it is unpacked without that folder
    extraction.unpack(io.BytesIO(pack(*whole)), "app.tar", place.release, place.root, 1)
    # Then its content is the release, and links lead where they led
    assert {path.name for path in place.release.iterdir()} == {"src", "same", "hard"}
    assert (place.release / "same").read_text() == (place.release / "hard").read_text() == "new"
    # And what is beside the folder, above it, or leads out of it is refused by name
    beside, above = member("app-2.0/file"), member("README")
    out = member("app-1.0/out", tarfile.SYMTYPE, "../app-1.0/src")
    for wrong, count, words in (
        (beside, 1, "'app-2.0/file' lies beside 'app-1.0'"),
        (above, 1, "'README' lies in none of the 1 leading folders"),
        (out, 1, "'out' is a link to '../app-1.0/src', which leads out of the release"),
        (folder, 2, "app-1.0/same' lies in none of the 2 leading folders"),
    ):
        shutil.rmtree(place.release)
        place.release.mkdir()
        with pytest.raises(OpsError, match=words):
            extraction.unpack(io.BytesIO(pack(*whole, wrong)), "app.tar", place.release, place.root, count)
