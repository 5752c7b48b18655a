"""Settings: the `karafka:` section of fabric.yaml as frozen structs; `ops.core.section` makes and checks them."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

import msgspec

from ops.core.release import BRANCH
from ops.core.section_topics import Topics

Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Workers = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\Z"
BATCH_PATTERN = r"^([1-9][0-9]{0,2}|[1-9][0-9]?%|100%)\Z"
APP_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*\Z"
BRANCH_PATTERN = rf"^{BRANCH}\Z"
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
WORKER = "worker"
BatchSize = Count | Annotated[str, msgspec.Meta(pattern=BATCH_PATTERN)]


class Kafka(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of the cluster.

    Attributes
    ----------
    brokers : as host:port, passed on to the processes as KARAFKA_BROKERS.
    groups : that each process is a member of, for commands which don't tell it themselves.
    observe_from : who asks the cluster: a `host` of the fleet, or the `operator`'s own machine.
    topics : what `inv topics.plan` and `apply` want of topics.
    """

    brokers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    observe_from: Literal["host", "operator"] = "host"
    topics: Topics = Topics()


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a restart goes through the fleet: batch after batch, or all at once; with or without a warm standby.

    Attributes
    ----------
    batch : hosts of one batch, as a number or a percentage of the selected ones; of a list the first batch takes the
        first, and so on, all later ones the last.
    canary : hosts that the first batch has at most; 0 for no such limit.
    max_failures : hosts that may fail before no further batch is begun.
    settle_seconds : how long the first batch has to work before the next one is begun.
    gate_timeout_seconds : how long the groups may take after a batch until they work with the new processes.
    max_lag : messages of one group that may wait after a batch; None for as many as before.
    """

    strategy: Literal["rolling", "all"] = "rolling"
    standby: Literal["auto", "off"] = "auto"
    batch: BatchSize | Annotated[tuple[BatchSize, ...], msgspec.Meta(min_length=1)] = 1
    canary: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1
    max_failures: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    settle_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0
    gate_timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 120.0
    max_lag: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Systemd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How systemd keeps the processes, where it is the manager.

    Attributes
    ----------
    scope : `system` units, or the deploying `user`'s own, which need linger to outlive the session.
    sudo : call systemctl by `sudo -n`; for system units that a user other than root deploys.
    user : whom system units run as; None for the owner of deploy_to.
    watchdog_seconds : an `app` whose poll loops make no progress for so long is restarted; 0 for never.
    """

    scope: Literal["system", "user"] = "system"
    sudo: bool = False
    user: Name | None = None
    watchdog_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0


class Supervisor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where supervisor is, where it is the manager, and how it keeps the processes.

    Attributes
    ----------
    socket : of its XML-RPC server (`[unix_http_server] file`).
    conf : its own conf file; None for the first of its usual places.
    credentials : a file on the host with the username and password of the socket, in a section `[supervisorctl]`; None
        for those in its conf file, if it has any.
    conf_d : the folder that programs go into, of those that its `[include]` reads; None for the first one.
    watchdog_seconds : an `app` whose poll loops make no progress for so long is restarted; 0 for never.
    """

    socket: str = "/var/run/supervisor.sock"
    conf: str | None = None
    credentials: str | None = None
    conf_d: str | None = None
    watchdog_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an executable of .karafka/hooks runs: on the operator's machine, or on all hosts."""

    on: Literal["local", "hosts"] = "local"


