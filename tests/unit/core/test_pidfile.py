"""Pidfiles: whole or not at all, and nothing read into garbage."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.core import pidfile
from ops.core.identity import Identity
from ops.core.pidfile import PidRecord

PIDS = st.integers(1, 2**22 - 1)
EXTRA = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["start", "boot", "release"]), inner),
)


@given(PIDS, st.integers(0, 2**63), st.text(max_size=40), st.text(max_size=40))
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, pid: int, start: int, boot: str, release: str
) -> None:
    # Given any identity and release
    path = tmp_path_factory.mktemp("pids") / "karafka-0.pid"
    identity = Identity(pid, start, boot)
    # When they are written
    pidfile.write(path, identity, release=release)
    # Then they are read the same, line 1 is what `head -1` shows, and nothing else lies about
    assert pidfile.read(path) == PidRecord(pid, identity, release)
    assert path.read_text().splitlines()[0] == str(pid)
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    # Given any text
    record = pidfile.parse(text)
    # Then it names a process that may be, or none
    assert record is None or 0 < record.pid < 2**22


@given(PIDS, EXTRA)
def test_any_second_line_is_an_identity_or_none(pid: int, extra: object) -> None:
    # Given a pid and any JSON below it
    record = pidfile.parse(f"{pid}\n{json.dumps(extra)}\n")
    # Then the pid is read, and an identity is of that pid
    assert record is not None
    assert record.pid == pid
    assert record.identity is None or record.identity.pid == pid


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=6000))
def test_any_bytes_are_read_without_an_error(tmp_path: Path, content: bytes) -> None:
    # Given any bytes
    path = tmp_path / "pid"
    path.write_bytes(content)
    # Then they name a process that may be, or none
    record = pidfile.read(path)
    assert record is None or 0 < record.pid < 2**22


@pytest.mark.parametrize(
    "text", ["", "\n", "0\n", "-1\n", "4194304\n", "1.5\n", "²\n", "٣\n", "9" * 5000, "0x10", "pid 5"]
)
def test_what_names_no_process_is_none(text: str) -> None:
    # Given no pid, then nobody is named
    assert pidfile.parse(text) is None


@pytest.mark.parametrize(
    "rest", ["", "x", "[]", '{"start": 1}', '{"start": "x", "boot": "b"}', '{"start": Infinity, "boot": ""}']
)
def test_a_foreign_tools_pidfile_names_a_pid_and_proves_nothing(rest: str) -> None:
    # Given a pidfile without an identity, of a process that does run
    record = pidfile.parse(f"{os.getpid()}\n{rest}")
    # Then the pid is known, and nothing is proven
    assert record == PidRecord(os.getpid())
    assert not record.alive()


def test_a_missing_pidfile_is_none(tmp_path: Path) -> None:
    # Given no file, and no folder
    assert pidfile.read(tmp_path / "none") is None
    assert pidfile.read(tmp_path / "no" / "folder") is None


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    # Given a file, and a text that cannot be encoded
    path = tmp_path / "file"
    pidfile.write_whole(path, "old")
    # When the rename fails because a folder is in the way
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        pidfile.write_whole(tmp_path / "folder", "new")
    # Then nothing is left over
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


def test_only_the_named_process_pidfile_is_removed(tmp_path: Path) -> None:
    # Given a pidfile of another process
    path = tmp_path / "pid"
    pidfile.write(path, Identity(7, 1, "b"))
    # Then it stays until its own process asks
    pidfile.remove(path, 8)
    assert path.exists()
    pidfile.remove(path, 7)
    assert not path.exists()
    pidfile.remove(path, 7)
