"""`fab` as a user types it, no host needed: stages, files, flags, and what is refused before anything is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.labs import in_process
from tests.labs.parts import SSH, needs

FAB = str(Path(sysconfig.get_path("scripts")) / "fab")
FABFILE = in_process.FABFILE
SETTINGS = """
karafka:
  application: shop
  deploy_to: /srv/shop
  command: bin/run
  env: {API_TOKEN: s3cret, URL: "postgresql://app:hidden@db/shop", PLAIN: "yes"}
  pool: 4
  stage: production
  stages:
    production:
      hosts:
        - {host: web1, address: 127.0.0.1, port: 1}
        - {host: web2, address: 127.0.0.1, port: 1}
    staging:
      processes: 3
      hosts: [{host: s1, address: 127.0.0.1, port: 1}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "fabfile.py").write_text(FABFILE)
    (tmp_path / "fabric.yaml").write_text(SETTINGS)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "PATH": os.environ["PATH"], "COLUMNS": "120"}


def fab(folder: Path, *arguments: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    return in_process.fab(folder, *arguments, code=code, config="", env={**environment(folder), **environ})


def typed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [FAB, *arguments], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def refused(folder: Path, *arguments: str, **environ: str) -> str:
    """Run what must end with exit code 2 and one error on standard error; gives its text."""
    done = fab(folder, *arguments, code=2, **environ)
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""
    return done.stderr


def test_list_shows_stages_and_tasks_with_what_they_do(project: Path) -> None:
    # When a user looks what there is
    text = typed(project, "--list").stdout
    # Then every stage and task has a line
    assert "Stage production (2 hosts) for the tasks after it." in text
    assert "Stage staging (1 host)" in text
    for name in ("start", "stop", "restart", "status", "lag", "log", "config", "setup"):
        assert f"karafka.{name} " in text


def test_help_of_a_task_names_its_options(project: Path) -> None:
    # When a user asks for help
    text = fab(project, "--help", "karafka.restart").stdout
    # Then the options are there, none of them with a short form that would hide Fabric's own
    for option in ("--hosts", "--roles", "--processes", "--json", "--dry-run"):
        assert option in text
    assert "-h," not in text


def test_a_dry_run_shows_the_plan_and_needs_nobody(project: Path) -> None:
    # When a restart is only planned (nothing listens on port 1)
    done = fab(project, "karafka.restart", "--dry-run")
    # Then hosts and order are there
    assert done.stdout.index("web1 (127.0.0.1:1): karafka-0") < done.stdout.index("web2 (")
    # And who could not be asked what else it runs
    assert "web1 did not answer: what it runs beside its slots is not known" in done.stdout
    # And as JSON too
    data = json.loads(fab(project, "karafka.restart", "--dry-run", "--json").stdout)
    assert [[action["host"] for action in batch] for batch in data["batches"]] == [["web1"], ["web2"]]


def test_a_stage_is_chosen_by_its_task_and_another_one_later(project: Path) -> None:
    # When stages and tasks alternate on one command line
    done = fab(project, "staging", "karafka.status", "--dry-run", "production", "karafka.status", "--dry-run")
    # Then each task is for the stage before it
    assert done.stdout.index("stage staging") < done.stdout.index("s1") < done.stdout.index("stage production")
    assert "karafka-2" in done.stdout


def test_f_replaces_the_projects_section_and_brings_its_own_stages(project: Path, tmp_path: Path) -> None:
    # Given another file with stages of its own
    other = tmp_path / "other.yaml"
    other.write_text(
        "karafka: {application: other, deploy_to: /srv/o, command: run, stages: {lab: {hosts: [{host: l1}]}}}"
    )
    # When it is named, in any spelling
    for spelling in (["-f", str(other)], [f"-f{other}"], [f"--config={other}"], ["--config", str(other)]):
        data = json.loads(fab(project, *spelling, "lab", "karafka.config", "--json").stdout)
        # Then nothing of the project's own section is left
        assert data["karafka"]["application"] == "other"
        assert data["karafka"]["env"] == {}
        assert data["karafka"]["pool"] == 16
    assert "production" not in fab(project, "-f", str(other), "--list").stdout


def test_config_shows_what_is_in_force_without_secrets(project: Path) -> None:
    # When a user looks at the settings
    done = fab(project, "staging", "karafka.config")
    # Then defaults and the stage's own are there, secrets are not
    assert "start_timeout_seconds: 20.0" in done.stdout
    assert "processes: 3" in done.stdout
    assert "PLAIN: 'yes'" in done.stdout
    assert "postgresql://app:********@db/shop" in done.stdout
    assert "s3cret" not in done.stdout
    assert "hidden" not in done.stdout


def test_the_environment_wins_over_the_file(project: Path) -> None:
    # When a variable gives a number
    done = fab(project, "karafka.config", "--json", FABRIC_KARAFKA_POOL="9", FABRIC_KARAFKA_STAGE="staging")
    # Then it is in force
    data = json.loads(done.stdout)
    assert data["karafka"]["pool"] == 9
    assert data["karafka"]["stage"] == "staging"
    # And also over a setting that the file does not have, and over -f
    data = json.loads(
        fab(project, "-f", "fabric.yaml", "karafka.config", "--json", FABRIC_KARAFKA_CONNECT_TIMEOUT_SECONDS="3").stdout
    )
    assert data["karafka"]["connect_timeout_seconds"] == 3.0


def test_a_fabfile_may_set_what_the_files_do_not(project: Path) -> None:
    # Given a fabfile with settings of its own
    (project / "fabfile.py").write_text(FABFILE + "ns.configure({'karafka': {'processes': 2, 'pool': 2}})\n")
    # Then they are in force where the file has nothing to say
    data = json.loads(fab(project, "karafka.config", "--json").stdout)["karafka"]
    assert (data["processes"], data["pool"]) == (2, 4)
    # And the same holds for a file that -f names
    (project / "other.yaml").write_text(SETTINGS.replace("pool: 4", "pool: 5"))
    data = json.loads(fab(project, "-f", "other.yaml", "karafka.config", "--json").stdout)["karafka"]
    assert (data["processes"], data["pool"]) == (2, 5)


def test_a_fabfile_may_have_a_collection_of_its_own(project: Path) -> None:
    # Given a fabfile that adds ours to its own tasks
    (project / "fabfile.py").write_text(
        "from fabric import task\nfrom invoke import Collection\nfrom ops.fleet.tasks import add_stages, karafka\n"
        "@task\ndef hello(c):\n    print('hello')\n"
        "ns = Collection(hello, karafka)\nadd_stages(ns)\n"
    )
    # Then both work, stages too
    done = fab(project, "hello", "staging", "karafka.status", "--dry-run")
    assert done.stdout.startswith("hello\n")
    assert "stage staging" in done.stdout
    # And so they do where nobody has added them, below a name of its own, and where only the tasks are imported
    for text, status in (
        ("from invoke import Collection\nfrom ops.fleet.tasks import karafka\nns = Collection(karafka)\n", "karafka"),
        (
            "from invoke import Collection\nimport ops.fleet.tasks as ours\n"
            "ns = Collection()\nns.add_collection(ours.namespace, name='ops')\n",
            "ops.karafka",
        ),
    ):
        (project / "fabfile.py").write_text(text)
        assert "stage staging" in fab(project, "staging", f"{status}.status", "--dry-run").stdout


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("from ops.fleet.tasks import namespace as ns\n", ["my-own"], "ns.add_task(my_own)"),
        ("from ops.fleet.tasks import namespace as ns\n", ["my_own"], "ns.add_task(my_own)"),
        ("from ops.fleet.tasks import karafka\n", ["karafka.status"], "namespace as ns` has all of ours"),
        (
            "from invoke import Collection\nfrom ops.fleet.tasks import karafka\nns = Collection(karafka)\n",
            ["ci.init", "github"],
            "ns.add_collection(ci)",
        ),
    ],
)
def test_a_task_that_the_namespace_lacks_is_refused_with_the_line_that_adds_it(
    project: Path, text: str, words: list[str], said: str
) -> None:
    # Given a fabfile whose namespace has not all that it defines or imports
    (project / "fabfile.py").write_text(f"from invoke import task\n{text}@task\ndef my_own(c):\n    pass\n")
    # Then Fabric's words are followed by what to write
    refused = fab(project, *words, code=1)
    assert f"No idea what '{words[0]}' is!" in refused.stderr
    assert said in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["karafka.stauts"], "did you mean karafka.status"),
        (["stag", "karafka.status"], "did you mean staging?"),
        (["zzz", "karafka.status"], "stages: "),
        (["staging", "karafka.exec", "uptime"], "fab karafka.exec -- uptime"),
    ],
)
def test_an_unknown_word_is_refused_with_what_was_meant(project: Path, words: list[str], said: str) -> None:
    # Given a mistyped task, the begin of a stage's name, no name at all, or a command without `--` before it
    assert said in fab(project, *words, code=1).stderr


