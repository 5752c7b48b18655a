"""The early look at the settings' file: which file argv names, what is refused before Fabric sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.core.errors import SettingsError, UsageError
from ops.shell.early import check_environment, named_file, no_section, section


@pytest.mark.parametrize(
    ("argv", "file"),
    [
        (["-f", "a.yaml", "karafka.status"], "a.yaml"),
        (["-fa.yaml"], "a.yaml"),
        (["-f=a.yaml"], "a.yaml"),
        (["--config", "a.yaml"], "a.yaml"),
        (["--config=a.yaml"], "a.yaml"),
        (["-ef", "a.yaml"], "a.yaml"),
        (["production", "karafka.status", "-f", "a.yaml"], "a.yaml"),
        (["-H", "web1", "-i", "key", "-f", "a b.yaml"], "a b.yaml"),
        (["karafka.status"], None),
        (["-f"], None),
        (["--", "-f", "a.yaml"], None),
    ],
)
def test_the_file_is_found_in_every_spelling(
    argv: list[str], file: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a command line
    monkeypatch.delenv("INVOKE_RUNTIME_CONFIG", raising=False)
    # Then the file is the one that Fabric will read
    assert named_file(argv) == file


def test_the_environment_names_a_file_where_the_command_line_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given Invoke's variable
    monkeypatch.setenv("INVOKE_RUNTIME_CONFIG", "b.yaml")
    # Then it counts, and -f wins over it
    assert named_file(["karafka.status"]) == "b.yaml"
    assert named_file(["-f", "a.yaml"]) == "a.yaml"


def test_without_f_the_file_is_the_one_beside_the_fabfile(tmp_path: Path) -> None:
    # Given a project, and a folder deep inside it
    (tmp_path / "fabfile.py").touch()
    (tmp_path / "fabric.yaml").write_text("karafka: {stages: {one: {}}}")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    # Then it is found from there, as Fabric finds it
    assert section([], deep) == {"stages": {"one": {}}}


def test_no_file_and_no_section_are_nothing(tmp_path: Path) -> None:
    # Given no project, then one without our section
    assert section([], tmp_path) is None
    (tmp_path / "fabfile.py").touch()
    (tmp_path / "fabric.yaml").write_text("user: app")
    # Then there are no stages, and that is no error here
    assert section([], tmp_path) is None


@pytest.mark.parametrize(
    ("name", "text", "error", "word"),
    [
        ("none.yaml", None, UsageError, "no such file"),
        ("a.txt", "", UsageError, ".yaml"),
        ("a.yaml", "karafka: [", SettingsError, "a.yaml"),
        ("a.yaml", "a: b: c", SettingsError, "a.yaml"),
        ("a.yaml", "\x00", SettingsError, "a.yaml"),
        ("a.yaml", "a: b\x01", SettingsError, "a.yaml: character 5 of the file, U+0001, has no place in YAML"),
        ("a.yaml", "a: \udcff", SettingsError, "a.yaml: it is not UTF-8: byte 0xff in line 1, column 4"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, name: str, text: str | None, error: type[Exception], word: str
) -> None:
    # Given a file that Fabric would ignore or fail on
    if text is not None:
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    # Then it is refused by name, and by no other
    with pytest.raises(error, match=word.replace(".", r"\.").replace("+", r"\+")) as caught:
        section(["-f", name], tmp_path)
    assert "unicode string" not in str(caught.value)


def test_the_environment_is_checked_before_fabric_reads_it() -> None:
    # Given values that fit, and variables of others
    check_environment({"FABRIC_KARAFKA_POOL": "9", "FABRIC_USER": "app", "PATH": "/bin"})
    # Then only ones that don't fit are refused, by the variable's name
    with pytest.raises(SettingsError, match="FABRIC_KARAFKA_POOL: expected a whole number, got"):
        check_environment({"FABRIC_KARAFKA_POOL": "abc"})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("karafak: {application: a}", "did you mean karafka, where it says karafak?"),
        ("Karafka: {application: a}", "did you mean karafka, where it says Karafka?"),
        ("application: a", "put its settings below karafka:"),
        ("user: deploy", "python -m ops init writes an annotated one"),
        (None, "python -m ops init writes an annotated one"),
    ],
)
def test_a_file_without_a_section_is_answered_with_what_was_meant_for_it(
    tmp_path: Path, text: str | None, hint: str
) -> None:
    path = tmp_path / "fabric.yaml"
    if text is not None:
        path.write_text(text)
    assert no_section(path, "fabric.yaml").hint == hint
