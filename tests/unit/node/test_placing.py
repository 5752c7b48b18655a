"""Files put in place: what was there comes back itself, whatever it was, and nothing else is left beside it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.core.errors import OpsError
from ops.core.installation import HostFile, digest
from ops.node import facts
from ops.node.placing import Places

CHEAP = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
NAMES = ("unit@.service", "rule", "sub/program.conf")
FILES = st.tuples(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from((b"\xff\xfe", b"a\r\nb\0", "é".encode("latin-1"), b"x" * (1 << 20) + b"end")),
    ),
    st.sampled_from((0o644, 0o600, 0o440, 0o4755, 0o7777, 0 if os.geteuid() == 0 else 0o400)),
)
THINGS = st.one_of(st.none(), FILES, st.sampled_from(("rule", "nowhere", "../outside", "/dev/null", ".")))
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(("new\n", "newer: é\n", None))), max_size=5)


def snapshot(folder: Path) -> dict[str, Any]:
    """What is below a folder: each file by its own inode, with all that it has."""
    found = {}
    for path in sorted(folder.rglob("*")):
        how = path.lstat()
        content: Any = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        more = {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }
        kept = (how.st_ino, how.st_nlink, how.st_mtime_ns) if content is not None else ()
        found[str(path.relative_to(folder))] = (how.st_mode, how.st_uid, how.st_gid, kept, content, more)
    return found


@contextmanager
def a_folder(things: dict[str, Any]) -> Iterator[Path]:
    """A folder with files (bytes, mode), links (a target) and nothing (None)."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name, thing in things.items():
            (folder / name).parent.mkdir(exist_ok=True)
            if isinstance(thing, str):
                (folder / name).symlink_to(thing)
            elif thing is not None:
                (folder / name).write_bytes(thing[0])
                if os.geteuid() == 0:
                    os.chown(folder / name, 54321, 54322)
                mark(folder / name)
                (folder / name).chmod(thing[1])
        yield folder


def mark(path: Path) -> None:
    """Give a file an attribute of its own, where the file system has any."""
    try:
        os.setxattr(path, "user.administrator", b"was here")
    except OSError:
        assert not os.listxattr(path)


def take(places: Places, folder: Path, steps: list[tuple[str, str | None]]) -> None:
    for name, text in steps:
        if text is None:
            places.remove(str(folder / name))
        else:
            places.put(HostFile(str(folder / name), text, 0o640))


@CHEAP
@given(st.fixed_dictionaries(dict.fromkeys(NAMES, THINGS)), STEPS)
def test_whatever_was_there_is_put_back_itself(things: dict[str, Any], steps: list[tuple[str, str | None]]) -> None:
    # Given files and links of any content, mode and owner, edited by an administrator
    with a_folder(things) as folder:
        before = snapshot(folder)
        places = Places(sudo=False)
        # When some are replaced and removed, in any order, also twice, and then put back
        take(places, folder, steps)
        assert places.put_back() == []
        # Then each is the very file that it was, and nothing lies beside them
        assert snapshot(folder) == before


@CHEAP
@given(st.fixed_dictionaries(dict.fromkeys(NAMES, THINGS)), STEPS)
def test_what_is_settled_is_as_it_was_put_and_nothing_is_left_beside_it(
    things: dict[str, Any], steps: list[tuple[str, str | None]]
) -> None:
    # Given the same
    with a_folder(things) as folder:
        before = snapshot(folder)
        places = Places(sudo=False)
        # When an install is through
        take(places, folder, steps)
        places.settle()
        # Then what was put is there as it was meant, what was removed is not, and the others are as they were
        after, last = snapshot(folder), dict(steps)
        for name, text in last.items():
            found = after.pop(name, None)
            before.pop(name, None)
            assert (found and (stat.S_IMODE(found[0]), found[4])) == (text and (0o640, text.encode()))
        assert after == before
        # And there is nothing to be put back any more
        assert places.put_back() == []
        assert snapshot(folder).keys() == after.keys() | {name for name, text in last.items() if text}


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_file_is_refused_at_once_and_stays(make: Any, tmp_path: Path) -> None:
    # Given a folder or a fifo in a file's place
    make(tmp_path / "rule")
    before = snapshot(tmp_path)
    # When its text is asked for, and it is to be replaced and removed
    assert facts.present(tmp_path / "rule") is not None
    places = Places(sudo=False)
    # Then it is said, and it is there
    with pytest.raises(OpsError, match="rule: is no file"):
        places.put(HostFile(str(tmp_path / "rule"), "x"))
    with pytest.raises(OpsError, match="rule: is no file"):
        places.remove(str(tmp_path / "rule"))
    assert places.put_back() == []
    assert snapshot(tmp_path) == before


def test_somebody_elses_file_in_a_folder_of_ours_comes_back_as_theirs() -> None:
    # Given a user's folder with a file that is, where the test may give it away, root's, who lets nobody read it
    with a_folder({}) as folder:
        rule, privileged = folder / "rule", os.geteuid()
        rule.write_bytes(b"\xff of root\n")
        rule.chmod(0o600)
        mine = privileged or 54321
        os.chown(folder, mine, -1)
        before = snapshot(folder)
        places = Places(sudo=False)
        os.seteuid(mine)
        try:
            # When the user replaces it, and puts it back
            places.put(HostFile(str(rule), "new\n"))
            assert rule.read_text() == "new\n"
            assert places.put_back() == []
        finally:
            os.seteuid(privileged)
        # Then it is root's
        assert snapshot(folder) == before


def test_what_an_agent_that_was_killed_has_kept_is_in_nobodys_way(tmp_path: Path) -> None:
    # Given a file, and what a former install kept of it
    (tmp_path / "rule").write_text("now\n")
    Places(sudo=False).put(HostFile(str(tmp_path / "rule"), "half\n"))
    before = snapshot(tmp_path)["rule"]
    # When it is replaced and put back
    places = Places(sudo=False)
    places.put(HostFile(str(tmp_path / "rule"), "new\n"))
    assert places.put_back() == []
    # Then it is as it was found, and nothing is left
    assert snapshot(tmp_path) == {"rule": before}


@pytest.mark.parametrize("content", [b"a" * (1 << 20) + b"%d", b"\xff%d", b"\xe9\xff%d"])
def test_a_change_is_seen_also_where_the_text_does_not_show_it(content: bytes, tmp_path: Path) -> None:
    # Given a file that is longer than what is told of it, or no UTF-8
    path = tmp_path / "rule"
    path.write_bytes(content.replace(b"%d", b"\xfe"))
    first = facts.present(path)
    # When it is changed where the text does not show it
    path.write_bytes(content.replace(b"%d", b"\xfd"))
    second = facts.present(path)
    # Then it is known as another one
    assert first is not None
    assert second is not None
    assert first.text == second.text
    assert first.digest != second.digest
    # And that of an ordinary one is its text's
    path.write_text("plain é\n")
    plain = facts.present(path)
    assert plain is not None
    assert (plain.of_bytes, plain.digest) == ("", digest("plain é\n"))
