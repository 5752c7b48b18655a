"""The pipelines that `fab ci.init` writes, their steps run as GitHub and GitLab run them, to hosts behind real SSH."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import ops
from ops.render.templates import folder
from tests.labs.in_process import fab
from tests.labs.yard import Yard

pytestmark = pytest.mark.timeout(240)

SECRET = "s3cret-of-the-processes"
ORDERS = r"printf '::error::obeyed\n  ::add-mask::obeyed\nx\r::warning::obeyed\nx ##[error]obeyed\n'"
FABFILE = f"""
from ops.fleet.tasks import before, namespace as ns

@before("deploy:updating")
def announce(context, deploy):
    print("::error::obeyed")
    context.run({ORDERS!r})
"""
_COMMAND = re.compile(r"\s*::(?P<name>[a-z-]+)(?: (?P<properties>.*?))?::(?P<data>.*)")
_OLD = re.compile(r"##\[(?P<name>[a-z-]+)(?: (?P<properties>[^\]]*))?\](?P<data>.*)")


def commands(log: str) -> list[tuple[str, str, str]]:
    """Return the commands that GitHub's runner takes from a log: name, properties, data."""
    lines = re.split(r"\r\n|\r|\n", log)
    found = [_COMMAND.match(line) or _OLD.search(line) for line in lines]
    return [(one["name"], one["properties"] or "", one["data"]) for one in found if one]


class Markers(ThreadingHTTPServer):
    """A dashboard that deploys are told to."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Marker)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/deploys"


class _Marker(BaseHTTPRequestHandler):
    server: Markers

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.got.append({**json.loads(self.rfile.read(length)), "token": self.headers["Authorization"]})
        self.send_response(201)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def markers() -> Iterator[Markers]:
    with Markers() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def new_machine(folder: Path) -> None:
    """Make an environment that has all but the tool, which a pipeline is to install."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    (packages,) = folder.glob("lib/python*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("ops", "karafka_ops", "_editable_impl_karafka_ops")):
            (packages / path.name).symlink_to(path)
    fab = folder / "bin/fab"
    fab.write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m fabric "$@"\n')
    fab.chmod(0o755)


