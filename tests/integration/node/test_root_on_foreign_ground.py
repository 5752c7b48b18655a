"""Root deploys what belongs to a user that it does not trust: whatever that user plants, root is not led by it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.core import pidfile
from ops.core.history import HistoryAction, HistoryCall
from ops.core.identity import Identity
from ops.core.installation import FactsCall, HostFile, InstallCall
from ops.core.keeping import Keeping
from ops.core.lease import Fence, LeaseAction, LeaseCall
from ops.core.protocol import LogCall, Request, Response, Verb
from ops.core.release import Artifact, DeployAction, DeployCall
from ops.node.record import Intent, Phase, SlotRecord
from tests.labs.parts import NAMESPACES, PYTHON_OF_ALL, ROOT, require
from tests.labs.root_host import PYTHON, SERVICE, RootAgent, RootHost, as_service, interpreter

MakeHost = Callable[[], RootHost]
RELEASE, NEXT = "20260101000000", "20260102000000"


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    require(ROOT, PYTHON_OF_ALL, NAMESPACES)
    with interpreter() as made:
        yield made


@pytest.fixture(scope="module")
def agent(python: Path) -> Iterator[RootAgent]:
    with RootAgent(python) as made:
        yield made


@pytest.fixture
def host_of() -> Iterator[MakeHost]:
    made: list[RootHost] = []

    def make() -> RootHost:
        made.append(RootHost())
        return made[-1]

    yield make
    for one in made:
        one.close()


def requests(host: RootHost) -> Iterator[Request]:
    """Yield what root asks an agent in the life of an application, with a command that ends at once."""
    specs = (host.spec(command=("/bin/false",), fresh_member_of=("orders",)),)
    fence = Fence(7, "me")
    root = str(host.root)

    def deploy(action: DeployAction, **more: str) -> Request:
        call = DeployCall(action, root, linked_dirs=("log",), linked_files=("config/key",), keep=1, **more)
        return host.request(Verb.DEPLOY, deploy=call, fence=fence)

    rules = HostFile(str(host.base / "etc" / "karafka-app"), f"{host.shared}/log/*.log {{\n    missingok\n}}\n")
    install = InstallCall((rules, HostFile(str(host.shared / "units" / "karafka-0.env"), "A=1\n", 0o600)))
    yield host.request(Verb.LEASE, lease=LeaseCall(LeaseAction.ACQUIRE, "key", "me"))
    for action in (DeployAction.CHECK, DeployAction.LIST, DeployAction.MARK, DeployAction.CLEANUP):
        yield deploy(action, release=RELEASE)
    yield deploy(DeployAction.PUBLISH, release=NEXT)
    yield deploy(DeployAction.REVERT, release=NEXT)
    yield deploy(DeployAction.FINISH, release=RELEASE)
    yield host.request(Verb.INSTALL, install=replace(install, seen={one.path: "" for one in install.files}))
    yield host.request(Verb.FACTS, facts=FactsCall(root, (rules.path, str(host.shared / "units" / "karafka-0.env"))))
    for verb in (Verb.STATUS, Verb.START, Verb.RESTART, Verb.STOP):
        yield host.request(verb, processes=specs, fence=fence)
    yield host.request(Verb.LOG, processes=specs, log=LogCall(10))
    yield host.request(Verb.PROGRESS, processes=specs)
    evidence = HistoryCall(HistoryAction.STORE, "20260101T000000Z-7", {"summary": {}}, "<svg/>")
    yield host.request(Verb.HISTORY, history=evidence)
    yield host.request(Verb.HISTORY, history=HistoryCall(HistoryAction.FETCH))
    yield host.request(Verb.UNINSTALL)
    kept = Keeping("systemd", "shop")
    yield host.request(Verb.STATUS, processes=specs, keeping=kept)
    yield host.request(Verb.START, processes=specs, keeping=kept)


def plant(host: RootHost, below: str, make: Callable[[Path], object]) -> None:
    """Put something else where the agent has a file or folder, as the user whom the folder belongs to."""

    def work() -> None:
        path = host.root / below
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)

    as_service(work)


@pytest.fixture(scope="module")
def touched(python: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """All paths below deploy_to that an agent touches; PID stands for the agent's own."""
    seen = tmp_path_factory.mktemp("seen") / "paths"
    host = RootHost()
    with RootAgent(python, seen) as watched:
        for request in requests(host):
            watched.ask(request)
        pid = str(watched.pid)
    host.close()
    lines = {line.replace(pid, "PID") for line in seen.read_text().splitlines() if line.startswith(f"{host.root}/")}
    return sorted(line.removeprefix(f"{host.root}/") for line in lines)


def test_the_list_of_what_an_agent_touches_is_not_blind(touched: list[str]) -> None:
    # Given what an agent was seen to touch in an application's life
    # Then locks, logs, records, secrets and half-written files are in it
    wanted = {
        "shared/tmp/slots/karafka-0.lock", "shared/log/karafka-audit.log", "shared/tmp/lease.json", "revisions.log",
        "shared/karafka.env", "shared/tmp/slots/.karafka-0.json.PID", "shared/units/karafka-0.env", "current",
    }  # fmt: skip
    assert not wanted - set(touched)


