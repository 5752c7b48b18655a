"""`python -m ops.sandbox.nspawn_root ORDER`: boots systemd on a copy-on-write root, in namespaces of its own.

Booting systemd on this machine's own root would empty its /tmp and start its services on its data. So it happens on an
overlay of it, nothing that is enabled here is enabled there, and whatever is missing ends it before anything boots. The
mounts and processes are of this process's own namespaces: they are gone with it, however it ends.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

_FOLDERS = ("var/log/journal",)
_UNITS = Path("etc/systemd/system")
_GENERATORS = ("system-generators", "user-environment-generators")
_MASKED = ("systemd-firstboot.service", "systemd-networkd.service", "systemd-networkd.socket")
_START_UP = (".bashrc", ".profile", ".bash_profile", ".bash_login")  # of this machine's root: SSH would run them there
_REBOOTED = 133  # how systemd-nspawn ends with --keep-unit when the host inside reboots: systemd-nspawn(1)
_ENABLED = {"multi-user.target.wants": ("ssh.service",), "sockets.target.wants": ("dbus.socket",)}
_SSHD = """\
Port 22
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
StrictModes no
UsePAM yes
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
MaxStartups 500:30:1000
MaxSessions 200
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Order:
    """What is to be booted.

    Attributes
    ----------
    machine : its name; of its network interface, too.
    folder : its own, for the mount points.
    user, uid : who deploys.
    host_key, authorized : the private key of its SSH server, and the public one that may log in.
    binds : folders of this machine -> where they are seen there, read-only.
    texts, links : files of it, and symbolic links: where -> what.
    namespace : the mount namespace that it must not be in.
    """

    machine: str
    folder: str
    user: str
    uid: int
    host_key: str
    authorized: str
    binds: dict[str, str]
    texts: dict[str, str]
    links: dict[str, str]
    namespace: str

    def encode(self) -> str:
        """Give it as one argument."""
        return json.dumps(asdict(self))


def namespace() -> str:
    """Name the mount namespace of this process."""
    return str(Path("/proc/self/ns/mnt").readlink())


