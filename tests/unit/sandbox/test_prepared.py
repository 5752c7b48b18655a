"""What is prepared for a fast start is made once, whole or not at all, and for one Java alone."""

from __future__ import annotations

import base64
import os
import re
import threading
from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.sandbox import ports, prepared
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
    threads = [threading.Thread(target=prepared.prepared, args=(jars, jars.parent / "broker")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert made == [prepared.prepared(jars, jars.parent.parent / "broker").folder]


def test_another_java_has_another_one(jars: Path, made: list[Path]) -> None:
    # Given what was prepared for a Java
    prepared.prepared(jars, jars.parent.parent / "broker")

    # When that Java is replaced in its place
    executable = Path(prepared.java())
    executable.write_text("another build")
    prepared.prepared(jars, jars.parent.parent / "broker")

    # Then there are two
    assert len(set(made)) == 2


def test_a_preparation_that_breaks_off_leaves_nothing_that_is_taken_for_whole(
    jars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_anything: object) -> None:
        raise OpsError("no space left")

    monkeypatch.setattr(prepared, "_format", broken)
    with pytest.raises(OpsError, match="no space left"):
        prepared.prepared(jars, jars.parent.parent / "broker")
    assert sorted(path.name for path in jars.parent.iterdir()) == ["kafka-1.0", "kafka-1.0.lock"]


@pytest.mark.parametrize("broken", ["kafka-1.0.lock", "{}.partial"])
def test_a_cache_that_cannot_be_written_costs_the_archive_alone(
    broken: str, jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a cache where the lock cannot be had, or nothing be made
    name = f"kafka-1.0-{prepared._fingerprint(prepared.java(), jars)}"
    if broken.endswith("lock"):
        (jars.parent / broken).mkdir()
    else:
        (jars.parent / broken.format(name)).write_text("")
    formatted: list[Path] = []

    def formatting(_executable: str, _jars: Path, settings: Path) -> None:
        formatted.append(settings)
        (settings.parent / "data").mkdir()
        (settings.parent / "data" / prepared.BOOTSTRAP).write_bytes(b"records")

    monkeypatch.setattr(prepared, "_format", formatting)
    # When a broker asks, twice
    found = [prepared.prepared(jars, tmp_path / "broker") for _ in range(2)]
    # Then it has records of its own, made once, and is told that it starts slower
    assert found[0] == found[1]
    assert found[0].folder.parent == tmp_path / "broker"
    assert found[0].flags == ()
    found[0].format(tmp_path / "data", "1")
    assert (tmp_path / "data" / prepared.BOOTSTRAP).read_bytes() == b"records"
    assert len(formatted) == 1
    assert [one.name for one in (tmp_path / "broker").iterdir()] == ["prepared"]
    (said,) = capsys.readouterr().err.splitlines()
    assert "starts slower" in said


def test_what_a_broken_off_removal_left_is_made_anew(jars: Path, made: list[Path], tmp_path: Path) -> None:
    # Given what was prepared, and a cleaner that has taken the records
    found = prepared.prepared(jars, tmp_path / "broker")
    (found.folder / "classes.jsa").write_bytes(b"classes")
    (found.folder / prepared.BOOTSTRAP).unlink()
    # Then it is made anew, from nothing
    assert prepared.prepared(jars, tmp_path / "broker") == found
    assert len(made) == 2
    assert [one.name for one in found.folder.iterdir()] == [prepared.BOOTSTRAP]


def test_what_is_being_removed_is_found_by_nobody_and_by_the_next_removal(
    jars: Path, made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given removals that are killed as they begin
    monkeypatch.setattr(prepared.shutil, "rmtree", lambda *_, **__: None)
    executable = Path(prepared.java())
    for number in range(prepared._KEPT + 1):
        executable.write_text("x" * number)
        os.utime(prepared.prepared(jars, tmp_path / "broker").folder, (number, number))
    # Then the folder is there under another name
    assert not made[0].exists()
    assert made[0].with_name(f"{made[0].name}.gone").is_dir()
    # And gone with the next one
    monkeypatch.undo()
    prepared._forget_oldest(made[-1])
    assert not made[0].with_name(f"{made[0].name}.gone").exists()


def test_a_format_without_end_is_an_error_of_ours(jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a Java that does not end
    executable = Path(prepared.java())
    executable.write_text("#!/bin/sh\nexec sleep 60\n")
    executable.chmod(0o755)
    monkeypatch.setattr(prepared, "_RUN_SECONDS", 0.2)
    # Then nobody waits for it for ever
    with pytest.raises(OpsError, match=r"no end within 0\.2 s"):
        prepared._format(str(executable), jars, jars.parent / "server.properties")


def test_a_broker_that_makes_no_archive_is_told_of_once(
    jars: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a Java that formats, and ends at once as a broker
    executable = Path(prepared.java())
    executable.write_text(
        "#!/bin/sh\nfor one; do case $one in *server.properties) run=${one%/*};; esac; done\n"
        f'mkdir -p "$run/data"; touch "$run/data/{prepared.BOOTSTRAP}"\n'
    )
    executable.chmod(0o755)
    monkeypatch.setattr(prepared, "major", lambda _: 21)
    # When it is prepared, and used again
    for _ in range(2):
        assert prepared.prepared(jars, jars.parent / "broker").flags == ()
    # Then that is said, with what to do about it
    said = capsys.readouterr().err
    assert said.count("no archive") == 1
    assert "remove" in said


def test_the_ports_of_a_broker_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given a machine whose next free port is the same one twice
    monkeypatch.setattr(ports, "free_port", iter([4001, 4002]).__next__)
    monkeypatch.setattr(prepared, "free_port", lambda: 4001)
    # Then the second listener has another one
    settings, port = prepared._settings(tmp_path)
    assert port == 4001
    assert settings.read_text().count(":4001") < settings.read_text().count(":400")
    assert ":4002" in settings.read_text()


def test_what_was_not_used_for_the_longest_time_is_forgotten(jars: Path, made: list[Path]) -> None:
    # Given as many as are kept, used one after the other
    executable = Path(prepared.java())
    for number in range(prepared._KEPT):
        executable.write_text("x" * number)
        os.utime(prepared.prepared(jars, jars.parent.parent / "broker").folder, (number, number))

    # When the oldest is used again, and one more is made
    executable.write_text("")
    os.utime(executable, (1, 1))
    os.utime(made[0], (100, 100))
    prepared.prepared(jars, jars.parent.parent / "broker")

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
    (tmp_path / name).mkdir()  # where it cannot be removed, that stops nobody
    ready.discard_archive()


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
