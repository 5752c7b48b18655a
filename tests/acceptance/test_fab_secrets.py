"""A deploy whose build, hooks and logs say every secret there is: nobody who reads it learns one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.identity import Identity
from tests.labs.ssh_fleet import started
from tests.labs.yard import Yard

SECRETS = {
    "DB_PASS": "p@ss/w0rd-of-db",
    "MYSQL_PWD": 'mysql\'s "own"',
    "SENTRY_DSN": "https://0123456789abcdef@sentry.example.com/1",
    "SASL_JAAS_CONFIG": 'PlainLoginModule required username="u" password="j4as-inside";',
    "AMQP_URL": "amqp://svc:fr0m-a-url@mq.example.com/",
}
PARTS = (*SECRETS.values(), "0123456789abcdef", "j4as-inside", "fr0m-a-url", "fr0m-the-host", "p%40ss%2Fw0rd-of-db")
SAY_ALL = 'for name in DB_PASS MYSQL_PWD SENTRY_DSN SASL_JAAS_CONFIG AMQP_URL; do printenv "$name"; done; true'


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Yard]:
    """A project of one host, whose settings and env file have secrets."""
    directory = tmp_path_factory.mktemp("secrets")
    with started(directory / "fleet", 1, run_owner) as fleet:
        yield Yard(directory / "project", fleet)


def told(*texts: str) -> list[str]:
    return [part for part in PARTS if any(part in text for text in texts)]


@pytest.mark.parametrize("how", [(), pytest.param(("--json",), marks=pytest.mark.soak)], ids=["lines", "json"])
def test_no_output_and_no_record_of_a_deploy_has_a_secret(
    yard: Yard, how: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a build that says all that it has, and then one that fails so, a hook on the hosts, in a pipeline
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.chdir(tmp_path)
    (root,) = yard.hosts.values()
    (root / "shared").mkdir(parents=True, exist_ok=True)
    (root / "shared/karafka.env").write_text("HOST_PASSWORD='fr0m-the-host'\n")
    (root / "shared/karafka.env").chmod(0o600)
    yard.hook("after-updated.say", f"echo {SECRETS['DB_PASS']} {PARTS[-1]}")
    outputs = []
    for code, build in (
        (0, ["sh", "-c", SAY_ALL]),
        (1, ["sh", "-c", f"{SAY_ALL}; exit 3", "--password=p@ss/w0rd-of-db"]),
    ):
        yard.settings(env=SECRETS, build=build, hooks={"after-updated.say": {"on": "hosts"}})
        # When it is deployed
        done = yard.fab("deploy", *how, code=code)
        outputs += [done.stdout, done.stderr]
    # Then what was said is shown
    assert "********" in "".join(outputs)
    # And neither it, nor the summary, nor what the host has written down of it has a secret
    written = [path for path in root.rglob("*") if path.is_file() and path.name != "karafka.env"]
    records = [path.read_text(errors="replace") for path in written if "releases/" not in str(path.relative_to(root))]
    marks = [path.read_text() for path in (root / "releases").glob("*") if path.is_file()]
    assert told(*outputs) == []
    assert told(summary.read_text()) == []
    assert told(*records, *marks) == []


def test_what_a_process_says_of_its_env_file_is_not_shown(yard: Yard) -> None:
    # Given a release whose process writes a secret of its host into its log and ends
    (root,) = yard.hosts.values()
    (root / "shared").mkdir(parents=True, exist_ok=True)
    (root / "shared/karafka.env").write_text("HOST_PASSWORD='fr0m-the-host'\n")
    (root / "shared/karafka.env").chmod(0o600)
    yard.fab("karafka.stop")
    yard.tidy()
    yard.settings(command=["sh", "-c", "echo it was $HOST_PASSWORD; exit 3"], default_hooks=False)
    yard.fab("deploy")
    # When it is started, and its log is looked at
    start = yard.fab("karafka.start", code=1)
    log = yard.fab("karafka.log")
    # Then both show the line without it
    assert "it was ********" in start.stderr
    assert "it was ********" in log.stdout
    assert told(start.stdout, start.stderr, log.stdout, log.stderr) == []
