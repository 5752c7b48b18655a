"""Carries a flow out: stage after stage, hooks and steps, up to the end or the first thing that fails."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.offspring import Offspring
from ops.core.release import DeployAction
from ops.core.telling import HookBegun, Output, Result, StageBegun, StageEnded
from ops.fleet.deploy.facts import Facts
from ops.fleet.deploy.fleet import Fleet, StepFailedError
from ops.fleet.deploy.flow import ROLLBACK, Flow, Stage
from ops.fleet.deploy.hook_call import TIMEOUT_HINT, call
from ops.fleet.deploy.hooks import Hook, Kind, environment
from ops.fleet.deploy.outcome import Aftermath, Ending, Restart, Restarted, extent
from ops.fleet.deploy.work import Work
from ops.fleet.inherited_lease import text_of
from ops.fleet.report import INTERRUPTED
from ops.fleet.transport import HungError, Target
from ops.fleet.transport.local import LocalTransport

# The two outputs of an executable as one, in their order, whatever it is.
_SHELL = ("sh", "-c", 'cd "$1" && exec "$2" 2>&1', "sh")


class Execution:
    """One flow under way.

    Parameters
    ----------
    context : what functions are called with: Invoke's.
    directory : the project's folder, where executables run.
    """

    def __init__(self, flow: Flow, fleet: Fleet, work: Work, restart: Restart, context: Any, directory: Path) -> None:
        self._flow = flow
        self._fleet = fleet
        self._work = work
        self._restart = restart
        self._restarted: Restarted | None = None
        self._context = context
        self._directory = directory
        self._error = ""
        self._began = time.monotonic()

    def run(self) -> int:
        """Carry it out; gives the exit code."""
        for stage in self._flow.stages:
            error = self._stage(stage)
            if error is not None:
                return self._failed(stage, error)
        done = self._work.done
        count = len(self._fleet.places)
        how = "restarted" if self._restarted else "not restarted"
        if self._flow.name == ROLLBACK:
            how = f"rolled back, {extent(self._restarted.report) if self._restarted else how}"
        end = f"release {done.release} ({done.revision}) is current on {count} hosts, {how}"
        return self._end(Ending(0, [*done.remarks, end]))

    def _stage(self, stage: Stage) -> BaseException | None:
        """Take a stage's hooks and steps; gives what ended it."""
        tell, began = self._fleet.narrator.tell, time.monotonic()
        tell(StageBegun(self._flow.name, stage.name))
        failed: BaseException | None = None
        try:
            for hook in stage.before:
                self._hook(hook)
            for step in stage.steps:
                self._work.take(step)
            for hook in stage.after:
                self._hook(hook)
        except (OpsError, KeyboardInterrupt) as error:
            failed = error
        except Exception as error:  # noqa: BLE001  whatever it is, hosts must not be left half changed for it
            failed = OpsError(f"{type(error).__name__}: {error}", hint="this is a fault of karafka-ops: report it")
        text = "" if failed is None else str(failed) or "interrupted"
        tell(StageEnded(self._flow.name, stage.name, time.monotonic() - began, text))
        return failed

    def _failed(self, stage: Stage, error: BaseException) -> int:
        """Undo what can be undone, run the hooks around `failed`, and tell how all stands."""
        aftermath = Aftermath(self._fleet, self._work.done, self._restart, self._restarted)
        try:
            if self._flow.name == ROLLBACK:
                ending = aftermath.rollback_failed(error)
            else:
                ending = aftermath.deploy_failed(stage.name, error)
        except (OpsError, KeyboardInterrupt) as again:
            ending = Ending(INTERRUPTED if isinstance(again, KeyboardInterrupt) else int(again.exit_code), [str(again)])
        self._error = str(error).splitlines()[0] if str(error) else "interrupted"
        if self._flow.failed.before or self._flow.failed.after:
            self._stage(self._flow.failed)
        what = f"deploy:{stage.name} failed: {str(error) or 'interrupted'}"
        return self._end(Ending(ending.code, [what, *ending.lines]))

    def _end(self, ending: Ending) -> int:
        done, restarted = self._work.done, self._restarted
        self._fleet.narrator.tell(
            Result(
                flow=self._flow.name,
                stage=self._fleet.settings.stage,
                exit_code=ending.code,
                seconds=time.monotonic() - self._began,
                release=done.release,
                revision=done.revision,
                message="\n".join(ending.lines),
                rollout=restarted.evidence if restarted else None,
                rollout_name=restarted.name if restarted else "",
            )
        )
        return ending.code

    # -- hooks

    def _hook(self, hook: Hook) -> None:
        """Run a hook.

        Raises
        ------
        OpsError : it failed.
        """
        lease = self._fleet.lease
        if lease is not None:
            lease.check()
        self._fleet.narrator.tell(HookBegun(hook.name, hook.where))
        run: dict[Kind, Callable[[Hook], None]] = {
            Kind.PYTHON: self._call,
            Kind.LOCAL: self._execute,
            Kind.HOSTS: self._on_hosts,
            Kind.RESTART: self._rollout,
        }
        run[hook.kind](hook)

    def _call(self, hook: Hook) -> None:
        assert hook.body is not None
        facts, printed = self._facts(), _Printed(lambda line: self._fleet.narrator.tell(Output(hook.name, line)))
        seconds, offspring = self._fleet.settings.hook_timeout_seconds, Offspring()
        variables = {**facts.variables(hook), **offspring.variables}
        with environment(variables), redirect_stdout(printed), redirect_stderr(printed), printed:
            call(hook.name, partial(hook.body, self._context, facts), seconds, offspring)

    def _execute(self, hook: Hook) -> None:
        assert hook.path is not None
        listener = _Lines(lambda line: self._fleet.narrator.tell(Output(hook.name, line)))
        seconds = self._fleet.settings.hook_timeout_seconds
        try:
            with environment(self._facts().variables(hook)):
                end = LocalTransport().execute(
                    Target("this machine", ""), (*_SHELL, str(self._directory), str(hook.path.resolve())), b"",
                    listener.feed, Deadline(seconds),
                )  # fmt: skip
        except HungError:
            what = f"the hook {hook.name} had not ended after {in_seconds(seconds)}{listener.tail()}"
            raise OpsError(what, hint=TIMEOUT_HINT) from None
        listener.feed(b"\n")
        if end.code:
            raise OpsError(f"the hook {hook.name} exited with {end.code}{listener.tail()}")
        if end.code is None:
            raise OpsError(f"the hook {hook.name} was ended by a signal{listener.tail()}")

    def _on_hosts(self, hook: Hook) -> None:
        assert hook.path is not None
        program, name = hook.path.read_bytes(), hook.name
        seconds = self._fleet.settings.hook_timeout_seconds
        facts, done = self._facts(), self._work.done

        def payload(_host: str) -> Callable[[], Iterable[bytes]]:
            return lambda: (program,)

        self._fleet.ask(
            DeployAction.HOOK, seconds=seconds, payload=payload, name=name, env=facts.variables(hook),
            release=done.release, revision=done.revision, performer=done.performer,
        )  # fmt: skip

    def _rollout(self, hook: Hook) -> None:
        back = self._flow.name == ROLLBACK  # what never left the release has no need of it
        self._restarted = self._restart(self._fleet.names, "", outdated=back)
        report = self._restarted.report
        if report.interrupted:
            raise KeyboardInterrupt
        if report.ended is not None:
            raise report.ended
        if report.exit_code:
            bad = dict.fromkeys(one.host for one in report.outcomes if not one.ok and one.batch)
            raise StepFailedError(f"{hook.name} failed on {', '.join(bad)}", int(report.exit_code))

    def _facts(self) -> Facts:
        settings, done, lease = self._fleet.settings, self._work.done, self._fleet.lease
        return Facts(
            application=settings.application,
            flow=self._flow.name,
            stage=settings.stage,
            hosts=self._fleet.names,
            performer=done.performer,
            lease=text_of(settings, lease.fence) if lease else "",
            release=done.release,
            revision=done.revision,
            branch=done.branch,
            previous=done.previous,
            error=self._error,
        )


class _Printed(io.TextIOBase):
    """Takes what a function prints, and what commands print that it runs with its context."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._lines = _Lines(take)

    def write(self, text: str) -> int:
        """Take the next part."""
        self._lines.feed(text.encode(errors="replace"))
        return len(text)

    def close(self) -> None:
        """Take what is left of a last line that never ended."""
        if not self.closed:
            self._lines.feed(b"\n")
        super().close()


class _Lines:
    """Takes output apart into lines, and keeps the last ones."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""
        self._last: list[str] = []

    def feed(self, part: bytes) -> None:
        """Take the next part."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            if text:
                self._last = [*self._last[-9:], text]
                self._take(text)

    def tail(self) -> str:
        """Give the last lines, indented, each on a line of its own."""
        return "".join(f"\n  | {line}" for line in self._last)