def main(arguments: list[str]) -> None:
    """Mount, prove it, prepare, boot."""
    order = Order(**json.loads(arguments[0]))
    if namespace() == order.namespace:
        raise SystemExit("refused: this is not a mount namespace of its own")
    layers, root = Path(order.folder) / "layers", Path(order.folder) / "root"
    for folder in (layers, root):
        folder.mkdir(exist_ok=True)
    _mount("tmpfs", layers, "mode=755")
    for folder in (layers / "upper", layers / "work"):
        folder.mkdir()
    _mount("overlay", root, f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work")
    _prove(layers, "tmpfs")
    _prove(root, "overlay")
    _prepare(root, order)
    _mount("tmpfs", Path("/run"), "mode=755")  # what nspawn keeps there is gone with the namespace, too
    binds = [f"--bind-ro={source}:{target}" for source, target in order.binds.items()]
    argv = ["systemd-nspawn", "-q", "-D", str(root), "--boot", "--private-network", "--network-veth"]
    argv += [
        f"--machine={order.machine}",
        "--register=no",
        "--keep-unit",
        "--console=pipe",
        "--resolv-conf=off",
        *binds,
    ]
    raise SystemExit(_run(argv))


def _run(argv: list[str]) -> int:
    """Run nspawn, again after each reboot; TERM powers the host off."""
    code = _REBOOTED
    while code == _REBOOTED:
        child = subprocess.Popen(argv)
        signal.signal(signal.SIGTERM, lambda *_, child=child: child.terminate())
        code = child.wait()
    return code


def _mount(kind: str, target: Path, options: str) -> None:
    subprocess.run(["mount", "-t", kind, "-o", options, kind, str(target)], check=True, timeout=20)


def _prove(target: Path, kind: str) -> None:
    """Refuse to go on unless this very folder is a mount of this kind."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[4] == str(target) and after.split()[0] == kind:
            return
    raise SystemExit(f"refused: {target} is no {kind}")


def _prepare(root: Path, order: Order) -> None:
    """Change the overlay, and only that: nothing of this machine starts there."""
    (root / "etc/ssh/sshd_not_to_be_run").unlink(missing_ok=True)
    for folder in (root / _UNITS).glob("*.wants"):
        shutil.rmtree(folder)
    for path in [*(root / "etc").glob("rc?.d/*"), *(root / "etc/init.d").glob("*"), *(root / _UNITS).glob("*.service")]:
        path.unlink()
    for unit in _MASKED:
        (root / _UNITS / unit).symlink_to("/dev/null")
    for kind in _GENERATORS:  # each reload would run all of them
        masked = root / "etc/systemd" / kind
        masked.mkdir(exist_ok=True)
        for generator in (root / "lib/systemd" / kind).glob("*"):
            (masked / generator.name).unlink(missing_ok=True)
            (masked / generator.name).symlink_to("/dev/null")
    for name in _START_UP:
        (root / "root" / name).unlink(missing_ok=True)
    log_in = root / "etc/pam.d/sshd"
    lines = log_in.read_text().splitlines(keepends=True) if log_in.exists() else []
    if lines:  # a message of the day is made by processes of its own
        log_in.write_text("".join(line for line in lines if "pam_motd" not in line))
    (root / _UNITS / "default.target").unlink(missing_ok=True)
    (root / _UNITS / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    for target, units in _ENABLED.items():
        (root / _UNITS / target).mkdir()
        for unit in units:
            (root / _UNITS / target / unit).symlink_to(f"/lib/systemd/system/{unit}")
    for folder in map(root.joinpath, (*_FOLDERS, *(target.lstrip("/") for target in order.binds.values()))):
        folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "etc/fstab": "",
        # An empty one would make it a first boot, which enables all there is
        "etc/machine-id": f"{secrets.token_hex(16)}\n",
        "etc/hostname": f"{order.machine}\n",
        "etc/hosts": f"127.0.0.1 localhost {order.machine}\n",
        "etc/resolv.conf": "",  # nobody answers there: sudo, for one, would wait for that
        "etc/ssh/sshd_config": _SSHD,
        # Under load a log-in that meets the end of the one before waits for its service manager's, 10 s and more
        "etc/systemd/logind.conf.d/stay.conf": "[Login]\nUserStopDelaySec=infinity\n",
        "etc/ssh/host_key": order.host_key,
        "etc/ssh/authorized_keys": f"{order.authorized}\n",
        # A host of nspawn has a boot id of its own, which is not seen in the /proc that ProtectProc= makes
        "etc/tmpfiles.d/boot-id.conf": "C /run/boot-id 0444 root root - /proc/sys/kernel/random/boot_id\n",
        f"{_UNITS}/karafka-.service.d/boot-id.conf": (
            "[Service]\nBindReadOnlyPaths=-/run/boot-id:/proc/sys/kernel/random/boot_id\n"
        ),
        **{path.lstrip("/"): text for path, text in order.texts.items()},
    }
    for name, text in texts.items():
        _place(root / name).write_text(text)
    (root / "etc/ssh/host_key").chmod(0o600)
    for name, leads_to in order.links.items():
        _place(root / name.lstrip("/")).symlink_to(leads_to)
    _add_user(root, order)


def _place(path: Path) -> Path:
    """Make room for a file: its folder, and nothing where it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path


def _add_user(root: Path, order: Order) -> None:
    user, uid, home = order.user, order.uid, f"/home/{order.user}"
    lines = {
        "etc/passwd": f"{user}:x:{uid}:{uid}::{home}:/bin/sh\n",
        "etc/group": f"{user}:x:{uid}:\n",
        "etc/shadow": f"{user}:*:19000:0:99999:7:::\n",
    }
    for path, line in lines.items():
        with (root / path).open("a") as file:
            file.write(line)
    (root / home.lstrip("/")).mkdir(mode=0o755)
    os.chown(root / home.lstrip("/"), uid, uid)


if __name__ == "__main__":
    main(sys.argv[1:])
