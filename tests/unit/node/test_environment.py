"""The env file and the environment made of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core import envfile
from ops.core.envfile import EnvFileError
from ops.core.protocol import ProcessSpec
from ops.core.slot import Slot, SlotFiles
from ops.node import environment
from tests.labs.parts import ROOT, require

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
NONCHARACTERS = (
    "".join(map(chr, range(0xFDD0, 0xFDF0)))
    + "".join(chr(p + e) for p in range(0, 1 << 20, 1 << 16) for e in (0xFFFE, 0xFFFF))
    + chr(0x10FFFE)
    + chr(0x10FFFF)
)
VALUES = st.text(st.characters(exclude_characters="\0" + NONCHARACTERS, exclude_categories=["Cs"]), max_size=50)


def quote(value: str) -> str:
    escaped = "".join(f"\\{one}" if one in '"\\$`' else one for one in value)
    return f'"{escaped}"'


@given(st.dictionaries(NAMES, VALUES))
def test_what_is_quoted_comes_back(values: dict[str, str]) -> None:
    # Given any values, quoted
    text = "\n".join(f"{name}={quote(value)}" for name, value in values.items())
    # Then they are read as they were
    assert envfile.parse(text) == values


@given(st.dictionaries(NAMES, VALUES.filter(lambda value: "'" not in value)))
def test_single_quotes_are_literal(values: dict[str, str]) -> None:
    # Given any values without a single quote, in single quotes
    text = "\n".join(f"{name}='{value}'" for name, value in values.items())
    # Then they are read as they were
    assert envfile.parse(text) == values


@given(st.one_of(st.binary(), st.text("A=B'\"\\ \t\n\r#;$x").map(str.encode)))
def test_any_bytes_are_read_or_refused_by_line(data: bytes) -> None:
    # Given anything at all
    refusal, found = "", {}
    try:
        found = envfile.parse(data, where="env")
    except EnvFileError as error:
        refusal = str(error)
    # Then the refusal names file and line, or what was found can be an environment
    assert not refusal or refusal.startswith("env: line ")
    assert all(name.isidentifier() and "\0" not in value for name, value in found.items())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# comment\n; comment\n\n  A=1  \r\n", {"A": "1"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A = 1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=''", {"A": ""}),
        ("A=a b # no comment", {"A": "a b # no comment"}),
        ("A='a' # no comment", {"A": "a# no comment"}),
        ("A=$HOME `id` $(id)", {"A": "$HOME `id` $(id)"}),
        (r"A=a\ b\\c", {"A": r"a b\c"}),
        (r'A="a\"b\n"', {"A": r'a"b\n'}),
        ("URL=postgres://u:p@h/d?a=b", {"URL": "postgres://u:p@h/d?a=b"}),
        ("A=it's", {"A": "it's"}),
        ("A='ends with a blank '", {"A": "ends with a blank "}),
        ('A="-----BEGIN\nabc\n-----END"\nB=1', {"A": "-----BEGIN\nabc\n-----END", "B": "1"}),
        ("A='a\nb'", {"A": "a\nb"}),
        ("A=a \\\nb", {"A": "a b"}),
        ('A="a\\\nb"', {"A": "ab"}),
        ("A='a\\\nb'", {"A": "a\\\nb"}),
        ("A='x'y", {"A": "xy"}),
        ("A='a' \"b\"", {"A": "ab"}),
        ("A='x\nB=1", {"A": "x\nB=1"}),
        ("A=x\\", {"A": "x"}),
        ("A=x  \\", {"A": "x  "}),
        ("# c\\\nA=1\nB=2", {"B": "2"}),
        ("export A=1\nB=2", {"B": "2"}),
        ("A\n1A=x\n=x\nA-B=1\nB=2", {"B": "2"}),
        ("\ufeffA=1\nB=2", {"B": "2"}),
        ("A=1\rB=2", {"A": "1", "B": "2"}),
    ],
)
def test_lines_are_read_as_systemd_reads_them(text: str, values: dict[str, str]) -> None:
    # Given lines of an env file, then they mean this
    assert envfile.parse(text) == values


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A", "no KEY=value"),
        ("=x", "no KEY=value"),
        ("1A=hidden", "no name"),
        ("A-B=hidden", "no name"),
        ("export A=hidden", "leave out `export`"),
        ("A='hidden", "never closed"),
        ('A="hidden" # y', "part of the value"),
        ("# c\\\nA=hidden", "the next line is part of it"),
    ],
)
def test_what_is_read_otherwise_than_it_looks_is_said_without_its_value(line: str, words: str) -> None:
    # Given such a line after a good one
    said: list[str] = []
    envfile.parse(f"OK=1\n{line}", say=said.append)
    # Then it is said which and why, and no value
    assert len(said) == 1
    assert said[0].startswith("line 2")
    assert words in said[0]
    assert "hidden" not in said[0]


@pytest.mark.parametrize("data", [b"OK=1\nA=h\0n", b"OK=1\nA=caf\xe9", b"OK=1\nA\xff=1", "OK=1\nA=\ufffe".encode()])
def test_a_file_of_which_systemd_would_take_nothing_is_refused(data: bytes) -> None:
    # Given bytes that are no text
    # Then the line is named, and no value
    with pytest.raises(EnvFileError, match=r"^/srv/env: line 2 .*systemd would take nothing"):
        envfile.parse(data, where="/srv/env")
    assert envfile.parse(b"# caf\xe9\nA=1") == {"A": "1"}


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o601, 0o620, 0o642])
def test_a_mode_that_lets_others_in_is_refused(tmp_path: Path, mode: int) -> None:
    # Given an env file that others may do something with
    path = tmp_path / "env"
    path.write_text("A=1")
    path.chmod(mode)
    # Then it is refused, with what to do
    with pytest.raises(EnvFileError, match="chmod 600"):
        envfile.read(path)


def test_the_group_of_who_deploys_may_read(tmp_path: Path) -> None:
    # Given an env file that the own group may read, as an administrator's root:deploy 0640
    path = tmp_path / "env"
    path.write_text("A=1")
    path.chmod(0o640)
    # Then it is as good as one that nobody else may
    assert envfile.read(path) == {"A": "1"}


def test_a_group_of_others_may_not_read(tmp_path: Path) -> None:
    # Given an env file that a group may read which its user is not in
    require(ROOT)
    path = tmp_path / "env"
    path.write_text("A=1")
    path.chmod(0o640)
    os.chown(path, 0, 64077)
    # Then it is refused, naming the group
    with pytest.raises(EnvFileError, match="group 64077 may read its secrets"):
        envfile.read(path)


def test_a_missing_env_file_is_empty_and_one_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    # Given no file, and a folder in its place
    assert envfile.read(tmp_path / "none") == {}
    with pytest.raises(EnvFileError, match="Is a directory"):
        envfile.read(tmp_path)


def test_a_linked_env_file_is_read_and_a_link_to_nothing_is_an_error(tmp_path: Path) -> None:
    # Given a link to where something else writes the secrets
    link, target = tmp_path / "env", tmp_path / "mounted"
    link.symlink_to(target)
    # When they are not there yet, then no process begins without them
    with pytest.raises(EnvFileError, match="which is not there"):
        envfile.read(link)
    # And once they are, they are read
    target.write_text("A=1")
    target.chmod(0o600)
    assert envfile.read(link) == {"A": "1"}


def test_the_agents_own_word_is_last(tmp_path: Path) -> None:
    # Given an agent's environment, settings and an env file that all have something to say
    path = tmp_path / "env"
    path.write_text("B=file\nC=file\nNOTIFY_SOCKET=file\nKARAFKA_LOG_FILE=file\n")
    path.chmod(0o600)
    files = SlotFiles.below("/srv/shared", "tmp/pids/karafka.pid", Slot("karafka", 0))
    spec = ProcessSpec(
        "karafka-0", ("true",), "/", files, env={"A": "set", "B": "set", "LANG": "set"}, env_file=str(path)
    )
    # When the environment is composed
    inherited = {"LANG": "agent", "LC_ALL": "agent", "HOME": "/home/deploy", "SECRET": "agent", "A": "agent"}
    inherited["KARAFKA_SANDBOX"] = "/hosts/h1"  # by which a sandbox finds what was started on its hosts
    composed = environment.compose(spec, notify_address="@own", inherited=inherited)
    # Then the stronger one won each time
    assert {name: composed[name] for name in "ABC"} == {"A": "set", "B": "file", "C": "file"}
    assert (composed["LANG"], composed["LC_ALL"], composed["HOME"]) == ("set", "agent", "/home/deploy")
    assert (composed["NOTIFY_SOCKET"], composed["KARAFKA_LOG_FILE"]) == ("@own", files.log)
    assert "SECRET" not in composed
    assert composed["KARAFKA_SANDBOX"] == "/hosts/h1"
    assert composed["PATH"]


def test_a_command_that_is_asked_what_it_reads_has_no_slot_and_no_broker(tmp_path: Path) -> None:
    # Given a process with all that a slot has, in the settings and in the env file
    path = tmp_path / "env"
    path.write_text("SECRET=file\nKARAFKA_BROKERS=kafka1:9092\nNOTIFY_SOCKET=file\nKARAFKA_FRESH_MEMBER=g\n")
    path.chmod(0o600)
    files = SlotFiles.below("/srv/shared", "tmp/pids/karafka.pid", Slot("karafka", 0))
    env = {"KARAFKA_INSTANCE_ID": "app.h1.karafka.0", "KARAFKA_APP": "orders:app"}
    spec = ProcessSpec(
        "karafka-0", ("true",), "/", files, env=env, env_file=str(path), fresh_member_of=("orders", "bills")
    )
    # When its environment is composed, for a start and for the question
    start, question = environment.compose(spec), environment.compose_description(spec)
    # Then the question has what the app needs and nothing to join a group with
    assert question.keys() - start.keys() == {"KARAFKA_DESCRIBE"}
    assert (question["SECRET"], question["KARAFKA_APP"]) == ("file", "orders:app")
    assert question["KARAFKA_BROKERS"] == "127.0.0.1:1"
    assert start.keys() - question.keys() == {
        "KARAFKA_INSTANCE_ID",
        "KARAFKA_STATUS_FILE",
        "KARAFKA_LOG_FILE",
        "KARAFKA_DRAIN_TIMEOUT_SECONDS",
        "KARAFKA_FRESH_MEMBER",
        "NOTIFY_SOCKET",
    }
    # And the start tells which groups its member leaves, at this start alone
    assert start["KARAFKA_FRESH_MEMBER"] == "orders,bills"
    assert "KARAFKA_FRESH_MEMBER" not in environment.compose(replace(spec, fresh_member_of=()))
