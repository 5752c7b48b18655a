"""Patterns take what they say and no more: no line break at an end, no digit of another script."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core import broker_address, release, slot
from ops.core.errors import SettingsError, UsageError
from ops.core.section import load
from ops.core.since import seconds_since as ago

OPS = Path(__file__).parents[3] / "ops"
FUNCTIONS = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer", "pattern"}
SECTION = {
    "application": "a",
    "deploy_to": "/srv/a",
    "command": "run server",
    "stages": {"one": {"hosts": [{"host": "h1"}]}},
}


def patterns() -> Iterator[tuple[str, str, str]]:
    """Yield where each pattern of ours is, its text, and the words of its flags."""
    for path in sorted(OPS.rglob("*.py")):
        tree = ast.parse(path.read_text())
        named_so = {
            one.targets[0].id: one.value
            for one in tree.body
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = getattr(getattr(node.func, "value", None), "id", "")
            named = [word.value for word in node.keywords if word.arg == "pattern"]
            first = named[0] if named else node.args[0] if node.args else None
            ours = (owner == "re" and called in FUNCTIONS) or called == "pattern" or (called == "Meta" and named)
            if not ours or first is None:
                continue
            first = named_so.get(first.id, first) if isinstance(first, ast.Name) else first
            text = "".join(
                part.value for part in ast.walk(first) if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )
            yield f"{path.relative_to(OPS)}:{node.lineno}", text, ast.unparse(node)


def test_no_pattern_ends_before_a_line_break_or_takes_digits_of_other_scripts() -> None:
    # Given every pattern there is
    found = list(patterns())
    assert len(found) > 60
    # Then `$`, which lets a line break by, stands only where lines are what is looked for
    loose = [
        where
        for where, text, call in found
        if re.search(r"(?<![\\\[])\$(?!\))(?![^\[]*\])", text) and "MULTILINE" not in call
    ]
    assert [
        one for one in loose if not one.startswith(("core/masking.py", "render/units.py", "render/programs.py"))
    ] == []
    # And neither digits nor letters of other scripts are meant
    assert [where for where, text, _ in found if "\\d" in text] == []
    assert [where for where, text, call in found if re.search(r"\\w", text) and "ASCII" not in call] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, f"{good}{end}") for key, good in (("application", "a"), ("branch", "main"), ("deploy_to", "/srv/a"))
          for end in ("\n", "\r", "\x1b[2J", "\0", "\u2028", "\u202e")),
        *(("app", value) for value in ("m:a\n", "é:a", "m:٣")),
        *(("pid", value) for value in ("tmp/a.pid\n", "tmp/\x07.pid")),
        *((key, "x\ny") for key in ("karafka_env", "env_file", "role", "repo_url", "known_hosts", "agent_python")),
        ("python", "/usr/bin/python3\n"), ("logrotate_d", "/etc/l\n"), ("systemd", {"user": "root\n"}),
        ("supervisor", {"socket": "/run/s\n"}), ("linked_dirs", ["log\n"]), ("linked_files", ["a\rb"]),
        ("consumer_groups", ["g\n"]), ("kafka", {"brokers": ["k:9092\n"]}), ("kafka", {"groups": ["g\n"]}),
        ("rollout", {"batch": "5%\n"}), ("rollout", {"batch": "٣%"}), ("roles", {"r\n": {}}),
        ("hooks", {"after-updated\n": {}}),
        ("env", {"A\n": "x"}), ("env", {"A B": "x"}), ("env", {"": "x"}), ("env", {"A=B": "x"}), ("env", {"A": "x\0y"}),
        ("env", {"A": "\ud800"}), ("command", ["run", "x\0"]), ("branch", "--upload-pack=x"), ("branch", "a b"),
        ("tool", "x.whl\n"), ("stages", {"one\n": {"hosts": [{"host": "h1"}]}}),
        *(("stages", {"one": {"hosts": [{"host": "h", **more}]}}) for more in (
            {"host": "h\n"}, {"address": "a\n"}, {"user": "u\n"}, {"deploy_to": "/a\n"}, {"python": "/p\n"})),
    ],
)  # fmt: skip
def test_no_setting_has_a_line_break_or_an_escape_at_its_end(key: str, value: object) -> None:
    # Given settings with such a value
    # Then they are refused by its key path
    with pytest.raises(SettingsError) as caught:
        load({**SECTION, key: value})
    assert key.removesuffix("s") in caught.value.where


def test_what_may_have_several_lines_may() -> None:
    # Given a program in a command, a certificate in the environment
    made = load({**SECTION, "command": ["sh", "-c", "a\nb"], "env": {"PEM": "a\nb\n"}})
    # Then they are as they were written
    assert made.argv == ("sh", "-c", "a\nb")
    assert made.env == {"PEM": "a\nb\n"}


def test_names_that_hosts_say_are_of_ascii_digits_and_end_where_they_end() -> None:
    for digits in ("20260101000001\n", "٢٠٢٦٠١٠١٠٠٠٠٠١"):
        assert not release.NAME.fullmatch(digits)
    assert broker_address.trouble("kafka:٩٠٩٢")
    assert broker_address.trouble("kafka:9092\n")
    assert not slot.ROLE.fullmatch("karafka\n")
    with pytest.raises(UsageError, match="expected how long ago"):
        ago("٣h", 0.0, "--since")
