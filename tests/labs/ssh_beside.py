"""OpenSSH's client and our transport side by side, with the same files, before servers that a ProxyCommand starts."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from fabric import Config

from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.fleet.transport import Target
from ops.fleet.transport.ssh import SSHTransport
from ops.sandbox.openssh import find_sshd, make_room

SECONDS = 20.0


def keygen(*arguments: str | Path) -> str:
    """Run ssh-keygen."""
    command = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS).stdout


class Beside:
    """A folder of keys, the ssh_config that both read, and both ways of asking.

    Attributes
    ----------
    known_hosts, system_hosts : the user's file and the system's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known_hosts = folder / "known_hosts"
        self.system_hosts = folder / "ssh_known_hosts"
        self.config = folder / "ssh_config"
        self.key("id")
        make_room()

    def key(self, name: str, kind: str = "ed25519") -> str:
        """Make a key where there is none; gives the public one, as known_hosts has it."""
        path = self.folder / name
        if not path.exists():
            keygen("-q", "-t", kind, "-N", "", "-C", name, "-f", path)
        return " ".join(path.with_name(f"{name}.pub").read_text().split()[:2])

    def sign(self, host: str, authority: str, *options: str) -> Path:
        """Let an authority sign a host's key; `options` are ssh-keygen's."""
        self.key(host), self.key(authority)
        keygen(
            "-q", "-s", self.folder / authority, "-I", f"{host} by {authority}", *options, self.folder / f"{host}.pub"
        )
        return self.folder / f"{host}-cert.pub"

    def server(self, key: str, certificate: Path | None = None, *lines: str) -> str:
        """Give a command that serves one connection, as a ProxyCommand."""
        self.key(key)
        file = self.folder / f"sshd-{len(list(self.folder.glob('sshd-*')))}"
        more = [f"HostCertificate {certificate}"] if certificate is not None else []
        text = [
            f"HostKey {self.folder / key}",
            *more,
            f"AuthorizedKeysFile {self.folder / 'id.pub'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            *lines,
        ]
        file.write_text("".join(f"{line}\n" for line in text))
        return f"{find_sshd()} -i -f {file}"

    def write(self, text: str) -> None:
        """Write ssh_config; what belongs to every host follows."""
        self.config.write_text(
            f"{text}\nMatch all\n  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile {self.system_hosts}\n"
            f"  IdentityFile {self.folder / 'id'}\n  IdentitiesOnly yes\n"
        )

    def ssh(self, host: str, *options: str) -> str:
        """Let OpenSSH's client ask a host; gives nothing where it answers, else what ssh says."""
        strict = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", *options]
        command = ["ssh", "-F", str(self.config), *strict, host, "echo here"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return "" if done.stdout == "here\n" else done.stderr or "nothing"

    def transport(self, **more: object) -> SSHTransport:
        """Give our transport, which reads the same files."""
        overrides = {"connect_kwargs": {"allow_agent": False}, "user": getpass.getuser(), **more}
        config = Config(runtime_ssh_path=str(self.config), overrides=overrides)
        return SSHTransport(config, "~/.ssh/known_hosts", SECONDS)

    def ours(self, host: str, **more: object) -> str:
        """Ask a host by our transport; gives nothing where it answers, else what the error says."""
        output: list[bytes] = []
        try:
            self.transport(**more).execute(Target(host, host), ["echo", "here"], b"", output.append, Deadline(SECONDS))
        except UnreachableError as error:
            return str(error)
        return "" if b"".join(output) == b"here\n" else "nothing"
