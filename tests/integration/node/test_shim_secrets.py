"""What the shim reads for a unit: the host's env file, and what was left for one start alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ops.node import once
from tests.labs.node_host import NodeHost

SAY = "import os, json; print(json.dumps(dict(os.environ)))"


def start(host: NodeHost, secrets: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Start a command as a unit does."""
    files = host.spec().files
    argv = [sys.executable, "-I", "-m", "ops.node.shim", files.lock, files.pidfile, ".", "--secrets", str(secrets)]
    argv += ["--", sys.executable, "-c", SAY]
    return subprocess.run(argv, env=env, cwd=host.current, capture_output=True, text=True, timeout=60, check=False)


def test_the_env_file_wins_and_one_starts_own_is_gone_after_it(host: NodeHost) -> None:
    # Given an env file, and what an agent has left for the next start
    files = host.spec().files
    secrets = host.root / "karafka.env"
    secrets.write_text('TOKEN="from the file"\nKARAFKA_FRESH_MEMBER=never\n')
    secrets.chmod(0o600)
    host.pidfile(host.spec())
    Path(files.once).parent.mkdir(parents=True, exist_ok=True)
    once.leave(Path(files.once), ["orders", "payments"])
    # When a unit starts its command, twice
    first, second = (json.loads(start(host, secrets, TOKEN="of the unit").stdout) for _ in range(2))
    # Then it has the secrets, and only the first start has what was for it alone
    assert (first["TOKEN"], second["TOKEN"]) == ("from the file", "from the file")
    assert first["KARAFKA_FRESH_MEMBER"] == "orders,payments"
    assert second["KARAFKA_FRESH_MEMBER"] == "never"
    assert not Path(files.once).exists()


def test_a_file_for_one_start_brings_nothing_else(host: NodeHost) -> None:
    # Given a file in that place that names more than an agent ever leaves there
    files = host.spec().files
    host.pidfile(host.spec())
    path = Path(files.once)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text("KARAFKA_FRESH_MEMBER=orders\nTOKEN=planted\n")
    # Then that alone is taken
    found = json.loads(start(host, host.root / "none").stdout)
    assert found["KARAFKA_FRESH_MEMBER"] == "orders"
    assert "TOKEN" not in found


def test_an_env_file_that_others_may_read_is_said_and_nothing_is_started(host: NodeHost) -> None:
    # Given an env file that others may read
    secrets = host.root / "karafka.env"
    secrets.write_text("TOKEN=secret")
    secrets.chmod(0o644)
    # When a unit starts its command
    done = start(host, secrets)
    # Then it ends with what is wrong, and no value
    assert (done.returncode, done.stdout) == (73, "")
    assert "others may read its secrets" in done.stderr
    assert "TOKEN" not in done.stderr
    assert not Path(host.spec().files.pidfile).exists()


def test_a_line_without_effect_is_said(host: NodeHost) -> None:
    # Given an env file with a line that systemd would leave out
    secrets = host.root / "karafka.env"
    secrets.write_text("no assignment\nTOKEN=good\n")
    secrets.chmod(0o600)
    host.pidfile(host.spec())
    # When a unit starts its command, then it runs, and its journal says which line that is
    done = start(host, secrets)
    assert json.loads(done.stdout)["TOKEN"] == "good"
    assert f"{secrets}: line 1" in done.stderr
