"""Every example in README, docs and templates works as it stands there: settings, shell, Python."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ops.core.section import load
from ops.core.settings import Settings
from ops.render.templates import render
from ops.shell.early import section_of
from ops.tasks.project import _development
from tests.unit.test_docs import FENCE, PAGES, PROJECT, blocks, keys_of, name_of, prose

LANGUAGES = {"sh", "python", "yaml", "console", "text", "ini"}
TEMPLATES = PROJECT / "templates"
# What stands for something of the reader's own, and an example of it
PLACEHOLDERS = {
    r"\bHEX\b": "ab" * 32,
    r"\bNAME\b(?!\.whl)": "after-updated.sh",
    r"https://\.\.\./NAME": "https://files.example.com/karafka_ops-1.0-py3-none-any",
    r"https://\.\.\.": "https://pypi.example.com/simple/",
    r": N\b": ": 2",
    r"processes: 4, (.*)consumer_groups: \[\.\.\.\]": r"processes: 2, \1consumer_groups: [a, 'b,c']",
    r"consumer_groups: \[\.\.\.\]": "consumer_groups: [a]",
}
HOST = {"host": "h1", "roles": ["karafka", "karafka_big"]}
SECTION = {"application": "a", "deploy_to": "/srv/a", "command": "run server", "stages": {"p": {"hosts": [HOST]}}}
INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S.*\n)+")  # the README's way to write what is typed
EXECUTE = """
import sys, types
for text in sys.stdin.read().split("\\f"):
    module = sys.modules["example"] = types.ModuleType("example")
    exec(compile(text, "<an example>", "exec"), vars(module))
"""


def known() -> set[str]:
    """Return the settings' names, of sections their own alone."""
    return {key.partition(".")[0] for key in keys_of(Settings)}


def filled(text: str) -> str:
    for pattern, example in PLACEHOLDERS.items():
        text = re.sub(pattern, example, text)
    return text


def read(folder: Path, text: str) -> Any:
    """Read a value as the settings' file has it."""
    (folder / "fabric.yaml").write_text(f"karafka: {{value: {text}}}\n")
    section = section_of(folder / "fabric.yaml")
    assert section is not None
    return section["value"]


def loaded(path: list[str], value: Any) -> Settings:
    """Load settings with a value at a path."""
    section: dict[str, Any] = {path[-1]: value}
    for key in reversed(path[:-1]):
        section = {key: section}
    return load({**SECTION, **section})


@pytest.mark.parametrize("page", [*PAGES, PROJECT / "tests" / "README.md"], ids=name_of)
def test_every_block_is_of_a_known_language(page: Path) -> None:
    assert {kind for _, kind, _ in FENCE.findall(page.read_text(encoding="utf-8"))} <= LANGUAGES


@pytest.mark.parametrize("page", [*PAGES, PROJECT / "tests" / "README.md"], ids=name_of)
def test_every_shell_block_can_be_parsed(page: Path) -> None:
    indented = INDENTED.findall(page.read_text(encoding="utf-8")) if page == PROJECT / "README.md" else []
    for text in [*blocks(page, "sh"), *indented]:
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, timeout=20, check=False)
        assert (done.returncode, done.stderr) == (0, ""), text


def test_every_ini_block_can_be_parsed() -> None:
    for page in PAGES:
        for text in blocks(page, "ini"):
            parser = configparser.RawConfigParser()
            parser.read_string(text)
            assert parser.sections(), text


def test_an_example_takes_no_variable_for_granted_that_a_laptop_lacks() -> None:
    # Given the variables that our examples cannot do without
    examples = "".join(text for page in PAGES for text in blocks(page, "python"))
    needed = set(re.findall(r'os\.environ\["(\w+)"\]', examples))
    assert needed
    # Then `inv start` gives them in a checkout, where there is no host of the fleet
    section = {**SECTION, "kafka": {"brokers": ["localhost:9092"]}}
    (spec,) = _development(section, load(section)).specs
    assert needed <= set(spec.env)


def test_every_python_block_runs() -> None:
    # Given the blocks of each page as one program; what would go on for ever is compiled alone
    programs = []
    for page in PAGES:
        text = "\n".join(re.sub(r"(?m)^  ", "", one) if one.startswith("  ") else one for one in blocks(page, "python"))
        compile(text, str(page), "exec")
        imports = "\n".join(line for line in text.splitlines() if re.match(r"(from|import) ", line))
        programs.append(imports if "while running" in text else text)
    # When they are run one after the other
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE], input="\f".join(programs), capture_output=True, text=True, timeout=60,
        check=False, cwd=PROJECT,
    )  # fmt: skip
    # Then each name of ours is there, and what is asserted holds
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_in_a_sentence_is_one(page: Path, tmp_path: Path) -> None:
    for text in re.findall(r"`([a-z_]+: [^`\n]+)`", prose(page)):
        # Given `key: value` in a sentence
        key, _, value = filled(text).partition(": ")
        # Then the settings take it
        assert key not in known() or loaded([key], read(tmp_path, value)) is not None


def test_the_table_of_settings_has_their_defaults(tmp_path: Path) -> None:
    # Given the first two columns
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| (`[^|]+`|[^|` ]+) \|", (PROJECT / "docs/reference/settings.md").read_text(), re.M
    )
    own = msgspec.to_builtins(load(SECTION))
    checked = 0
    for name, text in rows:
        text = text.strip("`")
        if text in ("required", "none") or not re.fullmatch(r"[\[\]{}\w./~-]+", text):
            continue
        value = own
        for key in name.split("."):
            value = value[key]
        # Then it is what holds without them
        assert str(value) == text or read(tmp_path, text) == (list(value) if isinstance(value, tuple) else value), name
        checked += 1
    assert checked > 30


def test_every_line_of_the_settings_template_holds_uncommented(tmp_path: Path) -> None:
    # Given the file that init writes, with each setting in force that is shown as a comment
    (record,) = render("project", {"fabric.yaml.j2": "fabric.yaml"}, application="sources", module="sources_app")
    text = re.sub(r"(?m)^( +)# ([a-z_]+: \S)", r"\1\2", record.text)
    assert text != record.text
    (tmp_path / "fabric.yaml").write_text(text)
    # Then both stages are whole
    section = section_of(tmp_path / "fabric.yaml")
    assert load(section, "production").python == "/opt/py312/bin/python3"
    assert load(section, "staging").processes == 1


def test_every_other_value_that_the_settings_template_names_is_taken(tmp_path: Path) -> None:
    # Given the comments behind its settings
    path: list[str] = []
    tried = 0
    for line in (TEMPLATES / "project/fabric.yaml.j2").read_text().splitlines():
        match = re.match(r"( +)([a-z_]+):.*?(?:#(.*))?$", line)
        if match is None or "stages:" in line:
            continue
        path = [*path[: (len(match[1]) - 2) // 2], match[2]]
        for shown in re.findall(r"\{[a-z].*\}|\[[^\]]+\]", match[3] or ""):
            if "{{" in shown or shown in ("[unix_http_server]", "[include]", "[supervisorctl]"):
                continue
            # Then each is one
            assert loaded(path, read(tmp_path, filled(shown))) is not None
            tried += 1
    assert tried >= 5


def test_every_program_among_the_templates_can_be_parsed() -> None:
    for path in (TEMPLATES / "hooks").iterdir():
        text = path.read_text()
        if "python" in text.splitlines()[0]:
            compile(text, str(path), "exec")
        else:
            subprocess.run(["sh", "-n", str(path)], timeout=20, check=True)
