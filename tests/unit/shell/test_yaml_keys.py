"""Keys of the settings are text, as they are written; what Fabric and Invoke cannot take is an error of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invoke.config import Config
from invoke.util import yaml  # type: ignore[attr-defined]  # the one that it reads files with

from ops.core import section as sections
from ops.core.errors import SettingsError
from ops.shell.early import section, section_of

ROOT = Path(__file__).parents[3]
WORDS = (
    "on",
    "off",
    "yes",
    "no",
    "true",
    "False",
    "NULL",
    "~",
    "null",
    "1",
    "0x1F",
    "1_0",
    "1.10",
    ".inf",
    ".nan",
    "1e3",
)
SCALARS = st.one_of(
    st.sampled_from((*WORDS, "012", "12:30:45", "2026-01-01", "2026-01-01T10:00:00Z", "=", "a", "-1")),
    st.booleans().map(str),
    st.integers().map(str),
    st.floats().map(str),
    st.dates().map(str),
    st.datetimes().map(str),
    st.text("abc_-.", min_size=1).filter(lambda text: not text.startswith(("-", "."))),
)


def written(folder: Path, text: str) -> Path:
    (folder / "fabfile.py").touch()
    (folder / "fabric.yaml").write_text(text)
    return folder / "fabric.yaml"


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(SCALARS, st.sampled_from(("{}", "'{}'", '"{}"')))
def test_any_scalar_is_a_key_by_its_own_text_here_and_in_invoke(tmp_path_factory: Any, key: str, quoting: str) -> None:
    # Given a file with a key that YAML may take for a truth value, nothing, a number or a date, in quotes or not
    folder = tmp_path_factory.getbasetemp() / "keys"
    folder.mkdir(exist_ok=True)
    path = written(folder, f"karafka:\n  env:\n    {quoting.format(key)}: x\n")
    # Then the key is what stands there
    assert section_of(path) == {"env": {key: "x"}}
    # And Invoke, which reads it after us, takes it, too
    config = Config(runtime_path=str(path))
    config.load_runtime()
    config.load_shell_env()
    assert dict(config["karafka"]["env"]) == {key: "x"}


def test_the_line_for_hooks_works_as_the_pages_and_templates_write_it(tmp_path: Path) -> None:
    # Given the lines that tell where hooks run
    pages = (ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("templates/project/*"))
    lines = {line for page in pages for line in re.findall(r"\{after-updated\.sh: \{[^{}]*\}\}", page.read_text())}
    assert lines
    for line in lines:
        stages = "stages: {p: {hosts: [{host: h}]}}"
        written(tmp_path, f"karafka: {{application: a, deploy_to: /a, command: a, hooks: {line}, {stages}}}")
        # Then the hook runs on the hosts
        assert sections.load(section([], tmp_path)).hooks["after-updated.sh"].on == "hosts"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("branch: 2026-01-01", "karafka.branch"),
        ("linked_dirs: [2026-01-01T10:00:00Z]", "karafka.linked_dirs[0]"),
        ("linked_dirs: !!set {log, tmp}", "karafka.linked_dirs"),
        ("stages: {p: {hosts: [{host: !!binary aGk=}]}}", "karafka.stages.p.hosts[0].host"),
        ("env: !!omap [a: 1]", "karafka.env[0]"),
        ("env: &env {A: *env}", "karafka.env.A"),
        ("linked_dirs: &all [log, *all]", "karafka.linked_dirs[1]"),
        ("env: {!!binary aGk=: x}", "karafka.env"),
        ("env: {? [a, b] : x}", "fabric.yaml"),
        ('env: {"\\ud800": x}', "karafka.env"),
        (f"env: {'[' * 3000}{']' * 3000}", "fabric.yaml"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_plain_value_is_refused_by_its_path(text: str, where: str, tmp_path: Path) -> None:
    # Given a value that is neither text, number, truth value, list nor mapping, or that contains itself
    written(tmp_path, f"karafka:\n  {text}\n")
    # Then it is refused, by name
    with pytest.raises(SettingsError) as refused:
        section([], tmp_path)
    assert refused.value.where.endswith(where)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("karafka: {pool: 1, pool: 2}", "pool", 1),
        ("karafka: {pool: 1}\nkarafka: {}", "karafka", 2),
        ("karafka:\n  env:\n    A: 1\n    'A': 1", "A", 4),
        ("karafka:\n  stages:\n    p: {hosts: [{host: a, port: 1, port: 1}]}", "port", 3),
        ("user: a\nkarafka: {}\nuser: b", "user", 3),
        ("karafka: {env: {1: x, '1': y}}", "1", 1),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_its_line(text: str, key: str, line: int, tmp_path: Path) -> None:
    # Given a file with a key twice in one mapping, of which YAML's reader would take the last one
    written(tmp_path, text)
    # Then it is refused, and both places are named
    with pytest.raises(SettingsError, match=f"'{key}' stands twice in one mapping, line .*again, line {line},"):
        section([], tmp_path)


def test_a_key_may_stand_in_a_mapping_and_in_what_is_merged_into_it(tmp_path: Path) -> None:
    # Given mappings that take others in and have some of their keys, and the same key below two others
    text = (
        "a: &a {pool: 1, workers: 1}\nb: &b {pool: 2}\n"
        "karafka:\n  <<: [*a, *b]\n  pool: 3\n  env: {<<: *a, pool: x}\n  roles: {r: {workers: 2}}\n"
    )
    written(tmp_path, text)
    # Then the own one wins, as YAML has it
    found = section([], tmp_path)
    assert found == {"pool": 3, "workers": 1, "env": {"pool": "x", "workers": "1"}, "roles": {"r": {"workers": 2}}}


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary() | st.datetimes(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.text() | st.integers() | st.booleans() | st.none() | st.dates() | st.binary(), inner, max_size=3
            )
            | st.sets(st.text(), max_size=2)
        ),
        max_leaves=8,
    )
)
def test_whatever_yaml_can_say_is_taken_by_invoke_or_refused_by_us(tmp_path_factory: Any, value: Any) -> None:
    # Given anything that YAML can say, below our section
    folder = tmp_path_factory.getbasetemp() / "values"
    folder.mkdir(exist_ok=True)
    path = written(folder, yaml.safe_dump({"karafka": {"env": value}}))
    try:
        # When we read it
        found = section_of(path)
    except SettingsError:
        return
    # Then what we did not refuse Invoke takes
    config = Config(runtime_path=str(path))
    config.load_runtime()
    config.load_shell_env()
    assert found is not None
    assert list(config["karafka"]) == ["env"]


WRITTEN = (
    *(
        "1.10",
        "022",
        "0o17",
        "0x1F",
        "0b101",
        "1_000",
        "12:30:45",
        "1e3",
        "1.5e+3",
        ".5",
        "5.",
        "-0",
        "+7",
        ".inf",
        "-.INF",
    ),
    *(
        ".nan",
        "yes",
        "No",
        "on",
        "OFF",
        "true",
        "False",
        "y",
        "n",
        "2024-01-01",
        "2001-12-14t21:59:43.10-05:00",
        "=",
        "<",
    ),
    *("0123456", "1234567", "1.0", "1", "007", "190:20:30", "685_230.15", "0.", "6.8523015e+5", "Null_", "~x"),
)


@pytest.mark.parametrize("value", WRITTEN)
def test_a_variables_value_is_the_text_that_is_written(value: str, tmp_path: Path) -> None:
    # Given an environment, of the section, of a stage's host, and of a mapping that others merge in
    written(
        tmp_path,
        f"x-common: &common {{M: {value}}}\nkarafka:\n{SECTION_TEXT}  env: {{V: {value}, <<: *common}}\n"
        f"  stages: {{p: {{env: {{W: {value}}}, hosts: [{{host: h1, env: {{X: {value}}}}}]}}}}\n",
    )
    # When it is read here, and as Invoke reads it
    loaded = sections.load(section_of(tmp_path / "fabric.yaml"))
    with (tmp_path / "fabric.yaml").open() as file:
        again = sections.load(yaml.safe_load(file)["karafka"])
    # Then each has it as it was written
    for one in (loaded, again):
        assert one.env == {"V": value, "M": value, "W": value}
        assert one.hosts[0].env == {"X": value}


SECTION_TEXT = "  application: a\n  deploy_to: /srv/a\n  command: run server\n"
STAGES_TEXT = "  stages: {p: {hosts: [{host: h1}]}}\n"


@pytest.mark.parametrize("value", ["~", "null", "", "[a]", "{a: b}"])
def test_a_variable_that_is_no_text_is_refused_by_its_name(value: str, tmp_path: Path) -> None:
    written(tmp_path, f"karafka:\n{SECTION_TEXT}{STAGES_TEXT}  env: {{V: {value}}}\n")

    with pytest.raises(SettingsError) as refused:
        sections.load(section_of(tmp_path / "fabric.yaml"))
    assert refused.value.where == "karafka.env.V"


@pytest.mark.parametrize("key", ["branch", "karafka_env", "repo_url", "known_hosts", "pid", "env_file"])
def test_any_other_text_is_as_it_is_written_or_refused_by_its_key(key: str, tmp_path: Path) -> None:
    for value in WRITTEN:
        # Given a value that YAML may take for something else than text
        written(tmp_path, f"karafka:\n{SECTION_TEXT}{STAGES_TEXT}  {key}: {value}\n")
        # When it is read
        where, made = "", None
        try:
            made = getattr(sections.load(section_of(tmp_path / "fabric.yaml")), key)
        except SettingsError as error:
            where = error.where
        # Then it is taken as it was written, or refused by its key
        assert f"karafka.{key}" in where or made == value


@pytest.mark.parametrize("text", ["022", "0x16", "0b1", "1_0", "1:30", "1e3", ".inf", ".nan"])
def test_a_number_that_is_none_to_everybody_is_refused_by_its_key(text: str, tmp_path: Path) -> None:
    # Given a number of a setting as YAML 1.1 alone reads it
    for key in ("processes", "pool", "stop_timeout_seconds", "rollout: {batch", "rollout: {max_lag"):
        written(tmp_path, f"karafka:\n{SECTION_TEXT}{STAGES_TEXT}  {key}: {text}{'}' * key.count('{')}\n")
        # Then it is refused, as it is written
        with pytest.raises(SettingsError) as refused:
            sections.load(section_of(tmp_path / "fabric.yaml"))
        assert key.split(": {")[-1] in refused.value.where
        assert text in refused.value.what


@pytest.mark.parametrize(("text", "number"), [("1.50", 1.5), (".5", 0.5), ("2.", 2.0), ("10", 10.0), ("1.5e+1", 15.0)])
def test_a_plain_number_is_one(text: str, number: float, tmp_path: Path) -> None:
    written(tmp_path, f"karafka:\n{SECTION_TEXT}{STAGES_TEXT}  stop_timeout_seconds: {text}\n")

    assert sections.load(section_of(tmp_path / "fabric.yaml")).stop_timeout_seconds == number
