"""What is prepared for a fast start is made once, whole or not at all, and for one Java alone."""

from __future__ import annotations

import base64
import os
import re
import threading
from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.sandbox import prepared
from ops.sandbox.prepared import Prepared


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with jars, and a Java of its own."""
    executable = tmp_path / "java" / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text("one")
    monkeypatch.setattr(prepared, "java", lambda: str(executable))
    found = tmp_path / "cache" / "kafka-1.0"
    found.mkdir(parents=True)
    return found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were made, without a broker's run."""
    folders: list[Path] = []

    def make(folder: Path, _executable: str, _jars: Path) -> None:
        folders.append(folder)
        folder.mkdir()
        (folder / prepared.BOOTSTRAP).write_bytes(b"records")

    monkeypatch.setattr(prepared, "_make", make)
    return folders


def test_it_is_made_once_however_many_ask_at_once(jars: Path, made: list[Path]) -> None:
    threads = [threading.Thread(target=prepared.prepared, args=(jars,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert made == [prepared.prepared(jars).folder]


def test_another_java_has_another_one(jars: Path, made: list[Path]) -> None:
    # Given what was prepared for a Java
    prepared.prepared(jars)

    # When that Java is replaced in its place
    executable = Path(prepared.java())
    executable.write_text("another build")
    prepared.prepared(jars)

    # Then there are two
    assert len(set(made)) == 2


def test_a_preparation_that_breaks_off_leaves_nothing_that_is_taken_for_whole(
    jars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_anything: object) -> None:
        raise OpsError("no space left")

    monkeypatch.setattr(prepared, "_format", broken)
    with pytest.raises(OpsError, match="no space left"):
        prepared.prepared(jars)
    assert sorted(path.name for path in jars.parent.iterdir()) == ["kafka-1.0", "kafka-1.0.lock"]


def test_what_was_not_used_for_the_longest_time_is_forgotten(jars: Path, made: list[Path]) -> None:
    # Given as many as are kept, used one after the other
    executable = Path(prepared.java())
    for number in range(prepared._KEPT):
        executable.write_text("x" * number)
        os.utime(prepared.prepared(jars).folder, (number, number))

    # When the oldest is used again, and one more is made
    executable.write_text("")
    os.utime(executable, (1, 1))
    os.utime(made[0], (100, 100))
    prepared.prepared(jars)

    # Then the one that was left alone the longest is gone, the jars are not
    assert [one.is_dir() for one in made] == [True, False, *[True] * (prepared._KEPT - 1)]
    assert jars.is_dir()


@pytest.mark.parametrize(
    ("name", "option"), [("classes.aot", "-XX:AOTCache="), ("classes.jsa", "-XX:SharedArchiveFile=")]
)
def test_an_archive_is_used_until_java_breaks_on_it(tmp_path: Path, name: str, option: str) -> None:
    ready = Prepared(tmp_path)
    assert ready.flags == ()
    (tmp_path / name).write_bytes(b"classes")
    assert ready.flags[0] == f"{option}{tmp_path / name}"
    ready.discard_archive()
    assert ready.flags == ()


def test_every_log_directory_is_of_a_cluster_of_its_own(tmp_path: Path) -> None:
    # Given the records of a formatted directory
    (tmp_path / prepared.BOOTSTRAP).write_bytes(b"records")

    # When many are made of them
    ids: list[str] = []
    for number in range(50):
        data = tmp_path / str(number)
        Prepared(tmp_path).format(data, "7")
        assert (data / prepared.BOOTSTRAP).read_bytes() == b"records"
        meta = (data / prepared.META).read_text()
        assert "node.id=7\n" in meta
        ids += re.findall(r"(?:cluster|directory)\.id=(.*)", meta)

    # Then no id is there twice, and each is one as Kafka writes them
    assert len(set(ids)) == 100
    assert all(len(base64.urlsafe_b64decode(f"{one}==")) == 16 and not one.startswith("-") for one in ids)
