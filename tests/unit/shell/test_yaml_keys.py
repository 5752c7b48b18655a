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
        ("env: {A: 2026-01-01T10:00:00Z}", "karafka.env.A"),
        ("linked_dirs: !!set {log, tmp}", "karafka.linked_dirs"),
        ("stages: {p: {hosts: [{host: !!binary aGk=}]}}", "karafka.stages.p.hosts[0].host"),
        ("env: !!omap [a: 1]", "karafka.env[0]"),
        ("env: &env {A: *env}", "karafka.env.A"),
        ("linked_dirs: &all [log, *all]", "karafka.linked_dirs[1]"),
        ("env: {!!binary aGk=: x}", "karafka.env"),
        ("env: {? [a, b] : x}", "fabric.yaml"),
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
