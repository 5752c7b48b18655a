"""Every file that Fabric and Invoke read: what they could not take is an error of ours before, and names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabric.main
import invoke.main
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from invoke.config import AmbiguousMergeError
from invoke.exceptions import AmbiguousEnvVar
from invoke.util import yaml  # type: ignore[attr-defined]  # the one that it reads files with

from ops.core.errors import SettingsError
from ops.shell.early import checked_section

MODULES = {"fabric": fabric.main, "invoke": invoke.main}
FILES = {"fabric": "fabfile.py", "invoke": "tasks.py"}
HOOKS = "karafka: {hooks: {after-updated.sh: {on: hosts}}}"
Started = Callable[..., Any]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """A program that has read the files of system and user, and is about to import the tasks."""

    def start(program: str, files: dict[str, str]) -> Any:
        module = MODULES[program]
        for name in ("etc", "home", "project"):
            (tmp_path / name).mkdir(exist_ok=True)
        for old in tmp_path.glob("*/*.*"):
            old.unlink()
        (tmp_path / "project" / FILES[program]).touch()
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        kind = module.program.config_class
        config = kind(lazy=True, system_prefix=f"{tmp_path}/etc/", user_prefix=f"{tmp_path}/home/.")
        config.load_base_conf_files()
        config.merge()
        monkeypatch.setattr(module.program, "config", config, raising=False)
        return config

    return start


def taken(config: Any, project: Path, given_file: str = "") -> Any:
    """Read the other files as the program does, up to where a task would begin."""
    config.set_project_location(project)
    config.load_project()
    config.set_runtime_path(str(project / given_file) if given_file else None)
    config.load_runtime()
    config.load_shell_env()
    return config.clone()


@pytest.mark.parametrize("program", ["fabric", "invoke"])
@pytest.mark.parametrize("place", ["etc/{}.yaml", "home/.{}.yaml", "home/.{}.yml", "project/{}.yaml", "project/c.yaml"])
def test_a_key_is_text_in_every_file_that_is_read(program: str, place: str, started: Started, tmp_path: Path) -> None:
    # Given the line for a hook in a file of the system, of the user, of the project, or named by -f
    file = place.format(program)
    config = started(program, {file: HOOKS})
    given_file = "c.yaml" if file.endswith("/c.yaml") else ""
    argv = ["-f", given_file] if given_file else []
    # When it is looked at, and then read by the program itself
    checked_section(program, argv, tmp_path / "project", {})
    found = taken(config, tmp_path / "project", given_file)
    # Then the key is the word that stands there
    assert found["karafka"]["hooks"]["after-updated.sh"] == {"on": "hosts"}


def test_the_program_takes_what_was_looked_at(started: Started, tmp_path: Path) -> None:
    # Given that the project's file and the one of -f were looked at, and are others by now
    project = tmp_path / "project"
    config = started("fabric", {"project/fabric.yaml": HOOKS, "project/c.yaml": "user: app"})
    checked_section("fabric", ["-f", "c.yaml"], project, {})
    for name in ("fabric.yaml", "c.yaml"):
        (project / name).write_text("user: [")
    # When the program reads them
    found = taken(config, project, "c.yaml")
    # Then it has what was found right
    assert found["user"] == "app"
    assert found["karafka"]["hooks"]["after-updated.sh"] == {"on": "hosts"}


def test_a_key_is_text_in_the_file_of_a_project_where_another_is_given(started: Started, tmp_path: Path) -> None:
    # Given a file in Python by -f, above the project's own
    config = started("fabric", {"project/fabric.yaml": HOOKS, "project/c.py": "user = 'app'"})
    assert checked_section("fabric", ["-f", "c.py"], tmp_path / "project", {}) is None
    # Then both are taken
    found = taken(config, tmp_path / "project", "c.py")
    assert found["user"] == "app"
    assert found["karafka"]["hooks"]["after-updated.sh"] == {"on": "hosts"}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("foo: {a_b: 1, a: {b: 2}}", "foo.a.b"),
        ("karafka: {application: x}\nkarafka_application: y", "karafka_application"),
        ("run: [a]", "run"),
        ("run:", "run"),
        ("connect_kwargs: 1", "connect_kwargs"),
        ("run_echo: 1", "run_echo"),
        ("chosen_stage: {a: 1}", "chosen_stage"),
        ("x: {[1, 2]: 3}", ""),
        ("x: {!!binary aGk=: 3}", "x"),
        ("x: &x {y: *x}", "x.y"),
        (f"x: {'{a: ' * 60}1{'}' * 60}", "x.a.a"),
        ("\n\nx: !!bool maybe", "line 3"),
        ("\nx: !!int ''", "line 2"),
        ("x: !!timestamp abc", "line 1"),
        ("x: !!float y", "line 1"),
        ("{? !!int {a: 1} : 1}", "line 1"),
        ("x: !!int [1]", "line 1"),
        ("x: !!map y", "line 1"),
        ("x: !!python/object:os.system y", "line 1"),
    ],
)
@pytest.mark.parametrize("level", ["project", "given"])
def test_what_the_program_would_end_on_is_refused_by_file_and_place(
    text: str, where: str, level: str, started: Started, tmp_path: Path
) -> None:
    # Given a file of the project's, or one named by -f
    name = {"project": "fabric.yaml", "given": "c.yaml"}[level]
    started("fabric", {f"project/{name}": text})
    argv = ["-f", "c.yaml"] if level == "given" else []
    # Then it is refused before Fabric reads it
    with pytest.raises(SettingsError) as refused:
        checked_section("fabric", argv, tmp_path / "project", {"chosen_stage": ""})
    assert str(tmp_path / "project" / name) in str(refused.value)
    assert where in str(refused.value)
    assert "unicode string" not in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("above", "where"),
    [
        ("karafka: {hook_timeout_seconds: 3}", "karafka.hook_timeout_seconds"),
        ("karafka: {hook: 3}", "karafka.hook"),
        ("karafka: {hook: {timeout: {seconds: 3}}}", "karafka.hook.timeout.seconds"),
    ],
)
@pytest.mark.parametrize("below", ["etc/fabric.yaml", "home/.fabric.yaml", "project/fabric.yaml"])
def test_what_two_files_say_in_two_ways_is_refused_by_both_their_names(
    above: str, where: str, below: str, started: Started, tmp_path: Path
) -> None:
    # Given a file below the one that -f names, each of them fine
    started("fabric", {below: "karafka: {hook: {timeout_seconds: 3}}", "project/c.yaml": above})
    # Then it is said which two do not go together
    with pytest.raises(SettingsError) as refused:
        checked_section("fabric", ["-f", "c.yaml"], tmp_path / "project", {})
    assert refused.value.where == f"{tmp_path / 'project' / 'c.yaml'}: {where}"
    assert str(tmp_path / below) in refused.value.what


@pytest.mark.parametrize("indent", ["\t", 2, None])
def test_json_is_read_as_json(indent: Any, started: Started, tmp_path: Path) -> None:
    # Given valid JSON, which YAML need not be able to read
    section = {"stages": {"one": {"hosts": []}}, "env": {"on": "yes"}}
    config = started("fabric", {"project/fabric.json": json.dumps({"karafka": section}, indent=indent)})
    # Then it is taken, here and by Fabric
    assert checked_section("fabric", [], tmp_path / "project", {}) == section
    assert taken(config, tmp_path / "project")["karafka"]["env"] == {"on": "yes"}


def test_a_key_that_stands_twice_in_json_is_refused(started: Started, tmp_path: Path) -> None:
    # Given JSON with a key twice in one object
    started("fabric", {"project/fabric.json": '{"karafka": {"env": {"A": "1", "B": "2", "A": "3"}}}'})
    # Then it is refused by its name
    with pytest.raises(SettingsError, match="'A' stands twice"):
        checked_section("fabric", [], tmp_path / "project", {})


def test_what_is_no_json_is_refused_though_it_is_yaml(started: Started, tmp_path: Path) -> None:
    started("fabric", {"project/fabric.json": "karafka: {}"})
    with pytest.raises(SettingsError, match=r"fabric\.json"):
        checked_section("fabric", [], tmp_path / "project", {})


KEYS = st.sampled_from(["a", "b", "a_b", "A", "b_a", "run", "echo", "run_echo", "karafka", "on", "null", "1", "~"])
LEAVES = st.sampled_from([None, 1, "x", True, [], [1], {}, {"x"}])
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=5)
CONTENTS = st.dictionaries(KEYS, TREES, max_size=3)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(user=CONTENTS, project=CONTENTS, runtime=CONTENTS)
def test_whatever_files_say_together_is_taken_by_fabric_or_refused_by_us(
    user: Any, project: Any, runtime: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Given three files, the first of them read before anybody asked us
    tmp_path = tmp_path_factory.getbasetemp() / "levels"
    tmp_path.mkdir(exist_ok=True)
    places = {"home/.fabric.yaml": user, "project/fabric.yaml": project, "project/c.yaml": runtime}
    with pytest.MonkeyPatch.context() as patch:
        start = started.__wrapped__(tmp_path, patch)  # type: ignore[attr-defined]
        try:
            config = start("fabric", {name: yaml.safe_dump(data) for name, data in places.items()})
        except AmbiguousMergeError:
            assume(False)
        try:
            checked_section("fabric", ["-f", "c.yaml"], tmp_path / "project", {})
        except SettingsError as refused:
            # Then those that are refused would end Fabric, or are no value of a setting of ours
            if "got set" not in refused.what:
                with pytest.raises((AmbiguousMergeError, AmbiguousEnvVar)):
                    taken(config, tmp_path / "project", "c.yaml")
            return
        # Then those that are not are taken
        taken(config, tmp_path / "project", "c.yaml")
