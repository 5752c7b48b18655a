"""Asks the cluster through a host of the fleet: the first one that answers, those of the batch at work last."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from ops.core.asking import Answer, Question, decode_line
from ops.core.deadline import Deadline
from ops.core.errors import OpsError, UnreachableError
from ops.core.protocol import ProtocolError
from ops.core.records import dataclass, replace
from ops.core.settings import Settings
from ops.core.verdict import Cause, Judgement, Reason, Verdict
from ops.fleet.conversation import PROTOCOL_MARK, Lines, shorten
from ops.fleet.plan import ANSWER_SECONDS, HostAction
from ops.fleet.transport import Target, Transport
from ops.fleet.transport.local import LocalTransport

Hear = Callable[[Judgement], None]


def _nothing(judgement: Judgement) -> None:
    """Hear a judgement and do nothing."""


@dataclass(frozen=True)
class Observer:
    """The way to the cluster.

    Attributes
    ----------
    hosts : an action each of all the stage's hosts, in the inventory's order.
    """

    transport: Transport
    hosts: tuple[HostAction, ...]

    def judge(
        self, question: Question, busy: frozenset[str] = frozenset(), hear: Hear = _nothing
    ) -> tuple[Judgement, Answer]:
        """Put a gate or preflight to the cluster; unknown where no host can ask it.

        Parameters
        ----------
        busy : hosts of the batch at work: not asked, unless they are all there is.
        hear : is told what it waits for, in this thread.
        """
        chosen = [one for one in self.hosts if one.target.name not in busy] or list(self.hosts)
        answer, troubles = self._first(chosen, question, hear)
        if answer is not None and answer.judgement is not None:
            return answer.judgement, answer
        reasons = tuple(Reason(Cause.UNREACHABLE, "", trouble) for trouble in troubles)
        return Judgement(Verdict.UNKNOWN, reasons), Answer()

    def ask(self, question: Question) -> Answer:
        """Put a question to the cluster through the first host that answers.

        Raises
        ------
        OpsError : none of them could, with what each of them said.
        """
        answer, troubles = self._first(self.hosts, question)
        if answer is None:
            raise UnreachableError("; ".join(troubles))
        return answer

    def _first(
        self, hosts: Sequence[HostAction], question: Question, hear: Hear = _nothing
    ) -> tuple[Answer | None, list[str]]:
        """Return the first good answer of these hosts, and each reason why those before it gave none, once."""
        troubles: dict[str, list[str]] = {}
        for host in hosts:
            try:
                answer = self._ask(host, _as_its_processes(host, question), hear)
            except OpsError as error:
                text = str(error).removeprefix(f"{host.target.name}: ")
                troubles.setdefault(text, []).extend([host.target.name] if text != str(error) else [])
                continue
            if answer.judgement is not None or not answer.error:
                return answer, _told(troubles)
            troubles.setdefault(answer.error, []).append(host.target.name)
        return None, _told(troubles)

    def _ask(self, host: HostAction, question: Question, hear: Hear) -> Answer:
        """Ask through one host.

        Raises
        ------
        OpsError : it could not be reached, or something else than an answer came.
        """
        said: list[Judgement | Answer] = []

        def take(line: bytes) -> None:
            said.append(decode_line(line.decode(errors="replace")))
            if isinstance(said[-1], Judgement):
                hear(said[-1])

        listener = Lines(PROTOCOL_MARK, take)
        end = self.transport.execute(
            host.target,
            (*host.agent[:-1], "ops.kafka"),
            f"{question.encode()}\n".encode(),
            listener.feed,
            Deadline(question.deadline_seconds + question.timeout_seconds + ANSWER_SECONDS),
        )
        listener.feed(b"\n")
        found = said[-1] if said else None
        if not isinstance(found, Answer):
            errors = shorten(end.errors.strip().splitlines()[-1].encode()) if end.errors.strip() else "nothing"
            raise ProtocolError(
                f"the cluster could not be asked here; on standard error: {errors}", where=host.target.name
            )
        return found


def _told(troubles: Mapping[str, Sequence[str]]) -> list[str]:
    """Return reasons in a line each, with the hosts that gave them."""
    lines = [f"{', '.join(hosts)}: {text}" if hosts else text for text, hosts in troubles.items()]
    return [one.replace("\n ", ";") for one in lines]


def observer_of(settings: Settings, transport: Transport, hosts: tuple[HostAction, ...]) -> Observer:
    """Give the way to the cluster that the settings name: through a host of the stage, or from this machine.

    Parameters
    ----------
    hosts : an action each of all the stage's hosts.
    """
    if settings.kafka.observe_from == "host":
        return Observer(transport, hosts)
    here = replace(hosts[0], target=Target("this machine", ""), agent=(sys.executable, "-P", "-m", "ops.node"))
    return Observer(LocalTransport(), (here,))


def _as_its_processes(host: HostAction, question: Question) -> Question:
    """Let the host ask with what its processes have: brokers, security, the env file with its secrets."""
    process = host.request.processes[0]
    env = {name: value for name, value in process.env.items() if name.startswith("KARAFKA_")}
    deploy_to = str(PurePosixPath(host.request.shared).parent)
    return replace(question, env=env, env_file=process.env_file, deploy_to=deploy_to)
