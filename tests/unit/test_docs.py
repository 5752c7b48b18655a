"""What README and docs say, held against the tree: links, commands, settings, pictures."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest
from invoke.collection import Collection

from ops.core.evidence import Evidence
from ops.core.section import load, stage_names
from ops.core.settings import Host, Settings
from ops.fleet.tasks import namespace as fab
from ops.render.evidence import print_summary
from ops.sandbox.pictures import EVIDENCE, TERMINAL, draw
from ops.sandbox.stage import COLUMNS
from ops.shell.early import section_of
from ops.tasks import namespace as inv

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PICTURES = DOCS / "pictures"
PAGES = (PROJECT / "README.md", *sorted(DOCS.rglob("*.md")))
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
INDENTED = re.compile(r"(?:^ {4}.*\n?|^\n)+", re.M)
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.M)
COMMAND = re.compile(r"(?:^\s*|\$ |&& )(fab|inv) ([^\n`|&#;]+)", re.M)
TASK = re.compile(r"`((?:karafka|deploy|ci|sandbox|jobs|templates)\.[a-z_]+)\b")
NO_TASKS = {"karafka.env"}  # the file of a host's secrets
OWN_FLAGS = {"--list", "--help"}  # of Fabric and Invoke themselves, before any task
WITH_VALUE = {"-f", "-H", "-i"}


def name_of(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading)).strip().lower().replace(" ", "-") for heading in headings
    }


def blocks(page: Path, language: str) -> list[str]:
    return [text for _, kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


@cache
def tasks(program: str) -> Collection:
    return {"fab": fab, "inv": inv}[program]


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield every `fab ...` and `inv ...` in a page's code: the program, and its words from the task's name on."""
    text = page.read_text(encoding="utf-8")
    code = [block for _, _, block in FENCE.findall(text)]
    code += INDENTED.findall(prose(page)) + re.findall(r"`([^`\n]+)`", prose(page))
    for program, rest in (found for block in code for found in COMMAND.findall(block)):
        try:
            words = shlex.split(rest.replace("\\", " "))
        except ValueError:
            continue  # an apostrophe: that is a sentence
        while words and (words[0].startswith("-") or words[0] in ("[STAGE]", "STAGE", "production", "staging")):
            first = words.pop(0)
            words = words[1:] if first in WITH_VALUE else [] if first in OWN_FLAGS else words
        if words:
            yield program, words[: words.index("--")] if "--" in words else words


