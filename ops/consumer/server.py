"""The server: runs an app's groups in one process, from the first connection to the last commit."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Collection, Mapping

from kafka.errors import KafkaError

from ops.consumer.app import App
from ops.consumer.client import connection_options, producer_options, wait_for_brokers
from ops.consumer.errors import KafkaUnreachableError
from ops.consumer.handover import Claim
from ops.consumer.producer import KafkaOutbox
from ops.consumer.progress import ProgressFile
from ops.consumer.settings import ConsumerSettings
from ops.consumer.signals import SignalInbox, dump_stacks, reopen
from ops.consumer.source import GroupSource
from ops.consumer.status import State, StatusRecord
from ops.consumer.telling import Teller
from ops.consumer.topics import ensure_topics
from ops.core.deadline import Deadline
from ops.core.errors import ExitCode
from ops.core.handover import CAPABLE, HANDING_OVER, HANDOVER
from ops.core.notify import Notifier, watchdog_seconds
from ops.core.standing import SESSION

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
_STARTING_TICK_SECONDS = 0.005
_HANDOVER_TICK_SECONDS = 0.001
_CLOSE_SECONDS = 5.0


class Server:
    """Runs an app until it is told to stop.

    TERM and INT drain: the messages in work are finished, their offsets committed. A second one ends at once.
    TTIN writes the threads' stacks to stderr, HUP opens the log file anew. USR1 hands the slot over, if a replacement
    is warm; started as a replacement, it prepares, waits for the slot, and joins only then. USR2 drains as TERM does,
    and ends the process by that signal: systemd then starts it anew (the unit's ExecReload).

    Parameters
    ----------
    app : its routes.
    groups : the consumer groups to run; all without any.
    environ : KARAFKA_* settings, NOTIFY_SOCKET and WATCHDOG_USEC.

    Raises
    ------
    SettingsError, RoutingError, HandoverError : before anything is connected.
    """

    def __init__(self, app: App, groups: Collection[str] = (), environ: Mapping[str, str] = os.environ) -> None:
        self.settings = ConsumerSettings.from_environment(environ)
        self._app = app
        self._routes = app.select(groups)
        self._notifier = Notifier.from_environment(environ)
        timeout = self.settings.message_timeout_seconds
        self._teller = Teller(self._notifier, watchdog_seconds(environ), timeout)
        self._claim = Claim.from_environment(environ)
        self._capable = self._claim is not None and bool(self.settings.instance_id)
        traits = {SESSION: self.settings.session_timeout_seconds, **({CAPABLE: HANDOVER} if self._capable else {})}
        self._record = StatusRecord(self.settings.status_file, traits)
        self._progress: ProgressFile | None = None
        self._sources: list[GroupSource] = []
        self._outbox: KafkaOutbox | None = None
        self._state: State = "starting"
        self._terminations = 0
        self._asked = False
        self._reload = False

    def run(self) -> ExitCode:
        """Prepare, subscribe, work, drain; give the exit code. Main thread only.

        Raises
        ------
        OpsError : it could not start, or a group's poll loop failed; `exit_code` is the error's.
        """
        if self._claim is not None and self._claim.standby:
            self.prepare()  # a signal ends it: nobody would miss it
        with SignalInbox() as inbox:
            try:
                if self._take_over(inbox):
                    self._work(inbox)
                    self._drain(inbox)
            finally:
                self._close()
        for source in self._sources:
            if source.failure is not None:
                raise source.failure
        if self._leaving and self._claim is not None and not self._claim.standby:
            self._claim.disown()
        if self._reload and not self._terminations:
            logging.shutdown()
            os.kill(os.getpid(), signal.SIGUSR2)  # its handler is the default one again
        return ExitCode.DONE

    @property
    def _leaving(self) -> bool:
        """Whether it was told to stop, for good or to be started anew."""
        return self._reload or self._terminations > 0

    def _take_over(self, inbox: SignalInbox) -> bool:
        """Join, as a replacement once the slot is its own; False when told to stop before."""
        claim = self._claim
        if claim is None or not claim.standby:
            self._write_status()
            self.prepare()
            self.subscribe()
            return True

        def stopped(seconds: float) -> bool:
            self._handle(inbox.wait(seconds))
            return self._leaving

        log.info("warm, waiting for the slot")
        if not claim.take_over(self._notifier, stopped):
            return False
        self.subscribe()
        claim.own()
        self._write_status()
        return True

    def prepare(self) -> None:
        """Connect and learn the topics; nobody else notices.

        Raises
        ------
        KafkaUnreachableError, MissingTopicError : after the connect timeout, or a few seconds' grace.
        RefusedError : at once.
        """
        settings = self.settings
        deadline = Deadline(settings.connect_timeout_seconds)
        wait_for_brokers(settings, deadline)
        routes = [route for group in self._routes.values() for route in group]
        timeout = {"bootstrap_timeout_ms": max(1000, int(deadline.remaining * 1000))}
        try:
            outbox = self._outbox = KafkaOutbox(producer_options(settings, self._app.client_id) | timeout)
            connection = connection_options(settings, self._app.client_id) | timeout
            ensure_topics(routes, lambda topics: outbox.existing(topics, max(1.0, deadline.remaining)), connection)
        except KafkaError as error:
            raise KafkaUnreachableError(
                f"{type(error).__name__}: {error}",
                where=str(settings.brokers),
                hint="check that the brokers run, and KARAFKA_SECURITY_PROTOCOL",
            ) from error
        outbox.learn({name for route in routes for name in (*route.responses, route.dead_letter_topic)})
        for group, group_routes in self._routes.items():
            source = GroupSource(group, group_routes, settings, self._app.client_id, outbox)
            source.prepare(max(1.0, deadline.remaining))
            self._sources.append(source)

    def subscribe(self) -> None:
        """Join the groups: from here on the others notice."""
        for source in self._sources:
            source.start()

    def _work(self, inbox: SignalInbox) -> None:
        """Look after the groups until one fails or a stop is asked for."""
        while not self._leaving and not any(source.ended.is_set() for source in self._sources):
            self._handle(inbox.wait(_STARTING_TICK_SECONDS if self._state == "starting" else _TICK_SECONDS))
            if self._state == "starting" and all(source.ready.is_set() for source in self._sources):
                self._state = "running"
                self._write_status()  # first: whoever hears READY reads it next
                if self._claim is not None:
                    self._claim.settle()
                log.info("ready: %s", self._teller.ready(self._sources))
            if self._asked:
                self._hand_over(inbox)
            self._tick()

    def _hand_over(self, inbox: SignalInbox) -> None:
        """Finish, commit, and end for a replacement that is warm; go on where there is none, or none any more."""
        self._asked = False
        claim, state = self._claim, self._state
        if claim is None or not self._capable or not claim.wanted():
            log.info("asked to hand over, but no replacement is waiting; going on")
            return
        self._state = HANDING_OVER
        self._write_status()
        for source in self._sources:
            source.hold()
        while not all(source.held.is_set() for source in self._sources):
            self._handle(inbox.wait(_HANDOVER_TICK_SECONDS))
            if self._leaving or any(source.ended.is_set() for source in self._sources):
                return
            self._tick()
        if not claim.wanted():
            log.warning("the replacement has gone; going on")
            self._state = state
            for source in self._sources:
                source.resume()
            return
        # Everything is acknowledged and committed, and a static member's place in the group stays. So nothing is closed
        # but by the process's end: every partition waits meanwhile.
        self._write_progress(last=True)
        log.info("handed over")
        logging.shutdown()
        claim.give_up()
        os._exit(ExitCode.DONE)

    def _drain(self, inbox: SignalInbox) -> None:
        """Let every group finish the messages in work."""
        self._state = "draining"
        self._notifier.stopping()
        log.info("draining")
        for source in self._sources:
            source.stop()
        while not all(source.ended.is_set() for source in self._sources):
            self._handle(inbox.wait(_TICK_SECONDS / 10))
            if self._terminations > 1:
                log.warning("asked to stop twice: ending at once, messages in work will be repeated")
                self._state = "stopped"
                self._write_status()
                os._exit(ExitCode.FAILED)
            self._tick()

    def _close(self) -> None:
        if self._outbox is not None:
            self._outbox.close(timeout_seconds=_CLOSE_SECONDS)
        self._state = "stopped"
        self._write_status()
        self._write_progress(last=True)
        log.info("stopped")

    def _handle(self, numbers: Collection[signal.Signals]) -> None:
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._terminations += 1
            elif number == signal.SIGUSR1:
                self._asked = True
            elif number == signal.SIGUSR2:
                self._reload = True
            elif number == signal.SIGTTIN:
                dump_stacks()
            elif number == signal.SIGHUP and self.settings.log_file:
                reopen(self.settings.log_file)

    def _tick(self) -> None:
        """Write the status record, feed the watchdog while everything makes progress."""
        self._write_status()
        if self._state != "starting":
            self._write_progress()
            self._teller.tell(self._sources)

    def _write_status(self) -> None:
        if self._claim is not None and self._claim.standby:
            return  # the file is the owner's
        self._record.write(self._state, lambda: {source.group: source.facts() for source in self._sources})

    def _write_progress(self, *, last: bool = False) -> None:
        """Write when partitions were worked on; the file comes from the slot's owner before."""
        if not self._sources or (self._claim is not None and self._claim.standby):
            return
        self._progress = self._progress or ProgressFile(self.settings.status_file)
        self._progress.write({source.group: source.progress for source in self._sources}, last=last)
