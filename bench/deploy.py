"""Deploys: an artifact to many hosts, beside Fabric's `put` in a loop and `scp`; a whole deploy beside Capistrano 3.

What goes out is random, so that nothing compresses it. Of `fab deploy` the stage `updating` is what the others are
compared with; it also unpacks the artifact and proves its SHA-256. The hosts are sshd on loopback; all take turns, each
figure is the smallest of the rounds.

    python bench/deploy.py [--hosts 20] [--megabytes 20] [--rounds 3] [--json] [--allow-missing]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import contenders
from bench.fleet import FAB, LIMIT_SECONDS, Project
from bench.measure import Contender, Cost, take_turns
from bench.peers import peer
from bench.report import Report
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard
from ops.sandbox.hosts import LocalFleet

UPLOAD = "fab deploy --artifact: updating"
PUT = "Fabric's put in a loop"
SCP = "scp, xargs -P16"
OURS = "fab deploy, from git"
CAPISTRANO = "cap production deploy, from git"
UPLOAD_BOUNDS = {PUT: 0.7, SCP: 1.6}
DEPLOY_BOUND = 0.5
_FILES = 40
_REMOTE = "artifact.tar"
_START_SECONDS = 120.0

_CAPFILE = """\
require "capistrano/setup"
require "capistrano/deploy"
require "capistrano/scm/git"
install_plugin Capistrano::SCM::Git
"""


@dataclass(frozen=True)
class Yard:
    """Hosts, a project that deploys to them, and what is deployed: a repository, and the same tree as an artifact."""

    project: Project
    source: Path
    artifact: Path


@contextmanager
def yard(directory: Path, hosts: int, megabytes: int) -> Iterator[Yard]:
    """Start hosts; nothing of them is left at the end, not even when this process is killed."""
    fleet = LocalFleet(directory / "fleet", hosts, "openssh")
    fleet.directory.mkdir(parents=True)
    guard(fleet.directory, Identity.own())
    try:
        fleet.start(_START_SECONDS)
        project = Project.write(directory / "project", tuple(fleet.hosts), fleet)
        source, artifact = make_source(directory, megabytes)
        settings = json.loads((project.directory / "fabric.yaml").read_text())
        settings["karafka"] |= {"repo_url": str(source), "build": False, "default_hooks": False, "keep_releases": 1}
        (project.directory / "fabric.yaml").write_text(json.dumps(settings))
        yield Yard(project, source, artifact)
    finally:
        end_all(fleet.directory, 5.0)


def make_source(directory: Path, megabytes: int) -> tuple[Path, Path]:
    """Make a repository of random files, and pack it."""
    source = directory / "source"
    source.mkdir()
    for number in range(_FILES):
        (source / f"file-{number}").write_bytes(os.urandom(megabytes * 1_000_000 // _FILES))
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")
    for words in (("init", "-q", "-b", "main"), ("add", "--all"), ("commit", "-q", "-m", "bench")):
        subprocess.run(["git", *who, *words], cwd=source, check=True, timeout=60)
    artifact = directory / "app.tar"
    with tarfile.open(artifact, "w") as archive:
        for path in sorted(source.glob("file-*")):
            archive.add(path, path.name)
    return source, artifact


def upload(there: Yard) -> Contender:
    """`fab deploy` of the artifact; what is compared is its stage `updating`."""
    argv = (FAB, "deploy", "--json", "--artifact", str(there.artifact))
    return _contender(UPLOAD, there, argv, expect='"exit_code": 0')


def put(there: Yard) -> Contender:
    """Fabric's own way to send a file."""
    places = [(one.files.address, one.files.port, one.files.user) for one in there.project.hosts]
    job = {"hosts": places, "key": str(there.project.key), "file": str(there.artifact), "remote": _REMOTE}
    argv = (sys.executable, str(Path(__file__).with_name("put_loop.py")))
    return _contender(PUT, there, argv, data=json.dumps(job).encode(), expect=_REMOTE, times=len(places))


def scp(there: Yard) -> Contender | None:
    """OpenSSH's scp, sixteen at a time; None where it isn't installed."""
    program, xargs = shutil.which("scp"), shutil.which("xargs")
    if program is None or xargs is None:
        return None
    places = "".join(
        f"scp://{one.files.user}@{one.files.address}:{one.files.port}/{_REMOTE}\n" for one in there.project.hosts
    )
    config = str(contenders.ssh_config(there.project))
    argv = (xargs, f"-P{contenders.AT_ONCE}", "-I{}", program, "-q", "-F", config, str(there.artifact), "{}")
    return _contender(SCP, there, argv, data=places.encode())


