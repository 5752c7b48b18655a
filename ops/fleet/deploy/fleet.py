"""The hosts of a deploy: one question to each of them, side by side, and what they answer told as it comes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ops.core.errors import ExitCode, OpsError
from ops.core.protocol import Event, Verb
from ops.core.release import DeployAction, DeployAnswer, DeployCall
from ops.core.settings import Settings
from ops.core.telling import HostFact, Narrator, Output, Said
from ops.fleet.inventory import Place
from ops.fleet.lease import Held
from ops.fleet.plan import ANSWER_SECONDS, HostAction, deploy_to, make_plan
from ops.fleet.report import Outcome, Report
from ops.fleet.rollout import carry_out
from ops.fleet.transport import Transport

TRANSFER_SECONDS = 1800.0  # what takes a release's files, or a repository, to a host
_LOCK_SECONDS = 60.0  # an agent waits for another one's turn
_OUTPUT = ("build", "hook")  # steps whose details are lines that a program printed
_PYTHON = re.compile(r"python[0-9.]*")


class StepFailedError(OpsError):
    """A step that failed on some hosts: exit code as the hosts' reports have it."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.exit_code = ExitCode(code)


class Teller:
    """Tells a narrator what a plan's hosts say while it is carried out.

    Parameters
    ----------
    hook : the name of what runs there.
    """

    def __init__(self, narrator: Narrator, hook: str = "") -> None:
        self._narrator = narrator
        self._hook = hook

    def event(self, host: str, event: Event) -> None:
        """Tell what happens on a host."""
        if not event.process and event.step in _OUTPUT:
            self._narrator.tell(Output(self._hook or event.step, event.detail, host))
        else:
            self._narrator.tell(HostFact(host, event.step, event.detail, event.process))

    def finished(self, outcome: Outcome) -> None:
        """Tell what came of a host."""
        if outcome.trouble:
            self._narrator.tell(HostFact(outcome.host, "failed", outcome.trouble, failed=True))
        for report in outcome.response.processes if outcome.response else ():
            if not report.ok:
                text = "\n".join((report.message or str(report.state), *(f"  | {line}" for line in report.log)))
                self._narrator.tell(HostFact(outcome.host, "failed", text, report.name, failed=True))
        answer = outcome.response.deployed if outcome.response else None
        for word in answer.done if answer else ():
            self._narrator.tell(HostFact(outcome.host, "done", word))
        for trouble in answer.troubles if answer else ():
            self._narrator.tell(HostFact(outcome.host, "in the way", trouble, failed=True))

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Tell what is waited for after Ctrl-C."""
        self._narrator.tell(
            Said(f"interrupted: finishing what has begun on {', '.join(hosts)}; Ctrl-C again leaves it")
        )


@dataclass(frozen=True)
class Fleet:
    """The hosts that are deployed to.

    Attributes
    ----------
    lease : what it is done under; None where nothing is changed.
    """

    settings: Settings
    places: tuple[Place, ...]
    transport: Transport
    narrator: Narrator
    lease: Held | None

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts' keys."""
        return tuple(one.host.host for one in self.places)

    def only(self, names: Iterable[str]) -> Fleet:
        """Give some of these hosts."""
        chosen = frozenset(names)
        return replace(self, places=tuple(one for one in self.places if one.host.host in chosen))

    def report(
        self,
        action: DeployAction,
        *,
        seconds: float = 60.0,
        payload: Callable[[str], Callable[[], Iterable[bytes]]] | None = None,
        **call: Any,
    ) -> Report:
        """Ask all hosts to take a step; every one of them is in the report.

        Parameters
        ----------
        seconds : how long the step itself may take.
        payload : makes for a host what makes the bytes that follow its request.
        call : of `DeployCall`.
        """
        hosts = {one.host.host: one.host for one in self.places}
        limit = ANSWER_SECONDS + _LOCK_SECONDS + seconds

        def change(one: HostAction) -> HostAction:
            name = one.target.name
            own = DeployCall(action, deploy_to(self.settings, hosts[name]), timeout_seconds=seconds, **call)
            specs = one.request.processes if action is DeployAction.VERIFY else ()
            request = replace(one.request, deploy=own, processes=specs)
            made = payload(name) if payload is not None else None
            return replace(one, request=request, deadline_seconds=limit, payload=made)

        plan = make_plan(self.settings, self.places, Verb.DEPLOY).changed(change)
        teller = Teller(self.narrator, call.get("name", ""))
        if self.lease is None:
            return carry_out(plan, self.transport, teller)
        return carry_out(plan.under(self.lease.fence), self.transport, teller, permit=self.lease.check)

    def ask(self, action: DeployAction, **call: Any) -> Mapping[str, DeployAnswer]:
        """Ask all hosts to take a step; gives what each has answered.

        Raises
        ------
        KeyboardInterrupt : Ctrl-C; what had begun on the hosts has ended, or goes on without us.
        StepFailedError : a host failed, or could not be reached.
        LeaseLostError : nothing may be begun any more.
        """
        return require(self.report(action, **call), action)


def require(report: Report, action: DeployAction) -> Mapping[str, DeployAnswer]:
    """Give the answers of a step that went well everywhere; raises as `Fleet.ask`."""
    if report.interrupted:
        raise KeyboardInterrupt
    if report.ended is not None:
        raise report.ended
    found = answers(report.outcomes)
    if report.exit_code:
        bad = [one.trouble.splitlines()[0] for one in report.outcomes if one.host not in found]
        raise StepFailedError(f"{action} failed: {'; '.join(bad)}", int(report.exit_code))
    return found


def answers(outcomes: Sequence[Outcome]) -> dict[str, DeployAnswer]:
    """Give what hosts have answered."""
    return {one.host: one.response.deployed for one in outcomes if one.response and one.response.deployed}


def check_python(argv: Sequence[str]) -> str:
    """Give the interpreter by which a release is asked what it reads; empty where the command does not tell.

    A command that is an interpreter is it; beside any other one in a venv's bin/ there is one.
    """
    folder, slash, name = argv[0].rpartition("/")
    if _PYTHON.fullmatch(name):
        return argv[0]
    return f"{folder}/python" if slash else ""