class Become(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who works on a host, where another user logs in: by `sudo -n -u USER`."""

    user: Name


class ToolIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An index that has this tool's wheel.

    Attributes
    ----------
    index : URL of its simple API.
    sha256 : hash of the wheel, in hexadecimal.
    """

    index: str
    sha256: str


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What differs for the processes of one role."""

    processes: Count | None = None
    workers: Workers | None = None
    consumer_groups: tuple[str, ...] | None = None


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One host: `host` is its key in the inventory and in instance ids; the rest is how it is reached."""

    host: Name
    address: str | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = None
    user: str | None = None
    roles: tuple[Name, ...] | None = None
    deploy_to: str | None = None
    python: str | None = None
    become: Become | None = None
    env: dict[str, str | int] = {}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of one stage, whole.

    Attributes
    ----------
    command : argv of one process; a string is split as a shell would, but no shell runs it.
    worker_command : the same of a process that performs background jobs; None for `command` with `worker` in the place
        of `server`.
    app : `module:attribute` of the app drawn with ops.consumer, passed on as KARAFKA_APP; None for a foreign command.
    pid : pidfile below shared/; slot N writes it with -N before its suffix.
    env_file : `KEY=value` lines below shared/, mode 0600: the host's secrets.
    readiness : `notify` (READY=1 on NOTIFY_SOCKET) or `alive` (for commands that never say it).
    logrotate_d : the folder of logrotate's rules on a host.
    repo_url : the git repository that releases come from, as the hosts reach it; not needed for artifacts.
    branch : branch, tag or commit that is deployed.
    repo_tree : the folder of the repository that becomes the release; None for all of it.
    strip_components : leading folders of an artifact's names that are left out, as by tar's option.
    keep_releases : good ones that are kept on a host.
    linked_dirs, linked_files : below shared/, linked into each release.
    build : the build step: true for the default one, false for none, or argv of the project's own.
    auto_rollback : after a rollout that fails, back to the release before.
    default_hooks : restart after deploy:finished.
    hooks : file name below .karafka/hooks -> where it runs.
    agent_python : the tool's own interpreter on a host, made by `fab karafka.setup`.
    python : the interpreter that it is made of; None for the newest that a host has.
    become : the user who works on hosts, where everybody logs in as oneself; None for who logs in.
    pool : hosts worked on at the same time.
    tool : what pipelines install: a wheel's path in the project, its URL with its hash, or an index with the hash;
        None for the wheel that `fab ci.init` puts into the project.
    """

    application: Name
    deploy_to: str
    command: tuple[str, ...] | str
    hosts: Annotated[tuple[Host, ...], msgspec.Meta(min_length=1)]
    stage: Name
    app: Annotated[str, msgspec.Meta(pattern=APP_PATTERN)] | None = None
    karafka_env: str | None = None
    env: dict[str, str | int] = {}
    env_file: str = "karafka.env"
    pid: str = "tmp/pids/karafka.pid"
    role: Name | tuple[Name, ...] = "karafka"
    processes: Count = 1
    workers: Workers = 0
    worker_command: tuple[str, ...] | str | None = None
    roles: dict[Name, Role] = {}
    consumer_groups: tuple[str, ...] = ()
    manager: Literal["pidfile", "systemd", "supervisor"] = "pidfile"
    readiness: Literal["notify", "alive"] = "notify"
    start_timeout_seconds: Seconds = 20.0
    stop_timeout_seconds: Seconds = 30.0
    kafka: Kafka = Kafka()
    rollout: Rollout = Rollout()
    systemd: Systemd = Systemd()
    supervisor: Supervisor = Supervisor()
    logrotate_d: str = "/etc/logrotate.d"
    repo_url: str | None = None
    branch: Annotated[str, msgspec.Meta(pattern=BRANCH_PATTERN)] = "main"
    repo_tree: str | None = None
    strip_components: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    keep_releases: Count = 5
    linked_dirs: tuple[str, ...] = ()
    linked_files: tuple[str, ...] = ()
    build: bool | str | tuple[str, ...] = True
    build_timeout_seconds: Seconds = 900.0
    auto_rollback: bool = False
    default_hooks: bool = True
    hooks: dict[str, Hook] = {}
    hook_timeout_seconds: Seconds = 600.0
    agent_python: str = "shared/karafka-ops/bin/python"
    python: str | None = None
    become: Become | None = None
    known_hosts: str = "~/.ssh/known_hosts"
    pool: Count = 16
    connect_timeout_seconds: Seconds = 10.0
    tool: str | ToolIndex | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """The command as argv."""
        return _argv(self.command)

    @property
    def worker_argv(self) -> tuple[str, ...]:
        """The command of a process that performs background jobs as argv; empty where nobody knows it."""
        if self.worker_command is not None:
            return _argv(self.worker_command)
        own = self.argv
        return tuple("worker" if word == "server" else word for word in own) if own.count("server") == 1 else ()

    @property
    def build_argv(self) -> tuple[str, ...] | None:
        """The build step as argv: empty for the default one, None for none."""
        if isinstance(self.build, bool):
            return () if self.build else None
        return tuple(shlex.split(self.build)) if isinstance(self.build, str) else self.build

    @property
    def main_role(self) -> str:
        """The role of hosts that name none."""
        return self.role if isinstance(self.role, str) else self.role[0]

    @property
    def role_names(self) -> tuple[str, ...]:
        """The roles whose hosts run processes, the main one first."""
        own = (self.role,) if isinstance(self.role, str) else self.role
        return tuple(dict.fromkeys((*own, *self.roles)))

    def roles_of(self, host: Host) -> tuple[str, ...]:
        """Which roles a host has: its own list, or the main role."""
        return (self.main_role,) if host.roles is None else host.roles

    def become_on(self, host: Host) -> str | None:
        """Who works on a host where another user logs in; None for who logs in."""
        wanted = host.become or self.become
        return wanted.user if wanted is not None else None

    def processes_of(self, role: str) -> int:
        """How many processes a host of this role runs."""
        own = self.roles.get(role, Role()).processes
        return self.processes if own is None else own

    def workers_of(self, role: str) -> int:
        """How many processes that perform background jobs a host of this role runs."""
        own = self.roles.get(role, Role()).workers
        return self.workers if own is None else own

    def worker_role(self, role: str) -> str:
        """The role in their names: `worker-0` of the main role, `karafka_big-worker-0` of another one."""
        return WORKER if role == self.main_role else f"{role}-{WORKER}"

    @property
    def worker_roles(self) -> tuple[str, ...]:
        """The roles in the names of all processes that perform background jobs."""
        return tuple(self.worker_role(role) for role in self.role_names if self.workers_of(role))

    def consumer_groups_of(self, role: str) -> tuple[str, ...]:
        """Which consumer groups each process of this role runs: one entry a process, or none for all groups."""
        own = self.roles.get(role, Role()).consumer_groups
        return self.consumer_groups if own is None else own


def _argv(command: tuple[str, ...] | str) -> tuple[str, ...]:
    return tuple(shlex.split(command)) if isinstance(command, str) else command
