"""A local host served by OpenSSH's sshd: one unprivileged daemon with settings of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ops.sandbox.keys import make_key
from ops.sandbox.service import HostFiles

_PRIVILEGE_SEPARATION = Path("/run/sshd")
_SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
)
# Since OpenSSH 9.8 a source that failed to log in is shut out for a while: here that is everybody
_NO_PENALTIES = "PerSourcePenalties no\n"
# sshd changes to the home folder of the password database; the host's own is elsewhere. The SFTP server comes
# this way too, as the original command.
_SESSION = """\
cd "$HOME" || exit 1
[ -n "$SSH_ORIGINAL_COMMAND" ] || exec /bin/sh -i
command=$SSH_ORIGINAL_COMMAND
unset SSH_ORIGINAL_COMMAND
exec /bin/sh -c "$command"
"""


def find_sshd() -> str | None:
    """Give the absolute path of sshd, which it wants to be called by; None where OpenSSH's server isn't installed."""
    return shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))


def make_room() -> None:
    """Make the folder that sshd insists on where root runs it: a machine that never started its service has none."""
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)


def command(sshd: str, files: HostFiles) -> list[str]:
    """Write the daemon's settings; gives its argv."""
    make_room()
    session = files.etc / "session"
    session.write_text(_SESSION)
    config = files.etc / "sshd_config"
    config.write_text(_config(files, session) + _newer_options(sshd))
    return [sshd, "-D", "-e", "-f", str(config)]


@cache
def _newer_options(sshd: str) -> str:
    """Give the settings that only a newer sshd knows: one that doesn't know an option refuses to start."""
    with TemporaryDirectory() as folder:
        key, config = Path(folder) / "key", Path(folder) / "config"
        make_key(key)
        config.write_text(f'HostKey "{key}"\n{_NO_PENALTIES}')
        known = subprocess.run([sshd, "-t", "-f", str(config)], capture_output=True, timeout=20, check=False)
    return _NO_PENALTIES if known.returncode == 0 else ""


def _config(files: HostFiles, session: Path) -> str:
    variables = " ".join(f'"{name}={value}"' for name, value in files.environment().items())
    sftp = next((path for path in _SFTP_SERVERS if Path(path).exists()), None)
    lines = [
        f"ListenAddress {files.address}:{files.port}",
        f'HostKey "{files.host_key}"',
        f'AuthorizedKeysFile "{files.authorized_keys}"',
        f"AllowUsers {files.user}",
        f"ForceCommand /bin/sh {shlex.quote(str(session))}",
        f"SetEnv {variables}",
        "PidFile none",
        "AuthenticationMethods publickey",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "StrictModes no",
        "UsePAM no",
        "UseDNS no",
        "PermitUserEnvironment no",
        "PermitUserRC no",
        "X11Forwarding no",
        "AllowAgentForwarding no",
        "AllowTcpForwarding local",  # a host may be the jump to another one
        "PrintMotd no",
        "PrintLastLog no",
        "MaxStartups 500:30:1000",
        "MaxSessions 200",
        "LogLevel VERBOSE",
        *([f"Subsystem sftp {sftp}"] if sftp else []),
    ]
    return "".join(f"{line}\n" for line in lines)