def lead_nowhere(host: RootHost, agent: RootAgent, below: str, target: str) -> None:
    """Plant a link, let root do all that it ever does there, and look at what is root's."""
    before = host.found()
    plant(host, below.replace("PID", str(agent.pid)), lambda path: path.symlink_to(host.canary / target))
    for request in requests(host):
        agent.ask(request)
    assert host.found() == before, below


@pytest.mark.parametrize(
    "below",
    [
        "shared/tmp/slots/karafka-0.lock",
        "shared/tmp/slots/.karafka-0.json.PID",
        "shared/log/karafka-audit.log",
        "shared/log/karafka-0.log",
        "shared/units/installed.json",
        "shared/karafka.env",
    ],
)
def test_a_planted_link_leads_root_nowhere(host_of: MakeHost, agent: RootAgent, below: str) -> None:
    # Given a link to a secret of root's in the place of what an agent reads or writes
    # When root does all that it ever does there, then what is root's is as it was
    lead_nowhere(host_of(), agent, below, "secret")


def test_a_planted_folder_leads_root_nowhere(host_of: MakeHost, agent: RootAgent) -> None:
    # Given a link to a folder of root's in the place of shared/, then what is in it is as it was
    lead_nowhere(host_of(), agent, "shared", "folder")


@pytest.mark.soak
@pytest.mark.parametrize("target", ["secret", "new", "folder"])
def test_links_planted_everywhere_lead_root_nowhere(
    host_of: MakeHost, agent: RootAgent, touched: list[str], target: str
) -> None:
    # Given links to what is root's in the place of everything that an agent touches, one at a time
    for below in touched:
        # When root does all that it ever does there, then what is root's is as it was
        lead_nowhere(host_of(), agent, below, target)


ENDLESS: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "hole": lambda path: path.touch() or os.truncate(path, 1 << 40),
    "folder": lambda path: (path / "inner").mkdir(parents=True),
}


def end_at_once(host: RootHost, agent: RootAgent, below: str, kind: str) -> None:
    """Plant what cannot be read to its end, and let root do all that it ever does there."""
    plant(host, below.replace("PID", str(agent.pid)), ENDLESS[kind])
    for request in requests(host):
        agent.ask(request)


@pytest.mark.parametrize(
    "below",
    [
        "shared/karafka.env",
        "shared/tmp/slots/karafka-0.lock",
        "shared/log/karafka-audit.log",
        ".karafka-check.PID",
        "shared/releases/.20260101000000.json.PID",
    ],
)
def test_a_fifo_in_the_place_of_a_file_keeps_no_agent_waiting(host_of: MakeHost, agent: RootAgent, below: str) -> None:
    # Given a fifo in the place of what an agent reads or writes
    # When root does all that it ever does there, then each request has its answer
    end_at_once(host_of(), agent, below, "fifo")


def test_a_file_with_a_hole_keeps_no_agent_waiting(host_of: MakeHost, agent: RootAgent) -> None:
    # Given a terabyte of nothing in the place of what an install compares
    # When root does all that it ever does there, then each request has its answer
    end_at_once(host_of(), agent, "shared/units/karafka-0.env", "hole")


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", sorted(ENDLESS))
def test_what_never_ends_everywhere_keeps_no_agent_waiting(
    host_of: MakeHost, python: Path, touched: list[str], kind: str
) -> None:
    # Given what cannot be read to its end in the place of everything that an agent touches, one at a time
    for below in touched:
        # When root does all that it ever does there, then each request has its answer
        with RootAgent(python) as agent:
            end_at_once(host_of(), agent, below, kind)


def test_a_planted_note_of_an_install_removes_nothing(host_of: MakeHost, agent: RootAgent) -> None:
    # Given a note, where those of other deployers lie, that an install has put root's secret there
    host = host_of()
    before = host.found()
    note = {"pidfile": {str(host.canary / "secret"): "0"}, "systemd": {str(host.canary / "folder" / "file"): "0"}}
    as_service(lambda: (host.shared / "units" / "installed.json").write_text(json.dumps(note)))
    # When root looks at the host, and uninstalls
    facts = agent.ask(host.request(Verb.FACTS, facts=FactsCall(str(host.root)))).facts
    for kept in (Keeping(), Keeping("systemd", "shop")):
        agent.ask(host.request(Verb.UNINSTALL, keeping=kept))
    # Then nothing of it is told, nor removed
    assert facts is not None
    assert not facts.files
    assert host.found() == before


def test_root_reads_its_own_files_and_none_by_a_planted_link(host_of: MakeHost, agent: RootAgent) -> None:
    # Given supervisord's conf file, which root alone may read, and a link to it in the application's folder
    host = host_of()
    conf, link = host.base / "supervisord.conf", host.shared / "supervisord.conf"
    conf.write_text("[include]\nfiles = /etc/somewhere/*.conf\n")
    conf.chmod(0o600)
    as_service(lambda: link.symlink_to(conf))

    def program_file(path: Path) -> str:
        kept = Keeping("supervisor", "shop", socket="/nowhere", conf=str(path))
        facts = agent.ask(host.request(Verb.FACTS, keeping=kept, facts=FactsCall(str(host.root)))).facts
        assert facts is not None
        return facts.program_file

    # Then an agent of root's knows what it says, and not by the link
    assert program_file(conf) == "/etc/somewhere/karafka-shop.conf"
    assert program_file(link) == ""


