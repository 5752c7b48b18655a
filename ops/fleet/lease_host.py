"""The host that keeps a stage's lease, as the operator sees it: the first one of the stage's inventory."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ops.core.accounts import user_name
from ops.core.history import HistoryAnswer, HistoryCall
from ops.core.lease import HIGHEST_NUMBER, LeaseAction, LeaseAnswer, LeaseCall, LeaseInfo
from ops.core.protocol import Request, Response, Verb
from ops.core.records import dataclass, replace
from ops.core.settings import Host, Settings
from ops.fleet.conversation import AgentError, ask
from ops.fleet.crew import Crew, Done, Job
from ops.fleet.plan import HostAction, agent_of, shared_folder, target_of
from ops.fleet.transport import Target, Transport

_ASK_SECONDS = 15.0


@dataclass(frozen=True)
class LeaseHost:
    """The host that keeps a stage's lease, and the way to it.

    Attributes
    ----------
    agent : argv of its agent.
    shared : the application's shared folder there.
    anew : makes a way there that shares no connection with that one; None where that one keeps none.
    """

    transport: Transport
    target: Target
    agent: tuple[str, ...]
    shared: str
    anew: Callable[[], Transport] | None = None

    def apart(self) -> LeaseHost:
        """Give it by a way of its own: a connection that hangs, as after a change of networks, says nothing of it."""
        return self if self.anew is None else replace(self, transport=self.anew(), anew=None)

    def ask(self, call: LeaseCall, seconds: float = _ASK_SECONDS) -> LeaseAnswer:
        """Ask it.

        Raises
        ------
        UnreachableError, HungError, AgentError, NotSetUpError, ProtocolError : as `conversation.ask`.
        """
        answer = self._ask(Request(Verb.LEASE, self.target.name, (), shared=self.shared, lease=call), seconds).lease
        if answer is None:
            raise AgentError("its agent answered without saying how the lease is", where=self.target.name)
        return answer

    def show(self) -> LeaseAnswer:
        """Ask how the lease is."""
        return self.ask(LeaseCall(LeaseAction.SHOW))

    def history(self, call: HistoryCall) -> HistoryAnswer:
        """Ask for the history of rollouts, which is kept there too.

        Raises
        ------
        UnreachableError, AgentError, ProtocolError : as `ask`; AgentError also where a rollout could not be stored.
        """
        request = Request(Verb.HISTORY, self.target.name, (), shared=self.shared, history=call)
        answer = self._ask(request, _ASK_SECONDS).history
        if answer is None:
            raise AgentError("its agent answered without a history", where=self.target.name)
        return answer

    def _ask(self, request: Request, seconds: float) -> Response:
        return ask(self.transport, HostAction(self.target, self.agent, request, seconds), lambda _: None)

    def break_open(self, reason: str, above: int = 0) -> LeaseAnswer:
        """Take the lease from whoever has it; their requests are refused from the next lease on.

        Parameters
        ----------
        above : the highest number that any host has seen (`LeaseAnswer.seen`).
        """
        return self.ask(LeaseCall(LeaseAction.BREAK, holder=own_name(), reason=reason, above=above))


def lease_host(settings: Settings, transport: Transport, anew: Callable[[], Transport] | None = None) -> LeaseHost:
    """Give the host that keeps a stage's lease: the first of its inventory, whichever ones a command selects."""
    return replace(_host(settings, transport, settings.hosts[0]), anew=anew)


@dataclass(frozen=True)
class Seen:
    """The highest lease number that any host of a stage has seen.

    Attributes
    ----------
    host : one that has seen it.
    unasked : hosts that did not answer.
    """

    number: int
    host: str
    unasked: tuple[str, ...]


def highest_seen(settings: Settings, transport: Transport) -> Seen:
    """Ask all hosts of a stage which lease numbers they have seen."""
    hosts = {one.host: _host(settings, transport, one) for one in settings.hosts}
    crew: Crew[Any, LeaseAnswer] = Crew(settings.pool)
    jobs = [Job(name, partial(_show, one), _ASK_SECONDS) for name, one in hosts.items()]
    done = {news.host: news.result.seen for news in crew.run(jobs) if isinstance(news, Done) and news.result}
    answers = {name: number for name, number in done.items() if number <= HIGHEST_NUMBER}
    host = max(answers, key=lambda name: answers[name], default="")
    return Seen(answers.get(host, 0), host, tuple(name for name in hosts if name not in answers))


def _show(host: LeaseHost, _emit: Any) -> LeaseAnswer:
    return host.show()


def _host(settings: Settings, transport: Transport, host: Host) -> LeaseHost:
    return LeaseHost(transport, target_of(host), agent_of(settings, host), shared_folder(settings, host))


def own_name() -> str:
    """Say who this is: `user@host pid 4711`."""
    return f"{user_name()}@{socket.gethostname()} pid {os.getpid()}"


def ci_run(environ: Mapping[str, str] = os.environ) -> str:
    """Give the address of the CI run that this is, as GitHub and GitLab tell it; empty for none."""
    if environ.get("GITHUB_RUN_ID"):
        server = environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{environ.get('GITHUB_REPOSITORY', '')}/actions/runs/{environ['GITHUB_RUN_ID']}"
    return environ.get("CI_JOB_URL", "")


def held_text(lease: LeaseInfo) -> str:
    """Say who has it, why, since when and until when."""
    since = time.strftime("%H:%M:%S", time.localtime(lease.since))
    parts = [
        f"{lease.holder or 'somebody'} has the lease",
        f"for {lease.reason!r}" if lease.reason else "",
        f"since {since}" + (f" ({lease.held_seconds:.0f} s)" if lease.held_seconds is not None else ""),
        f"{lease.run}" if lease.run else "",
        f"without a renewal it ends in {lease.expires_seconds:.0f} s",
    ]
    return ", ".join(part for part in parts if part)
