"""The demo: every step is a command that a user would type, run for real and shown with what it prints."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.evidence import Evidence
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.interrupts import signals_interrupt, uninterrupted
from ops.sandbox.pictures import keep
from ops.sandbox.stage import Stage
from ops.sandbox.state import read_state

STEP_SECONDS = 300.0  # of a machine with much else to do; alone it takes a third of a minute at most
RATE = 300
_LONG = ("--duration", "30")  # the restart's end is its end; a machine that can't keep up is relieved of it
TOPIC, RESPONSE = "repositories_updated", "sources_updated"


class Demo:
    """One run of the demo in a folder of its own.

    Parameters
    ----------
    directory : the sandbox's folder; made, and emptied at the end.
    stage : where commands are run and shown.
    pictures : a folder for the evidence, the terminal and the pictures of its restart; None for none.
    """

    def __init__(self, directory: Path, stage: Stage, pictures: Path | None = None) -> None:
        self.directory = directory
        self.stage = stage
        self.pictures = pictures
        self.config = str(directory / "fabric.yaml")
        self._background: list[subprocess.Popen[bytes]] = []

    def run(self) -> None:
        """Play all steps; whatever happens, nothing is left over.

        Raises
        ------
        OpsError : a step did not end as it must.
        """
        with signals_interrupt():
            try:
                self._play()
            finally:
                with uninterrupted():
                    self._end_background()
                    self.stage.say("Everything down again, nothing left over")
                    self.stage.run("inv", "sandbox.down", "--dir", str(self.directory), within=STEP_SECONDS)

    def _play(self) -> None:
        stage = self.stage
        stage.say("A real Apache Kafka and three SSH hosts, on this machine alone")
        stage.run("inv", "sandbox.up", "--dir", str(self.directory), within=600)  # the first one downloads
        stage.say("The app: which topic leads to which")
        stage.run("inv", "flow", within=STEP_SECONDS)
        stage.say("Six consumer processes, two on each host")
        self._fab("karafka.start")
        stage.say("Work for them: a tick for every resource, and 300 messages a second")
        stage.show(f". {self.directory / 'env'}")
        os.environ.update(self._env())
        self._start_background("-m", "ops.reference", "ticker")
        producer = self._start_background("-m", "ops.reference", "produce", TOPIC, "--rate", str(RATE), *_LONG)
        stage.say("A rolling restart in the middle of it: each replacement is warm before it takes over")
        stage.cut()
        self._fab("karafka.restart")
        shown = stage.cut()
        stage.show("kill %2")
        self._stop(producer)
        stage.say("Was anything lost, or done twice?")
        stage.cut()
        self._python("-m", "ops.reference", "verify", TOPIC, RESPONSE)
        if self.pictures is not None:
            self._keep(self.pictures, f"{shown}\n{stage.cut()}")
        stage.say("One process dies the hard way; status sees it")
        stage.show(f"kill -9 {self._kill()}")
        self._fab("karafka.status", expect=1)
        stage.say("start mends it, and leaves the others alone")
        self._fab("karafka.start")
        stage.say("Stop: drained, committed, ended")
        self._fab("karafka.stop")

    def _keep(self, pictures: Path, shown: str) -> None:
        argv = ("fab", "-f", self.config, "karafka.history", "--rollout", "last", "--json")
        evidence = Evidence.from_json(json.loads(self.stage.ask(*argv, within=STEP_SECONDS)))
        keep(pictures, evidence, shown.replace(str(self.directory), self.directory.name))

    def _fab(self, *arguments: str, expect: int = 0) -> None:
        self.stage.run("fab", "-f", self.config, *arguments, within=STEP_SECONDS, expect=expect)

    def _python(self, *arguments: str) -> None:
        self.stage.run("python", *arguments, within=STEP_SECONDS)

    def _env(self) -> dict[str, str]:
        answer = self.stage.ask("inv", "sandbox.status", "--dir", str(self.directory), "--json", within=STEP_SECONDS)
        return {str(name): str(value) for name, value in json.loads(answer)["env"].items()}

    def _kill(self) -> int:
        """Kill a process of the second host; the pid is the one that status shows."""
        host = LocalFleet.load(read_state(self.directory)["fleet"]).hosts[1].files
        path = host.deploy_to / "shared" / "tmp" / "pids" / "karafka-0.pid"
        record = pidfile.read(path)
        if record is None:
            raise OpsError("no process has written its pid", where=str(path))
        os.kill(record.pid, signal.SIGKILL)
        return record.pid

    def _start_background(self, *arguments: str) -> subprocess.Popen[bytes]:
        self.stage.show(shlex.join(["python", *arguments, "&"]).replace("'&'", "&"))
        log = self.directory / f"{arguments[2]}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self._background.append(process)
        return process

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Let a process finish what it has begun, and look at how it ended."""
        process.terminate()  # nothing happens where it has ended by itself
        try:
            code = process.wait(STEP_SECONDS)
        except subprocess.TimeoutExpired:
            raise OpsError(f"still running after {STEP_SECONDS:.0f} s", where=shlex.join(_argv(process))) from None
        if code:
            raise OpsError(
                f"exited with {code}", where=shlex.join(_argv(process)), hint=f"its log is in {self.directory}"
            )

    def _end_background(self) -> None:
        for process in self._background:
            with suppress(ProcessLookupError):
                process.terminate()
        deadline = Deadline(5)
        for process in self._background:
            try:
                process.wait(deadline.remaining)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def _argv(process: subprocess.Popen[bytes]) -> Sequence[str]:
    arguments = process.args
    return [str(one) for one in arguments] if isinstance(arguments, (list, tuple)) else [str(arguments)]