def test_a_planted_pid_is_not_signalled(host_of: MakeHost, agent: RootAgent) -> None:
    # Given a process of root's that pidfile and record name
    host = host_of()
    victim = subprocess.Popen(["sleep", "60"])
    identity = Identity.of(victim.pid)
    assert identity is not None
    spec = host.spec()

    def plant_pid() -> None:
        pidfile.write(Path(spec.files.pidfile), identity)
        SlotRecord(intent=Intent.UP, phase=Phase.STOPPING, process=identity).write(Path(spec.files.record))

    as_service(plant_pid)
    try:
        # When root stops, restarts and stops
        for verb in (Verb.STOP, Verb.RESTART, Verb.STOP):
            agent.ask(host.request(verb, processes=(host.spec(command=("/bin/false",)),)))
        # Then it lives
        assert identity.alive()
    finally:
        victim.kill()
        victim.wait()


def test_processes_and_what_they_leave_are_the_owners(host_of: MakeHost, agent: RootAgent) -> None:
    # Given an application of another user's
    host = host_of()
    # When root starts a process of it, looks, restarts it and stops it
    started = agent.ask(host.request(Verb.START)).processes[0]
    assert (started.ok, started.pid is not None) == (True, True), started
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{started.pid}/status").read_text().splitlines() if ":\t" in line
    )
    again = agent.ask(host.request(Verb.RESTART)).processes[0]
    stopped = agent.ask(host.request(Verb.STOP)).processes[0]
    # Then all that the process has are the owner's rights, and nothing that it could get back
    assert {*status["Uid"].split(), *status["Gid"].split(), *status["Groups"].split()} == {str(SERVICE)}
    assert {int(status[one], 16) for one in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
    assert again.ok
    assert stopped.ok
    # And nothing below the folder is root's
    assert {path.lstat().st_uid for path in host.root.rglob("*")} == {SERVICE}


def test_hooks_builds_and_files_of_a_deploy_are_the_owners(host_of: MakeHost, agent: RootAgent) -> None:
    # Given an artifact, and a hook that says who it is, where it is at home, and tries to be root again
    host = host_of()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("build.py")
        text = b"import os\nopen('built', 'w').write(str(os.getresuid()))\n"
        entry.size, entry.mode, entry.uid = len(text), 0o700, 0
        archive.addfile(entry, io.BytesIO(text))
    data = packed.getvalue()
    tries = "import os\ntry:\n    os.setuid(0)\nexcept OSError:\n    print(os.getresuid(), os.environ['HOME'])\n"
    name = "20260103000000"

    def deploy(action: DeployAction, payload: bytes = b"", **more: Any) -> Response:
        call = DeployCall(action, str(host.root), release=name, **more)
        return agent.once(host.request(Verb.DEPLOY, deploy=call), payload)

    # When root deploys it
    artifact = Artifact("app.tar", len(data), hashlib.sha256(data).hexdigest())
    answers = [
        deploy(DeployAction.UPDATE, data, artifact=artifact, build=(PYTHON, "build.py")),
        deploy(DeployAction.BUILD, build=(PYTHON, "build.py")),
        deploy(DeployAction.HOOK, f"#!{PYTHON}\n{tries}".encode(), name="after-updated"),
    ]
    # Then each step went well, as the owner, for whom there is no way back to root
    assert [one.error for one in answers] == ["", "", ""]
    assert (host.root / "releases" / name / "built").read_text() == str((SERVICE, SERVICE, SERVICE))
    assert f"({SERVICE}, {SERVICE}, {SERVICE}) {host.root}" in agent.said
    assert {path.lstat().st_uid for path in host.root.rglob("*")} == {SERVICE}


@pytest.mark.parametrize("below", ["current", "releases/20260103000000"])
def test_root_runs_nothing_of_a_release_that_another_user_can_change(
    host_of: MakeHost, python: Path, below: str
) -> None:
    # Given a folder of root's, and in it a release of another user's, which `current` leads to, or which is deployed
    host = host_of()
    for path in (host.root, *host.root.rglob("*")):
        os.chown(path, 0, 0, follow_symlinks=False)
    theirs = host.root / below
    theirs.mkdir(exist_ok=True)
    os.chown(theirs, SERVICE, SERVICE)
    call = DeployCall(DeployAction.VERIFY, str(host.root), release=NEXT if below == "current" else theirs.name)
    with RootAgent(python) as agent:
        # When root is to run something of it
        answers = [agent.ask(host.request(Verb.DEPLOY, deploy=call))]
        answers += [agent.ask(host.request(verb)) for verb in (Verb.START, Verb.DESCRIBE) if below == "current"]
    # Then it does not, and says why
    for one in answers:
        assert f"but user {SERVICE} can change {theirs.resolve()}" in one.error