def test_a_task_of_the_fabfile_that_is_named_like_a_stage_is_refused(project: Path) -> None:
    # Given one, which would have taken the stage's place in silence
    (project / "fabfile.py").write_text(
        FABFILE + "from invoke import task\n@task\ndef staging(c):\n    pass\nns.add_task(staging)\n"
    )
    # Then that is said before anything is done
    assert "a stage can't be named like a task: 'staging'" in fab(project, "karafka.status", "--dry-run", code=2).stderr


def test_fabrics_h_with_one_host_is_the_same_as_our_hosts(project: Path) -> None:
    # When -H names one host
    done = fab(project, "-H", "web2", "karafka.status", "--dry-run")
    # Then that host alone is in the plan
    assert "web2" in done.stdout
    assert "web1" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-f", "none.yaml", "karafka.status"], ["-f", "none.yaml"]),
        (["-f", "none.yaml", "production", "karafka.status"], ["-f", "none.yaml"]),
        (["karafka.status", "-f", "none.yaml"], ["-f", "none.yaml"]),
        (["-f", "fabfile.txt", "karafka.status"], ["-f", "fabfile.txt"]),
        (["-H", "web1,web2", "karafka.status"], ["-H", "--hosts web1,web2"]),
        (["-H", "web1", "karafka.status", "--hosts", "web2"], ["-H", "--hosts"]),
        (["karafka.status", "--hosts", "web9"], ["--hosts", "'web9'", "web1, web2"]),
        (["karafka.status", "--roles", "big"], ["--roles", "'big'", "karafka"]),
        (["karafka.status", "--processes", "karafka-5"], ["--processes", "'karafka-5'", "karafka-0"]),
        (["karafka.status", "--processes", "nonsense"], ["'nonsense'", "karafka-0"]),
        (["karafka.status", "--watch", "--json"], ["--watch"]),
        (["karafka.log", "--lines", "0"], ["--lines", "0"]),
        (["karafka.log", "--lines", "many"], ["--lines", "'many'"]),
        (["karafka.restart", "--lock-wait", "1.5"], ["--lock-wait", "'1.5'"]),
        (["deploy", "--artifact="], ["--artifact", "expected a value"]),
        (["deploy.rollback", "--release", ""], ["--release", "expected a value"]),
        (["karafka.restart", "--hosts", "", "--dry-run"], ["--hosts", "expected a value"]),
        (["ci.init", ""], ["kind", "expected a value"]),
        (["karafka.restart", "staging"], ["staging", "fab staging karafka.restart"]),
        (["karafka.restart", "--json", "staging"], ["staging", "fab staging karafka.restart"]),
        (["staging", "karafka.config", "karafka.stop", "staging"], ["staging", "karafka.stop"]),
        (["staging"], ["staging", "fab staging karafka.status"]),
        (["karafka.setup", "--wheelhouse", "nowhere"], ["--wheelhouse", "nowhere"]),
    ],
)
def test_what_cannot_be_done_is_refused(project: Path, arguments: list[str], words: list[str]) -> None:
    # When a command line can't be carried out as it was typed
    (project / "fabfile.txt").touch()
    text = refused(project, *arguments)
    # Then it says why, before any host is reached
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("pool: 4", "pool: many", ["karafka.pool", "'many'"]),
        ("pool: 4", "poool: 4", ["karafka.poool", "unknown key"]),
        ("host: web2", "host: web1", ["karafka.stages.production.hosts[1].host", "'web1'", "twice"]),
        ("command: bin/run", "", ["karafka.command", "missing"]),
        ("stage: production", "stage: prod", ["karafka.stage", "'prod'", "production, staging"]),
        ("stage: production", "", ["karafka.stage", "fab production"]),
        ("staging:", "karafka:", ["karafka.stages.karafka", "named like a task"]),
        ("staging:", "eu_west:", ["karafka.stages.eu_west", "rename the stage, to eu-west"]),
        ("karafka:\n", "karafka: [\n", ["fabric.yaml"]),
        ("env: {", "env_file: x\n  env: {FILE: y, ", ["karafka.env.FILE", "karafka.env_file"]),
    ],
)
def test_wrong_settings_are_refused_by_key_path(project: Path, before: str, after: str, words: list[str]) -> None:
    # Given a file with one thing wrong
    (project / "fabric.yaml").write_text(SETTINGS.replace(before, after, 1))
    # When a task is run
    text = refused(project, "karafka.status")
    # Then the text leads there
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    ("variable", "value"),
    [("POOL", "many"), ("POOOL", "9"), ("STAGES", "x"), ("ENV", "x"), ("STAGE", "prod")],
)
def test_a_variable_that_does_not_fit_is_refused_by_name(project: Path, variable: str, value: str) -> None:
    # When the environment has a value that does not fit
    text = refused(project, "karafka.status", **{f"FABRIC_KARAFKA_{variable}": value})
    # Then it is named
    assert variable.lower() in text.lower()