def test_the_readme_is_a_door_that_is_read_at_once() -> None:
    lines = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    targets = [inline or defined for inline, defined in LINK.findall(prose(page))]

    for target in (target for target in targets if not re.match(r"[a-z]+:", target)):
        path, _, anchor = target.partition("#")
        led_to = (page.parent / path).resolve() if path else page
        assert led_to.exists(), target
        assert not anchor or anchor in anchors(led_to), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_named_reference_is_defined(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", prose(page))

    assert set(re.findall(r"\]\[([^\]]+)\]", text)) <= set(re.findall(r"^\[([^\]]+)\]: ", text, re.M))


def test_every_page_is_in_the_index() -> None:
    linked = {(DOCS / target).resolve() for target, _ in LINK.findall(prose(DOCS / "README.md"))}

    assert set(DOCS.rglob("*.md")) - {DOCS / "README.md"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_settings_file_that_is_shown_is_one(page: Path, tmp_path: Path) -> None:
    for text in blocks(page, "yaml"):
        # Given a block as somebody copies it
        file = tmp_path / "fabric.yaml"
        file.write_text(text, encoding="utf-8")
        # When it is read as the settings
        section = section_of(file)
        # Then each of its stages is whole
        assert section is None or stage_names(section)
        for stage in stage_names(section or {}):
            assert load(section, stage).hosts


def test_the_readme_shows_a_whole_fleet_of_foreign_consumers(tmp_path: Path) -> None:
    # Given the settings in the README
    (text,) = blocks(PROJECT / "README.md", "yaml")
    file = tmp_path / "fabric.yaml"
    file.write_text(text, encoding="utf-8")
    # When they are loaded
    settings = load(section_of(file))
    # Then gates can ask for its groups, and no word of readiness is waited for
    assert settings.app is None
    assert settings.readiness == "alive"
    assert settings.kafka.groups
    assert len(text.splitlines()) <= 25


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    own = set(re.findall(r"ns\.add_task\((\w+)\)", page.read_text(encoding="utf-8")))
    for program, words in commands(page):
        task = words[0]
        if task in own:  # of an example above it
            continue
        assert task in tasks(program).task_names or task in tasks(program).collections, f"{program} {task}"
        known = {flag for argument in tasks(program)[task].get_arguments() for flag in flags(argument.names)}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, f"{program} {words}"
    for task in set(TASK.findall(prose(page))) - NO_TASKS:
        assert task in fab.task_names or task in inv.task_names, task


def test_every_setting_stands_in_the_table() -> None:
    # Given the first column of the table
    text = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    named = {key for row in re.findall(r"^\| (`[^|]+) \|", text, re.M) for key in re.findall(r"`([\w.]+)`", row)}
    # Then it has what the schema has; a stage's hosts stand in the row of the stages
    assert keys_of(Settings) - {"hosts"} <= named
    (row,) = re.findall(r"^\| `stages` .*$", text, re.M)
    assert keys_of(Host) - {"host"} <= set(re.findall(r"`(\w+)`", row))


def keys_of(kind: type[msgspec.Struct]) -> set[str]:
    """Return the keys of settings, those of a section of theirs behind a dot."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    sections = {name: type(one) for name, one in defaults.items() if isinstance(one, msgspec.Struct)}
    return (defaults.keys() - sections) | {
        f"{name}.{key}" for name, section in sections.items() for key in keys_of(section)
    }


def test_every_task_stands_in_the_reference() -> None:
    # Given the table's first column, where tasks of one collection follow each other by their last names
    text = (DOCS / "reference" / "tasks.md").read_text(encoding="utf-8")
    rows = [re.findall(r"`([^`]+)`", row) for row in re.findall(r"^\| ([^|]*(?:\\\|[^|]*)*) \|", text, re.M)]
    for program in ("fab", "inv"):
        named = {word for row in rows if row and row[0].startswith(program) for one in row for word in one.split()}
        # Then each task is there
        known = {"deploy" if task == "deploy.deploy" else task for task in tasks(program).task_names}
        assert known <= named, known - named


def test_suites_labs_and_fixtures_that_the_tests_readme_names_are_there() -> None:
    # Given its tables: the feature's suites, and labs with the fixtures that make them
    folder = PROJECT / "tests"
    text = (folder / "README.md").read_text(encoding="utf-8")
    features, labs = re.findall(r"^\|---.*\n((?:\|.*\n)+)", text, re.M)[1:3]
    made = set(re.findall(r"^def (\w+)\(", "".join(p.read_text() for p in fixture_files(folder)), re.M))
    # Then suites are there
    for path in re.findall(r"`([^`]+)`", features):
        assert any(folder.glob(path)) or any(folder.rglob(f"*/{path}")), path
    # And labs, and their fixtures
    for row in labs.splitlines():
        modules, fixtures = (re.findall(r"`(\w+)`", cell) for cell in row.split("|")[1:3])
        assert {name for name in modules if not (folder / "labs" / f"{name}.py").is_file()} == set()
        assert set(fixtures) <= made, row


def fixture_files(folder: Path) -> Iterator[Path]:
    yield from folder.rglob("conftest.py")
    yield folder / "labs" / "fixtures.py"


def flags(names: tuple[str, ...]) -> set[str]:
    return {f"--{name.replace('_', '-')}" for name in names}


def test_the_pictures_are_what_todays_renderer_makes_of_the_recorded_restart() -> None:
    for name, picture in draw(PICTURES).items():
        assert (PICTURES / name).read_text(encoding="utf-8") == picture, f"{name} is stale: make picture"


def test_the_terminals_picture_shows_what_todays_tool_prints_of_the_recorded_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given the recorded restart, summed up as the tool does it now on a terminal as wide as the picture's
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    printed = io.StringIO()
    print_summary(Evidence.from_json(json.loads((PICTURES / EVIDENCE).read_text(encoding="utf-8"))), printed)
    today = [line.rstrip() for line in plain_text(printed.getvalue()).split("\n")]
    # Then the lines of the picture, figures and slots, are the same, in the same order
    shown = plain_text((PICTURES / TERMINAL).read_text(encoding="utf-8")).split("\n")
    begin = next(row for row, line in enumerate(shown) if line.startswith("longest stall"))
    end = next(row for row, line in enumerate(shown) if row > begin and line.startswith("[..."))
    rest = iter(today)
    assert end - begin > 8
    assert all(line in rest for line in shown[begin:end]), "make picture"
    # And there is a gate, and one screen has room for it all
    assert any(line.startswith("the gate after batch 1 passed") for line in shown)
    assert len(shown) <= 26


def plain_text(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)
