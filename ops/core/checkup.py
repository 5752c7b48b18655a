"""What is wrong with a host, judged by its facts: each finding with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ops.core import keeping
from ops.core.drift import Change
from ops.core.installation import Facts
from ops.core.keeping import Keeping
from ops.core.sight import Zombie
from ops.core.states import State
from ops.core.survey import Survey

CLOCK_SECONDS = 1.0
"""How far a host's clock may be from the operator's, beyond what the question itself took."""
LOW_PERCENT, LOW_BYTES = 10, 5 << 30
"""A file system is low below so much of it and so many bytes; of inodes the percentage alone counts."""
LARGE_LOG_BYTES = 1 << 30
OPEN_FILES, FULL_PERCENT = 1024, 80
"""The least that a process may be allowed to have open (what login shells give), and how much of it may be used."""


_UNROTATED = "unrotated"  # a remark: a log that has really grown large is a finding by its size
_PRIVATE = ("/tmp", "/var/tmp")  # a unit has its own


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes
    ----------
    host : empty for the stage as a whole.
    kind : one word for it, for programs: `drift`, `tool`, `disk`, ...
    mend : the command that mends it, or shows more.
    remark : it is no fault: nobody asked for it, and the user of the settings can't mend it.
    """

    host: str
    kind: str
    text: str
    mend: str
    remark: bool = False


@dataclass(frozen=True)
class Subject:
    """One host that answered.

    Attributes
    ----------
    tool : the operator's version of the tool.
    python : the interpreter that the settings name for it; empty for none.
    writable : the folders that a unit lets processes write to; None where nothing keeps them from others.
    asked, answered : by the operator's clock, seconds since 1970.
    """

    host: str
    kept: Keeping
    facts: Facts
    changes: Sequence[Change]
    tool: str
    asked: float
    answered: float
    python: str = ""
    writable: tuple[str, ...] | None = None


def examine(subject: Subject) -> tuple[Finding, ...]:
    """Give all findings of one host by its facts."""
    found = []
    for kind, text, mend in (
        *_tool(subject),
        *_manager(subject),
        *_drift(subject),
        *_boot(subject),
        *_keepers(subject),
        *(
            ("writes", text, f"{name} in linked_dirs, or ReadWritePaths= in a drop-in")
            for name, text in _writers(subject.facts, subject.writable)
        ),
        *_room(subject),
        *_clock(subject),
    ):
        found.append(Finding(subject.host, kind, text, mend, remark=kind == _UNROTATED))
    return tuple(found)


Row = tuple[str, str, str]


def _tool(subject: Subject) -> Iterator[Row]:
    if subject.facts.tool != subject.tool:
        text = f"its tool is version {subject.facts.tool}, yours {subject.tool}"
        yield "tool", text, f"fab karafka.setup --hosts {subject.host}"
    made_of = subject.facts.made_of
    if subject.python and made_of and subject.python not in made_of:
        text = f"its agent is of {made_of[0]}, the settings name {subject.python}"
        yield "python", text, f"fab karafka.setup --hosts {subject.host}"
    elif not subject.python and any(made_of[1:]):
        text = f"its agent is of {made_of[0]}, which the settings name no more"
        yield "python", text, f"fab karafka.setup --hosts {subject.host}"


def _manager(subject: Subject) -> Iterator[Row]:
    kept, facts = subject.kept, subject.facts
    if facts.manager:
        mend = "fab karafka.log" if kept.kind == keeping.PIDFILE else "systemctl status"
        if kept.kind == keeping.SYSTEMD and kept.scope == "user":
            mend = f"as root: loginctl enable-linger {facts.user}"
        elif kept.kind == keeping.SUPERVISOR:
            mend = "systemctl start supervisor"
        yield "manager", f"{kept.kind} does not answer: {facts.manager}", mend
    if facts.sudo:
        text = f"user {facts.user} may not call systemctl by sudo: {facts.sudo}"
        yield "sudo", text, "inv templates.render systemd"
    if facts.linger is False:
        text = f"the units of user {facts.user} end with the last session (no linger)"
        yield "linger", text, f"as root: loginctl enable-linger {facts.user}"


def _drift(subject: Subject) -> Iterator[Row]:
    facts = subject.facts
    rootless = facts.user != "root" and not facts.interpreter and not subject.kept.sudo
    for change in subject.changes:
        kind = "rotation" if "/logrotate" in change.path else "drift"
        text = change.summary
        if change.before is None:
            text = f"missing: {change.path}"
        elif change.after is None:
            text = f"not in the settings any more: {change.path}"
        mend = f"fab karafka.install --hosts {subject.host}"
        if kind == "rotation" and rootless and change.path.startswith("/etc/"):
            mend = f"inv templates.render logrotate --host {subject.host}"
            if change.before is None:
                kind, text = _UNROTATED, f"no log is rotated: {change.path} is missing"
            text += f" (user {facts.user} may not write there, root has to)"
        yield kind, text, mend


def _boot(subject: Subject) -> Iterator[Row]:
    facts = subject.facts
    mend = f"fab karafka.enable --hosts {subject.host}"
    off = [unit for unit, word in facts.enabled.items() if not word.startswith("enabled")]
    missing = {change.path.rpartition("/")[2] for change in subject.changes if change.before is None}
    if off and subject.kept.template not in missing:
        yield "boot", f"do not start with the host: {', '.join(off)}", mend
    if facts.autostart is False:
        yield "boot", "its programs do not start with supervisord", mend