def test_no_settings_at_all_name_how_to_get_some(tmp_path: Path) -> None:
    # Given a fabfile alone
    (tmp_path / "fabfile.py").write_text(FABFILE)
    # When a task is run
    # Then the way to an annotated file is named, also by a process of its own
    assert "python -m ops init" in refused(tmp_path, "karafka.status")
    done = typed(tmp_path, "karafka.status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == refused(tmp_path, "karafka.status")


@needs(SSH)
def test_an_ssh_config_that_fabric_cannot_read_means_what_it_means_to_ssh(project: Path) -> None:
    # Given a file that ssh understands, and Fabric does not
    (project / ".ssh").mkdir()
    file = project / ".ssh" / "config"
    file.write_text("Match host=127.0.0.1\n  HostName 127.0.0.9\n")
    # When a host is asked
    done = fab(project, "karafka.status", "--hosts", "web1", code=4)
    # Then it is looked for where ssh would look for it
    assert "web1 (127.0.0.9:1): it refuses connections" in done.stdout
    # And what ssh does not understand either is told in its words
    file.write_text("Port\n")
    done = fab(project, "karafka.status", "--hosts", "web1", code=4)
    assert f'{file}, /etc/ssh/ssh_config line 1: no argument after keyword "port"' in done.stdout
    # And a file that is named has to be there
    assert "there is no such file" in refused(project, "-S", str(project / "none"), "karafka.status")


def test_the_list_starts_about_as_fast_as_an_empty_fabfile(project: Path) -> None:
    # When everything that --list imports is looked at
    code = "import sys, fabric.main, ops.fleet.tasks; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=60, check=True
    )
    # Then nothing is among it that a task alone needs
    for name in ("rich", "msgspec", "kafka", "ops.fleet.rollout", "ops.core.settings", "jinja2"):
        assert name not in done.stdout.split(), name
