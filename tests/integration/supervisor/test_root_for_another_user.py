"""supervisord is root's, root deploys, and the application is another user's, whom root does not trust."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.installation import HostFile, InstallCall
from ops.core.keeping import SUPERVISOR, Keeping
from ops.core.protocol import Request, Verb
from ops.core.section import load
from ops.render.programs import supervisor_files
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.parts import NAMESPACES, PYTHON_OF_ALL, ROOT, require
from tests.labs.root_host import NOBODY, RootAgent, RootHost, as_service, interpreter


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    require(ROOT, PYTHON_OF_ALL, NAMESPACES)
    with interpreter() as made:
        yield made


@pytest.fixture
def host() -> Iterator[RootHost]:
    made = RootHost(NOBODY)  # supervisord takes no user without an account
    yield made
    made.close()


def test_root_keeps_another_users_processes_by_its_own_supervisord(
    python: Path, host: RootHost, supervisord: LocalSupervisord
) -> None:
    # Given a supervisord whose socket is root's alone, and an application of another user's who has planted a log
    name = host.base.name
    kept = Keeping(SUPERVISOR, name, socket=supervisord.socket)
    spec = host.spec()
    section = {
        "application": name,
        "deploy_to": str(host.root),
        "command": list(spec.command),
        "manager": "supervisor",
        "supervisor": {"socket": supervisord.socket, "conf_d": str(supervisord.conf_d)},
        "stages": {"local": {"hosts": [{"host": "h1"}]}},
    }
    settings = load(section)
    records = supervisor_files(
        settings, settings.hosts[0], [spec], user=pwd.getpwuid(NOBODY).pw_name, python=str(python)
    )
    files = tuple(HostFile(one.path, one.text, one.mode) for one in records)
    before = host.found()
    as_service(lambda: Path(spec.files.log).symlink_to(host.canary / "secret"), NOBODY)
    with RootAgent(python) as agent:

        def request(verb: Verb, install: InstallCall | None = None) -> Request:
            return host.request(verb, keeping=kept, install=install)

        # When root installs and starts, then the log is opened with the owner's rights, and nothing is led to root's
        call = InstallCall(files, seen={one.path: "" for one in files})
        assert agent.ask(request(Verb.INSTALL, call)).error == ""
        refused = agent.ask(request(Verb.START)).processes[0]
        assert "karafka-0.log could not be opened: Permission denied" in refused.message, refused
        assert host.found() == before
        # When there is no such link any more
        as_service(Path(spec.files.log).unlink, NOBODY)
        started = agent.ask(request(Verb.START)).processes[0]
        restarted = agent.ask(request(Verb.RESTART)).processes[0]
        user = Path(f"/proc/{restarted.pid}/status").read_text().partition("Uid:\t")[2].split()[0]
        stopped = agent.ask(request(Verb.STOP)).processes[0]
        removed = agent.ask(request(Verb.UNINSTALL))
    # Then the process is the owner's, and so is all that is below the folder
    assert started.ok, started
    assert restarted.ok, restarted
    assert user == str(NOBODY)
    assert stopped.ok, stopped
    assert removed.error == ""
    assert {path.lstat().st_uid for path in host.root.rglob("*")} == {NOBODY}
    assert not list(supervisord.conf_d.glob(f"*{name}*"))
