from __future__ import annotations

from pathlib import Path

import pytest

from bench import startup
from ops.core.errors import OpsError
from ops.core.protocol import Request, Verb


def test_a_heavy_import_is_seen(tmp_path: Path) -> None:
    # Given a script that imports kafka inside a function, and one that doesn't
    heavy, light = tmp_path / "heavy.py", tmp_path / "light.py"
    heavy.write_text("import ops.core.errors\ndef main():\n    import kafka.errors\nmain()\n")
    light.write_text("import ops.core.errors\n")
    # When it is asked what they import
    # Then kafka is seen in the first one only
    assert startup.imported([str(heavy)], tmp_path) & set(startup.HEAVY) == {"kafka"}
    assert not startup.imported([str(light)], tmp_path) & set(startup.HEAVY)


def test_a_command_that_did_not_start_is_no_proof_of_few_imports(tmp_path: Path) -> None:
    # Given a script that fails before it reaches ops
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit(3)\n")
    # When it is asked what it imports
    # Then that is an error
    with pytest.raises(OpsError, match="exited with 3"):
        startup.imported([str(script)], tmp_path)


def test_the_agents_request_names_two_processes_of_one_host(tmp_path: Path) -> None:
    # Given the request of the bench
    text = startup.request(Verb.STATUS, tmp_path).decode()
    # When the agent's own decoder reads it
    request = Request.decode(text)
    # Then it fits the protocol
    assert [spec.name for spec in request.processes] == ["karafka-0", "karafka-1"]
    assert request.verb is Verb.STATUS
