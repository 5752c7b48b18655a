"""The import rule of docs/architecture.md: who may import what."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ops

ROOT = Path(ops.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "templates" not in path.parts)

# package -> the packages of ops, and the libraries, that it may import beside itself
RULES: dict[str, set[str]] = {
    "core": {"msgspec"},
    "node": {"ops.core", "psutil"},
    "kafka": {"ops.core", "kafka"},
    "fleet": {"ops.core", "fabric", "paramiko", "invoke"},
    "render": {"ops.core", "rich", "jinja2"},
    "shell": {"ops.core", "invoke"},
    "consumer": {"ops.core", "kafka"},
    "jobs": {"ops.core", "ops.consumer", "kafka"},
    "reference": {"ops.core", "ops.consumer", "ops.jobs", "kafka", "sqlalchemy", "transitions", "httpx"},
}
# where a library is let in: nowhere else
SOLE_IMPORTERS: dict[str, tuple[str, ...]] = {
    "msgspec": (
        "core/settings.py",
        "core/section.py",
        "core/section_checks.py",
        "core/section_errors.py",
        "core/section_hints.py",
        "core/section_topics.py",
        "core/section_words.py",
    ),
    "fabric": ("fleet/transport", "fleet/ssh", "fleet/tasks"),
    "paramiko": ("fleet/transport", "fleet/ssh"),
    "invoke": ("fleet/tasks", "shell/"),
}
# composition roots may import anything
ROOTS = ("tasks/", "sandbox/", "fleet/tasks", "fleet/__init__.py", "__main__.py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def is_root(relative: str) -> bool:
    return any(relative.startswith(root) for root in ROOTS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    # Given a module of a package that has a rule
    relative = str(path.relative_to(ROOT))
    package = relative.split("/")[0]
    for name in imports(path):
        top = name.split(".")[0]
        # Then no module imports a composition root
        if name.startswith("ops.") and not is_root(relative):
            target = name.removeprefix("ops.").replace(".", "/")
            assert not (target.startswith(("tasks", "sandbox", "fleet/tasks"))), f"{relative} imports {name}"
        if is_root(relative) or top in sys.stdlib_module_names or name == "ops":
            continue
        # And it stays within its package's rule
        allowed = RULES.get(package, set())
        inside = name.startswith(f"ops.{package}") or any(name == one or name.startswith(f"{one}.") for one in allowed)
        assert inside, f"{relative} imports {name}; allowed: {sorted(allowed)}"
        # And a library with sole importers is let in there alone
        if top in SOLE_IMPORTERS:
            assert relative.startswith(SOLE_IMPORTERS[top]), f"{relative} imports {name}"


def test_the_agent_never_imports_the_settings() -> None:
    # Given the on-host agent, whose start-up every command pays for
    # Then neither it nor what it imports of core reaches msgspec
    for path in MODULES:
        if path.relative_to(ROOT).parts[0] == "node":
            assert not {
                "ops.core.settings",
                "ops.core.section",
                "ops.core.section_errors",
                "ops.core.section_checks",
                "ops.core.section_hints",
                "ops.core.section_topics",
                "ops.core.section_words",
            } & set(imports(path)), path


LONG = {"fleet/setup/remote.py": 450}  # one text that is sent to hosts, and imports nothing of ours


def test_modules_stay_small() -> None:
    # Given the house rule: about 150 lines, split before 300
    # Then no module is longer
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert not {path: count for path, count in lines.items() if count > LONG.get(path, 300)}