class Pipeline:
    """A project in a repository, and a runner that has it checked out."""

    def __init__(self, yard: Yard, markers: Markers) -> None:
        self.yard = yard
        self.markers = markers
        self.work = yard.folder / "runner"
        self.machine = yard.folder / "machine"
        self.temporary = yard.folder / "temporary"
        self.home = yard.folder / "home"
        for path in (self.temporary, self.home):
            path.mkdir(exist_ok=True)
        yard.settings(env={"API_TOKEN": SECRET}, auto_rollback=True)
        data = json.loads((yard.folder / "fabric.json").read_text())
        del data["connect_kwargs"]["key_filename"], data["karafka"]["known_hosts"], data["karafka"]["repo_url"]
        hosts = data["karafka"]["stages"].pop("test")["hosts"]
        data["karafka"]["stages"] = {"production": {"hosts": hosts}, "staging": {"hosts": hosts[:1]}}
        data["karafka"]["stage"] = "production"
        (yard.source / "fabric.json").write_text(json.dumps(data))
        (yard.source / "fabfile.py").write_text(FABFILE)
        hooks = yard.source / ".karafka/hooks"
        hooks.mkdir(parents=True, exist_ok=True)
        for name in ("after-finished.marker", "after-failed.marker"):
            shutil.copy(folder() / "hooks/deploy-marker", hooks / name)
        (hooks / "after-updated").write_text(f"#!/bin/sh\n{ORDERS}\n")
        (hooks / "after-updated").chmod(0o755)
        self.secrets = {
            "DEPLOY_SSH_KEY": yard.fleet.key.read_text().rstrip("\n"),
            "DEPLOY_KNOWN_HOSTS": yard.fleet.known_hosts.read_text().rstrip("\n"),
        }

    @property
    def path(self) -> str:
        """Where the runner's programs are."""
        return f"{self.machine / 'bin'}:{os.environ['PATH']}"

    def init(self, kind: str) -> dict[str, Any]:
        """Write a pipeline into the repository; gives it parsed."""
        done = self.fab("ci.init", kind, "--force", cwd=self.yard.source)
        path = Path(done.stdout.splitlines()[0].removeprefix("wrote   "))
        self.yard.git("add", "--all")
        self.yard.git("commit", "--quiet", "--allow-empty", "--message", kind)
        found: dict[str, Any] = YAML(typ="safe").load(path)
        return found

    def working(self) -> str:
        """Build and deploy a release that works, unless that is what is checked out and works everywhere; gives it."""
        built = (self.work / "dist/yard.tar.gz").exists() and (self.work / "mode").read_text() == "good\n"
        if not (built and self.yard.agrees()):
            self.yard.commit("good")
            jobs = self.init("github")["jobs"]
            self.checkout()
            for job in ("build", "deploy-production"):
                code, log, _ = self.github(jobs[job])
                assert code == 0, log
        return self.yard.only()

    def checkout(self, *, anew: bool = False) -> None:
        """Check the repository out, on the machine of the job before or on a new one."""
        shutil.rmtree(self.work, ignore_errors=True)
        if anew or not self.machine.exists():
            new_machine(self.machine)
        subprocess.run(["git", "clone", "--quiet", str(self.yard.source), str(self.work)], check=True, timeout=30)

    def environment(self, **env: str) -> dict[str, str]:
        """Return what a runner's programs have, or its operator's: nobody's home."""
        base = {
            "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "CI": "true",
            "PIP_NO_INDEX": "1",  # what the tool needs is there already, and nothing is fetched
            "PIP_NO_COMPILE": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "DEPLOY_MARKER_URL": self.markers.url,
            "DEPLOY_MARKER_TOKEN": "of-the-dashboard",
        }
        return base | env

    def run(self, argv: list[str], cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run something as a runner does, without a terminal."""
        done = subprocess.run(
            argv, cwd=cwd or self.work, env=self.environment(**env), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip
        texts = (one.decode() for one in (done.stdout, done.stderr))  # carriage returns stay what they are
        return subprocess.CompletedProcess(argv, done.returncode, *texts)

    def with_key(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `fab` with the deploy's key as a runner does, which is to succeed."""
        keys = {"FABRIC_KARAFKA_KNOWN_HOSTS": str(self.yard.fleet.known_hosts)}
        done = self.run(["fab", "-i", str(self.yard.fleet.key), *arguments], **keys, **env)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done

    def fab(
        self, *arguments: str, cwd: Path | None = None, code: int = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `fab` with the deploy's key where the process is no part of the promise."""
        keys = {"FABRIC_KARAFKA_KNOWN_HOSTS": str(self.yard.fleet.known_hosts)}
        words = ("-i", str(self.yard.fleet.key), *arguments)
        return fab(cwd or self.work, *words, code=code, config="", env=self.environment(**keys, **env))

    def github(self, job: dict[str, Any]) -> tuple[int, str, str]:
        """Run a job's own steps; gives its exit code, its log, and what the steps' summaries say.

        A machine that has the tool does not install it again.
        """
        summary, code, log = self.temporary / "summary", 0, ""
        has_tool = any(self.machine.glob("lib/python*/site-packages/karafka_ops-*"))
        summary.write_text("")
        for step in job["steps"]:
            if "run" not in step or (code and step.get("if") != "always()"):
                continue
            if has_tool and step.get("name") == "Install the tool":
                continue
            own = {
                name: re.sub(r"\$\{\{ secrets\.(\w+) \}\}", lambda one: self.secrets[one[1]], text)
                for name, text in step.get("env", {}).items()
            }
            script = self.temporary / "step.sh"
            script.write_text(step["run"])
            done = self.run(["bash", "-e", str(script)], **GITHUB, **own, GITHUB_STEP_SUMMARY=str(summary),
                            RUNNER_TEMP=str(self.temporary), PATH=self.path)  # fmt: skip
            log += done.stdout + done.stderr
            code = code or done.returncode
        return code, log, summary.read_text()

    def gitlab(self, pipeline: dict[str, Any], name: str) -> tuple[int, str]:
        """Run a job's script; gives its exit code and its log."""
        job = pipeline[name]
        job = {**pipeline.get(job.get("extends", ""), {}), **job}
        files = {}
        for secret, text in self.secrets.items():
            files[secret] = str(self.temporary / secret)
            Path(files[secret]).write_text(text)
        script = "\n".join([*job.get("before_script", []), *job["script"]])
        stage = job.get("environment", {}).get("name", "")
        done = self.run(["bash", "-eo", "pipefail", "-c", script], **GITLAB, **files, CI_ENVIRONMENT_NAME=stage,
                        PATH=self.path)  # fmt: skip
        return done.returncode, done.stdout + done.stderr


GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REF_NAME": "main",
    "GITHUB_SHA": "0123456789abcdef",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_REPOSITORY": "somebody/yard",
    "GITHUB_ACTOR": "somebody",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_JOB_URL": "https://gitlab.example.com/somebody/yard/-/jobs/42",
    "CI_COMMIT_REF_NAME": "main",
    "CI_COMMIT_SHA": "0123456789abcdef",
    "GITLAB_USER_LOGIN": "somebody",
}


@pytest.fixture(scope="module")
def pipeline(yard: Yard, markers: Markers) -> Pipeline:
    return Pipeline(yard, markers)


def test_the_steps_of_githubs_pipeline_deploy_and_tell_what_came_of_it(pipeline: Pipeline) -> None:
    # Given a project whose hooks print what would be orders to GitHub
    pipeline.yard.commit("good")
    jobs = pipeline.init("github")["jobs"]
    pipeline.checkout(anew=True)
    # When the steps of two jobs run, in the order of all
    assert list(jobs) == ["build", "deploy-staging", "deploy-production"]
    code, log, summary = pipeline.github(jobs["build"])
    assert code == 0, log
    code, log, summary = pipeline.github(jobs["deploy-production"])
    # Then the tool has come from the wheel that the project carries, to a machine that had none
    assert code == 0, log
    wheel = f"./.karafka/tool/karafka_ops-{ops.__version__}-py3-none-any.whl"
    assert f"Processing {wheel}" in log
    assert f"Successfully installed karafka-ops-{ops.__version__}\n" in log
    # And the artifact is current and works everywhere, and no key is left on the runner
    release = pipeline.yard.only()
    assert not (pipeline.temporary / "deploy_key").exists()
    # And the log is folded by stage; nothing that a hook has printed is obeyed, and all of it is shown
    given = commands(log)
    assert [data for name, _, data in given if name == "group"][:2] == ["deploy:starting", "deploy:started"]
    assert {name for name, _, _ in given} == {"group", "endgroup"}
    assert not any("obeyed" in data for _, _, data in given)
    assert log.count("obeyed") == 9
    # And every line of the deploy's progress has its time
    shown = [line for line in log.splitlines() if line.startswith("deploy:") or "host2" in line]
    assert any(re.match(r"\d\d:\d\d:\d\d host2", line) for line in shown), shown
    # And the summary has the release, the rollout's evidence as tables, and the picture that was kept
    assert summary.startswith("## deploy to production: done\n")
    assert f"| release | {release} |" in summary
    assert re.search(r"\| host2 karafka-0 \| 2 \|", summary), summary
    picture = re.search(r"Picture: `(karafka-rollouts/\S+\.svg)`", summary)
    assert picture
    assert (pipeline.work / picture[1]).read_text().startswith("<svg")
    # And no secret is told, and the lease said which run it was
    assert SECRET not in log + summary
    assert pipeline.secrets["DEPLOY_SSH_KEY"].splitlines()[1] not in log + summary
    kept = json.loads(pipeline.fab("production", "karafka.history", "--json").stdout)["rollouts"]
    assert kept[0]["run"] == "https://github.com/somebody/yard/actions/runs/4711"
    # And the dashboard has been told
    marker = pipeline.markers.got[-1]
    assert (marker["stage"], marker["release"], marker["outcome"]) == ("production", release, "finished")
    assert (marker["performer"], marker["branch"]) == ("somebody", "main@0123456789abcdef")
    assert marker["token"] == "Bearer of-the-dashboard"


def test_a_dashboard_that_is_not_there_fails_no_deploy(pipeline: Pipeline) -> None:
    # Given an address that nobody listens at, and none at all
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        for url, words in ((nobody, "no marker: <urlopen error"), ("", "no marker: DEPLOY_MARKER_URL is not set")):
            # When the marker is to be posted
            done = pipeline.run([str(folder() / "hooks/deploy-marker")], pipeline.home, DEPLOY_MARKER_URL=url)
            # Then it says so, and that is all
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith(words)


def test_a_release_that_fails_is_marked_above_githubs_log(pipeline: Pipeline) -> None:
    # Given a release that ends at once, after a good one
    before = pipeline.working()
    pipeline.yard.commit("exit")
    jobs = pipeline.init("github")["jobs"]
    pipeline.checkout()
    assert pipeline.github(jobs["build"])[0] == 0
    # When it is deployed
    code, log, summary = pipeline.github(jobs["deploy-production"])
    # Then the job fails as the deploy does, the hosts are back, and an error says why
    assert code == 12, log
    assert pipeline.yard.only() == before
    errors = [(properties, data) for name, properties, data in commands(log) if name == "error"]
    assert any("host1 karafka-0" in properties and "this release is broken" in data for properties, data in errors)
    assert errors[-1][0] == "title=deploy to production failed"
    # And the summary says so, with what each host runs
    assert summary.startswith("## deploy to production: rolled back\n")
    assert f"| host2 | {before} | {before} |" in summary
    assert pipeline.markers.got[-1]["outcome"] == "failed"


def test_the_scripts_of_gitlabs_pipeline_deploy_in_sections(pipeline: Pipeline) -> None:
    # Given the same project on GitLab
    pipeline.yard.commit("good")
    found = pipeline.init("gitlab")
    pipeline.checkout()
    # When the scripts of two jobs run
    code, log = pipeline.gitlab(found, "build")
    assert code == 0, log
    code, log = pipeline.gitlab(found, "deploy-production")
    # Then the release works, and each section that begins has its end
    assert code == 0, log
    assert pipeline.yard.only()
    begun = re.findall(r"\x1b\[0Ksection_start:\d+:(\S+)\r\x1b\[0K(\S+)\n", log)
    assert [title for _, title in begun][:2] == ["deploy:starting", "deploy:started"]
    assert [name for name, _ in begun] == re.findall(r"\x1b\[0Ksection_end:\d+:(\S+)\r\x1b\[0K\n", log)
    # And the lease said which job it was
    kept = json.loads(pipeline.fab("production", "karafka.history", "--json").stdout)["rollouts"]
    assert kept[0]["run"] == GITLAB["CI_JOB_URL"]


def test_json_is_an_event_a_line_and_the_result_last(pipeline: Pipeline) -> None:
    # Given an artifact
    pipeline.working()
    # When it is deployed with --json, in a pipeline, with hooks that print
    arguments = ("production", "deploy", "--json", "--artifact", "dist/yard.tar.gz")
    done = pipeline.with_key(*arguments, **GITHUB)
    # Then each line is an object with its time, what a hook printed unchanged, and the last one the result
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", one["at"]) for one in events)
    assert {"event": "Output", "source": "announce", "line": "::error::obeyed", "host": ""}.items() <= (
        next(one for one in events if one["event"] == "Output").items()
    )
    assert any(one.get("line") == "x ##[error]obeyed" for one in events)
    last = events[-1]
    assert (last["event"], last["exit_code"], last["rollout"]["outcome"]) == ("Result", 0, "done")
    assert commands(done.stdout) == []


def test_a_restart_and_a_refusal_speak_githubs_language(pipeline: Pipeline, tmp_path: Path) -> None:
    # Given a fleet that works
    pipeline.working()
    # When a restart runs in a pipeline
    summary = tmp_path / "summary"
    words = ("production", "karafka.restart", "--hosts", "host1")
    done = pipeline.with_key(*words, **GITHUB, GITHUB_STEP_SUMMARY=str(summary))
    # Then it is a group, and has its summary
    assert ("group", "", "karafka.restart production") in commands(done.stderr)
    assert summary.read_text().startswith("## karafka.restart to production: done\n")
    # When a command is refused
    refused = pipeline.fab("production", "deploy", "--artifact", "nowhere.tar.gz", code=2, **GITHUB)
    # Then the error is one of GitHub's
    assert [name for name, _, _ in commands(refused.stderr)] == ["error"]
    # When it would have to ask
    asked = pipeline.fab("--prompt-for-passphrase", "karafka.status", code=2)
    # Then it does not, and names the flag
    assert asked.stderr.startswith("error: --prompt-for-passphrase: there is no terminal"), asked.stderr


def test_a_pipeline_that_is_there_is_not_replaced_unless_told(pipeline: Pipeline) -> None:
    # Given a pipeline that somebody has changed, and the wheel of a version before
    path = pipeline.yard.source / ".gitlab-ci.yml"
    path.write_text("changed: true\n")
    old = pipeline.yard.source / ".karafka/tool/karafka_ops-0.0.1-py3-none-any.whl"
    old.write_bytes(b"")
    # When it is written again
    refused = pipeline.fab("ci.init", "gitlab", cwd=pipeline.yard.source, code=2)
    # Then both are left alone, and the flag is named
    assert "--force" in refused.stderr
    assert path.read_text() == "changed: true\n"
    assert old.exists()
    # When it is meant
    done = pipeline.fab("ci.init", "gitlab", "--force", cwd=pipeline.yard.source)
    # Then it is written, and the old wheel is gone
    assert f"removed {old}\n" in done.stdout
    assert not old.exists()
    assert "resource_group" in path.read_text()
    assert sys.executable not in path.read_text()


def test_a_pipeline_installs_what_the_settings_name(pipeline: Pipeline) -> None:
    # Given a tool that the settings name: a file that is not there
    source, tool = pipeline.yard.source, "vendor/karafka_ops-1.0-py3-none-any.whl"
    refused = pipeline.fab("ci.init", "gitlab", "--force", cwd=source, code=2, FABRIC_KARAFKA_TOOL=tool)
    # Then no pipeline is written for it
    assert f"karafka.tool: no such file: {source / tool}" in refused.stderr
    assert tool not in (source / ".gitlab-ci.yml").read_text()
    # When it is there, or comes from an index with its hash
    (source / tool).parent.mkdir()
    (source / tool).touch()
    index = {"index": "https://pypi.example.com/simple/", "sha256": "0" * 64}
    data = json.loads((source / "fabric.json").read_text())
    for named, words in ((tool, f"pip install ./{tool}"), (index, "--index-url https://pypi.example.com/simple/")):
        data["karafka"]["tool"] = named
        (source / "fabric.json").write_text(json.dumps(data))
        pipeline.fab("ci.init", "gitlab", "--force", cwd=source)
        # Then the pipeline installs that one
        assert words in (source / ".gitlab-ci.yml").read_text()
        assert ".karafka/tool" not in (source / ".gitlab-ci.yml").read_text()
