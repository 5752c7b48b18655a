"""What OpenSSH's client would do to reach a host: asked of `ssh -G`, as only ssh reads its files as ssh does.

Includes, `Match`, the order of `Host` blocks, canonical names, defaults: all of it is its own. It costs 8 ms a host,
once; of hosts that its files cannot tell apart (`alike`) one is asked for. Where there is no `ssh` paramiko's reading
of the same files has to do.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from paramiko.config import SSHConfig
from paramiko.ssh_exception import SSHException

from ops.core.accounts import home_path, user_name
from ops.core.amounts import in_seconds
from ops.core.errors import SettingsError, UnreachableError
from ops.fleet.transport import alike
from ops.fleet.transport.client_config import DEFAULT_KEYS, ClientConfig

_ASK_SECONDS = 20.0  # `Match exec` and canonical names may take their time
_SSH_DEFAULTS = {"port": "22", "proxycommand": ""}
_CIRCLE = "jumphost loop"
_LISTS = ("identityfile", "certificatefile")


class ClientConfigs:
    """Says for every host what ssh would do, each kind of them asked once; used from several threads at once.

    Parameters
    ----------
    files : the configuration files, those that win first; one that is missing says nothing.
    user, port, proxy_command : used where no file says otherwise.
    ssh : the client to ask; None for paramiko's own reading.

    Raises
    ------
    SettingsError : a file is there and can't be read.
    """

    def __init__(
        self,
        files: tuple[str, ...],
        user: str,
        port: int,
        proxy_command: str = "",
        ssh: str | None = shutil.which("ssh"),
    ) -> None:
        self._ssh = ssh
        self._texts = _texts(files)
        self._own = {"user": user, "port": str(port), **({"proxycommand": proxy_command} if proxy_command else {})}
        self._source = ", ".join(files) or "ssh_config"
        self._known: dict[tuple[str, str | None, int | None], ClientConfig] = {}
        self._lock = threading.Lock()
        self._patterns = alike.patterns(self._texts)
        self._kinds: dict[tuple[object, ...], dict[str, Any] | None] = {}  # None: its hosts have to be asked for
        self._asking = threading.Lock()

    def ask(self, name: str, user: str | None = None, port: int | None = None) -> ClientConfig:
        """Give what ssh would do for `ssh -l user -p port name`.

        Raises
        ------
        UnreachableError : ssh refuses the host's name or its configuration.
        """
        key = (name, user, port)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            given = {**({"user": user} if user else {}), **({"port": str(port)} if port else {})}
            if not self._texts:
                options: dict[str, Any] = {**self._own, **given, "identityfile": tuple(sorted(DEFAULT_KEYS))}
            elif self._ssh:
                options = self._by_kind(name, given)
            else:
                options = self._by_paramiko(name, given)
            host = str(options.get("hostname") or name)
            known = ClientConfig(name, host, int(options["port"]), str(options["user"]), options)
            with self._lock:
                self._known[key] = known
        return known

    def _by_kind(self, name: str, given: dict[str, str]) -> dict[str, Any]:
        """Take what ssh has said of a host that is told apart by nothing; else ask it."""
        kind = None if self._patterns is None else alike.kind(name, self._patterns)
        if kind is None:
            return self._by_ssh(name, given)
        key = (kind, *given.items())
        with self._asking:  # the others wait for the first one's answer
            if key not in self._kinds:
                options = self._by_ssh(name, given)
                self._kinds[key] = options if alike.is_common(options, name) else None
                return options
        common = self._kinds[key]
        return self._by_ssh(name, given) if common is None else alike.renamed(common, name)

    def _by_ssh(self, name: str, given: dict[str, str]) -> dict[str, Any]:
        """Ask ssh; once more with our own settings behind all others where it may be that no file says anything."""
        options = self._asked(name, given, self._texts)
        if options.get("userknownhostsfile") == _default_known_hosts():
            del options["userknownhostsfile"]
        silent = _SSH_DEFAULTS | {"user": user_name()}
        open_ones = [key for key in self._own if options.get(key, "") == silent[key] != self._own[key]]
        if "proxycommand" in open_ones and options.get("proxyjump"):
            open_ones.remove("proxycommand")
        if open_ones:
            last = "".join(f"  {key} {_quoted(key, self._own[key])}\n" for key in open_ones)
            more = self._asked(name, given, (*self._texts, last))
            options.update({key: more[key] for key in open_ones if key in more})
        return options

    def _asked(self, name: str, given: dict[str, str], texts: tuple[str, ...]) -> dict[str, Any]:
        flags = {"user": "-l", "port": "-p"}
        own = [word for key, value in given.items() for word in (flags[key], value)]
        with tempfile.NamedTemporaryFile("w", prefix="ssh_config-", errors="surrogateescape") as file:
            file.write(_joined(texts))
            file.flush()
            command = [str(self._ssh), "-G", "-T", "-F", file.name, *own, "--", name]
            try:
                answer = subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                what = f"ssh did not say within {in_seconds(_ASK_SECONDS)} how it would reach it"
                raise UnreachableError(what, where=name, hint=f"try: ssh -G {name}") from None
            said = answer.stderr.decode(errors="replace").replace(file.name, self._source).strip()
        if _CIRCLE in said:
            what = f"its jump hosts are in a circle: {name} -> {name}"
            raise UnreachableError(what, where=name, hint=circle_hint(name))
        if answer.returncode != 0:
            raise UnreachableError(f"ssh refuses it: {said}", where=name, hint=f"try: ssh -G {name}")
        return _parsed(answer.stdout.decode(errors="surrogateescape"))

    def _by_paramiko(self, name: str, given: dict[str, str]) -> dict[str, Any]:
        try:
            found: dict[str, Any] = dict(SSHConfig.from_text(_joined(self._texts)).lookup(name))
        except (SSHException, OSError, ValueError) as error:
            raise UnreachableError(f"{self._source}: {error}", where=name, hint="is it right?") from error
        for key in _LISTS:
            value = found.get(key, ())
            found[key] = (value,) if isinstance(value, str) else tuple(value)
        found["identityfile"] = found["identityfile"] or tuple(sorted(DEFAULT_KEYS))
        if str(found.get("proxyjump", "")).lower() == "none":
            found["proxycommand"] = None  # whichever stands first; paramiko does not tell
        return {**self._own, **found, **given}


def circle_hint(name: str) -> str:
    """Say how a circle of jump hosts is opened."""
    return f"set `ProxyJump none` for {name} in ssh_config, above what is for all hosts"


def config_files(config: Any) -> tuple[str, ...]:
    """Give the files that Fabric's configuration reads: one that is named, else the user's and the system's.

    Raises
    ------
    SettingsError : the one that is named is not there.
    """
    named = config.ssh_config_path or getattr(config, "_runtime_ssh_path", None)
    if named:
        path = home_path(str(named))
        if not Path(path).is_file():
            raise SettingsError("there is no such file", where=path, hint="name it with -S, or set `ssh_config_path`")
        return (path,)
    if not config.load_ssh_configs:
        return ()
    return (home_path("~/.ssh/config"), "/etc/ssh/ssh_config")


def _texts(files: tuple[str, ...]) -> tuple[str, ...]:
    texts = []
    for file in files:
        try:
            texts.append(Path(file).read_text(errors="surrogateescape"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SettingsError(f"it cannot be read: {error.strerror}", where=file) from error
    return tuple(texts)


def _joined(texts: tuple[str, ...]) -> str:
    """Make one file of several: what stands first wins, so that they simply follow each other."""
    return "\nMatch all\n".join(texts)


def _quoted(key: str, value: str) -> str:
    return value if key == "proxycommand" else f'"{value}"'


def _default_known_hosts() -> str:
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # no such user in a container: ssh says so itself
        return ""
    return f"{home}/.ssh/known_hosts {home}/.ssh/known_hosts2"


def _parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(_LISTS, ())
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key in _LISTS:
            found[key] = (*found[key], value)
        else:
            found[key] = value
    return found