def ours(there: Yard) -> Contender:
    """A whole deploy from git, from start to exit."""
    return _contender(OURS, there, (FAB, "deploy"), expect="is current on")


def capistrano(there: Yard) -> Contender | None:
    """Capistrano's own deploy of the same repository; None where it isn't installed."""
    program = peer("capistrano").find()
    if program is None:
        return None
    project = there.project
    folder = project.directory / "config" / "deploy"
    folder.mkdir(parents=True)
    (project.directory / "Capfile").write_text(_CAPFILE)
    keys = f'keys: ["{project.key}"], user_known_hosts_file: "{project.known_hosts}", config: false'
    (project.directory / "config" / "deploy.rb").write_text(
        'set :application, "bench"\n'
        f'set :repo_url, "{there.source}"\n'
        'set :branch, "main"\n'
        'set :deploy_to, "~/cap"\n'  # each host has a home of its own
        "set :keep_releases, 1\n"
        "set :format, :simpletext\n"
        f"set :ssh_options, {{ {keys} }}\n"
    )
    (folder / "production.rb").write_text(
        "".join(
            f'server "{one.files.address}:{one.files.port}", user: "{one.files.user}", roles: %w[app]\n'
            for one in project.hosts
        )
    )
    return _contender(CAPISTRANO, there, (str(program), "production", "deploy"))


def _contender(
    name: str, there: Yard, argv: tuple[str, ...], *, data: bytes = b"", expect: str = "", times: int = 1
) -> Contender:
    where = there.project.directory
    return Contender(name, argv, where, data=data, expect=expect, times=times, timeout_seconds=LIMIT_SECONDS)


def seconds(name: str, costs: dict[str, list[Cost]]) -> float | None:
    """Give the smallest wall time; None where it isn't there."""
    return min((_seconds(name, one) for one in costs[name]), default=None) if name in costs else None


def _seconds(name: str, cost: Cost) -> float:
    if name != UPLOAD:
        return cost.wall_seconds
    events = [json.loads(line) for line in cost.output.splitlines() if line.startswith("{")]
    return float(next(one["seconds"] for one in events if one["event"] == "StageEnded" and one["stage"] == "updating"))


def judge(report: Report, hosts: int, megabytes: int, costs: dict[str, list[Cost]]) -> None:
    """Add rows and claims; those that miss what they compare with are open."""
    for name, some in costs.items():
        took = seconds(name, costs)
        report.row(
            command=name,
            seconds=None if took is None else round(took, 2),
            slowest_s=round(max(_seconds(name, one) for one in some), 2),
            cpu_s=round(min(one.cpu_seconds for one in some), 2),
        )
    bounds = [(UPLOAD, name, bound) for name, bound in UPLOAD_BOUNDS.items()] + [(OURS, CAPISTRANO, DEPLOY_BOUND)]
    for own, other, bound in bounds:
        mine, theirs = seconds(own, costs), seconds(other, costs)
        ratio = None if mine is None or theirs is None else round(mine / theirs, 2)
        text = f"{megabytes} MB to {hosts} hosts, {own} / {other}"
        report.claim(text, ratio, f"<= {bound:g}", None if ratio is None else ratio <= bound)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    options = parser.parse_args()
    report = Report("deploy")
    costs: dict[str, list[Cost]] = {}
    try:
        if peer("OpenSSH's server").find() is None:
            print("OpenSSH's server is not installed, so there are no hosts: make bench-peers", file=sys.stderr)
        else:
            with (
                tempfile.TemporaryDirectory(prefix="karafka-bench-") as temporary,
                yard(Path(temporary), options.hosts, options.megabytes) as there,
            ):
                made = (upload(there), put(there), scp(there), ours(there), capistrano(there))
                chosen = [one for one in made if one is not None]
                costs = take_turns(chosen, options.rounds, lambda line: print(line, file=sys.stderr))
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    judge(report, options.hosts, options.megabytes, costs)
    return report.finish(options.json, options.allow_missing)


if __name__ == "__main__":
    sys.exit(main())