def _keepers(subject: Subject) -> Iterator[Row]:
    """Tell processes that another manager keeps than the settings say."""
    kind = subject.kept.kind
    for other in sorted(set(subject.facts.keepers.values()) - {kind}):
        names = [name for name, kept_by in subject.facts.keepers.items() if kept_by == other]
        how = "as plain processes" if other == keeping.PIDFILE else f"by {other}"
        mend = f"fab karafka.migrate {kind}" if kind != keeping.PIDFILE else f"manager: {other}"
        yield "keeper", f"{', '.join(names)} run {how}, the settings say {kind}", mend


def _writers(facts: Facts, writable: tuple[str, ...] | None) -> Iterator[tuple[str, str]]:
    """Yield, for each process, the folder of what it writes where a unit would not let it, and that in words."""
    if writable is None:
        return
    allowed = tuple(f"{one}/" for one in (*writable, *_PRIVATE))
    for name, paths in facts.written.items():
        other = [path for path in paths if not path.startswith(allowed)]
        if other and facts.keepers.get(name) != keeping.SYSTEMD:  # a unit's has a drop-in for them
            rest = f" and {len(other) - 1} more" if other[1:] else ""
            yield other[0].rpartition("/")[0], f"{name} writes {other[0]}{rest}, which its unit would not let it"


def unfit_writers(facts: Facts, writable: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return what is said of processes that write where a unit would not let them; see `Subject.writable`."""
    return tuple(text for _, text in _writers(facts, writable))


def _room(subject: Subject) -> Iterator[Row]:
    facts = subject.facts
    space = facts.space
    if space is not None and space.bytes_free < min(LOW_BYTES, space.bytes_all * LOW_PERCENT // 100):
        free = f"{space.bytes_free >> 20} MiB of {space.bytes_all >> 30} GiB"
        yield "disk", f"the disk of shared/ is nearly full: {free} left", "df -h"
    if space is not None and space.inodes_all and space.inodes_free < space.inodes_all * LOW_PERCENT // 100:
        free = f"{space.inodes_free} of {space.inodes_all}"
        yield "disk", f"the disk of shared/ has few inodes: {free} left", "df -i"
    if subject.kept.kind != keeping.SYSTEMD:  # whose processes write into the journal
        for name, size in facts.logs.items():
            if size > LARGE_LOG_BYTES:
                yield "log", f"the log of {name} has {size >> 20} MiB: is logrotate run at all?", "logrotate --debug"
    for name, files in facts.open_files.items():
        if files.limit < OPEN_FILES or files.used * 100 > files.limit * FULL_PERCENT:
            text = f"{name} has {files.used} files open and may have {files.limit}"
            yield "files", text, "LimitNOFILE= in a drop-in" if subject.kept.kind == keeping.SYSTEMD else "ulimit -n"


def _clock(subject: Subject) -> Iterator[Row]:
    wall = subject.facts.wall
    off = min(wall - subject.asked, 0.0) or max(wall - subject.answered, 0.0)
    if abs(off) > CLOCK_SECONDS:
        word = "behind" if off < 0 else "ahead of"
        yield "clock", f"its clock is {abs(off):.0f} s {word} yours", "timedatectl set-ntp true"


_LAME = {State.DEAD: "dead", State.CRASH_LOOPING: "crash-looping", State.UNKNOWN: "unknown"}


def examine_processes(survey: Survey, answered: Iterable[str]) -> tuple[Finding, ...]:
    """Give what the look at processes and groups shows: zombies, and those that are down although nobody stopped them.

    Parameters
    ----------
    answered : the hosts that did; of the others nothing is known.
    """
    known = frozenset(answered)
    found = []
    for row in survey.observation.rows:
        word = _LAME.get(row.report.state)
        if word and row.host in known:
            text = f"{row.report.name} is {word}" + (f": {row.report.message}" if row.report.message else "")
            mend = f"fab karafka.start --hosts {row.host} --processes {row.report.name}"
            found.append(Finding(row.host, "process", text, mend))
        if row.report.unstartable and row.host in known:
            text = f"{row.report.name} could not be started again: {row.report.unstartable}"
            found.append(Finding(row.host, "command", text, "mend `command` in fabric.yaml, or deploy"))
    for remark in survey.observation.remarks:
        text = remark.text.removeprefix(f"{remark.host} ") if remark.host else remark.text
        found.append(Finding(remark.host, "zombie", text, _mend(remark.zombie, remark.host, remark.process)))
    if survey.cluster_error:
        found.append(Finding("", "cluster", f"it could not be asked: {survey.cluster_error}", "fab karafka.lag"))
    return tuple(found)


def _mend(zombie: Zombie, host: str, process: str) -> str:
    if zombie is Zombie.NO_TOPIC:
        return "inv topics.apply"
    if zombie is Zombie.UNEXPLAINED or not host:
        return "fab karafka.status"
    if zombie is Zombie.SUPERFLUOUS:
        return f"fab karafka.restart --hosts {host}"
    return f"fab karafka.restart --hosts {host} --processes {process}"
