"""Who asks a fleet for its status: `fab karafka.status`, and others who run the very same agent command."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from bench.fleet import FAB, LIMIT_SECONDS, PROCESSES, REQUEST, Project
from bench.measure import Contender
from bench.peers import peer
from ops.fleet.transport.quoting import line_of

OURS = "fab karafka.status"
STARTUP = "fab --list"
OPENSSH = "OpenSSH, xargs -P16"
GROUP = "Fabric's ThreadingGroup"
ANSIBLE = "ansible -m raw -f16"
PYINFRA = "pyinfra exec"
AT_ONCE = 16  # as fab's own pool
_STATE = '"state": "running"'  # in an agent's answer, once a process


def ours(project: Project) -> Contender:
    """`fab karafka.status`, from start to exit."""
    return _contender(OURS, project, (FAB, "karafka.status"), expect="running")


def startup(project: Project) -> Contender:
    """What `fab` costs before a task runs."""
    return Contender(STARTUP, (FAB, "--list"), project.directory, expect="karafka.status")


def openssh(project: Project) -> Contender | None:
    """OpenSSH's client, a process a host; None where it isn't installed."""
    ssh, xargs = peer("OpenSSH's client").find(), shutil.which("xargs")
    if ssh is None or xargs is None:
        return None
    config = ssh_config(project)
    hosts = "".join(f"ssh://{one.files.user}@{one.files.address}:{one.files.port}\n" for one in project.hosts)
    argv = (xargs, f"-P{AT_ONCE}", "-I{}", str(ssh), "-F", str(config), "{}", command(project))
    return _contender(OPENSSH, project, argv, data=hosts.encode())


def threading_group(project: Project) -> Contender:
    """Fabric's own way to run a command on many hosts."""
    hosts = [(one.files.address, one.files.port, one.files.user) for one in project.hosts]
    job = {
        "hosts": hosts,
        "key": str(project.key),
        "command": command(project),
    }
    script = str(Path(__file__).with_name("threading_group.py"))
    return _contender(GROUP, project, (sys.executable, script), data=json.dumps(job).encode())


def ansible(project: Project) -> Contender | None:
    """Ansible's raw module, keeping no connection open for a next time; None where it isn't installed."""
    program = peer("ansible-core").find()
    if program is None:
        return None
    inventory = project.directory / "inventory.ini"
    inventory.write_text(
        "".join(
            f"{one.name} ansible_host={one.files.address} ansible_port={one.files.port} ansible_user={one.files.user}\n"
            for one in project.hosts
        )
    )
    argv = (str(program), "all", "-i", str(inventory), "-m", "raw", "-a", command(project), f"-f{AT_ONCE}")
    env = {
        "ANSIBLE_SSH_ARGS": f"-F {ssh_config(project)}",
        "ANSIBLE_HOME": str(project.directory / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(project.directory / "ansible" / "tmp"),
    }
    return _contender(ANSIBLE, project, argv, env=env)


def pyinfra(project: Project) -> Contender | None:
    """Pyinfra's exec; None where it isn't installed."""
    program = peer("pyinfra").find()
    if program is None:
        return None
    hosts = [
        (
            one.name,
            {
                "ssh_hostname": one.files.address,
                "ssh_port": one.files.port,
                "ssh_user": one.files.user,
                "ssh_key": str(project.key),
                "ssh_known_hosts_file": str(project.known_hosts),
                "ssh_strict_host_key_checking": "yes",
            },
        )
        for one in project.hosts
    ]
    inventory = project.directory / "inventory.py"
    inventory.write_text(f"hosts = {hosts!r}\n")
    argv = (str(program), "-y", "--parallel", str(AT_ONCE), str(inventory), "exec", "--", command(project))
    return _contender(PYINFRA, project, argv)


PEERS: dict[str, Callable[[Project], Contender | None]] = {
    OPENSSH: openssh,
    GROUP: threading_group,
    ANSIBLE: ansible,
    PYINFRA: pyinfra,
}


def command(project: Project) -> str:
    """Return the agent's command line, the same on all hosts, as `fab` sends it: what chooses the interpreter is in it.

    Its request comes from a file on the host: nobody but `fab` pays for sending it.
    """
    commands = {action.agent for action in project.actions}
    (agent,) = commands
    return f"{line_of(agent)} < {REQUEST}"


def _contender(
    name: str,
    project: Project,
    argv: tuple[str, ...],
    *,
    data: bytes = b"",
    env: dict[str, str] | None = None,
    expect: str = _STATE,
) -> Contender:
    """Make a contender that must have found every process running."""
    return Contender(
        name,
        argv,
        project.directory,
        data=data,
        env=env or {},
        expect=expect,
        times=len(project.hosts) * PROCESSES,
        timeout_seconds=LIMIT_SECONDS,
    )


def ssh_config(project: Project) -> Path:
    """Write settings for OpenSSH's client: what it needs and nothing that slows it down."""
    path = project.directory / "ssh_config"
    path.write_text(
        "Host *\n"
        f'  IdentityFile "{project.key}"\n'
        "  IdentitiesOnly yes\n"
        f'  UserKnownHostsFile "{project.known_hosts}"\n'
        "  StrictHostKeyChecking yes\n"
        "  BatchMode yes\n"
        "  LogLevel ERROR\n"
    )
    return path
