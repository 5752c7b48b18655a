"""What happens to one message, or one batch in batch_mode: parse, look, perform, try again, give up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ops.consumer.controller import Controller, Halt
from ops.consumer.dead_letter import dead_letter
from ops.consumer.errors import PERMANENT, ParseError, PoisonError
from ops.consumer.message import Message, Output
from ops.consumer.retry import RetryPolicy
from ops.consumer.route import Route

log = logging.getLogger(__name__)


def parse(route: Route, message: Message) -> Any:
    """Make the params of a message; None for a tombstone.

    Raises
    ------
    ParseError : the route's parser cannot read it.
    """
    value = message.value
    if value is None:
        return None
    try:
        return route.parser(value)
    except ValueError as error:
        raise ParseError(f"{error}") from None


def perform(controller: Controller) -> list[Output]:
    """Let the controller look at the message and the backend run it; give what is to be sent.

    Raises
    ------
    Whatever the controller raises; ResponderError for a broken contract.
    """
    try:
        controller.before_enqueue()
    except Halt as halt:
        log.debug("%s: halted: %s", place(controller.message), halt)
        return []
    return controller.route.backend.run(controller)


def place(message: Message) -> str:
    """Say where a message stands, for logs."""
    return f"{message.topic}[{message.partition}] offset {message.offset}"


class Performer:
    """Performs one route's messages.

    Parameters
    ----------
    route : the topic's.
    retry : when a failed message is tried again.
    rest : waits so many seconds between two tries; False when the message has to be left undone.

    Attributes
    ----------
    failed : tries that failed.
    buried : messages that became dead letters.
    refusals : what controllers have done in vain, by their own word.
    """

    def __init__(self, route: Route, retry: RetryPolicy, rest: Callable[[float], bool]) -> None:
        self.route = route
        self.failed = 0
        self.buried = 0
        self.refusals = 0
        self._retry = retry
        self._rest = rest

    def handle(self, messages: Sequence[Message]) -> list[Output] | None:
        """Perform until it is done or has failed for good; give what is to be sent, None when it was left undone."""
        route = self.route
        letters: list[Output] = []
        if len(messages) == 1:
            readable = messages
            try:
                params = [parse(route, messages[0])]
            except Exception as error:  # noqa: BLE001 - a parser may raise anything
                return [self._bury(messages[0], error, 1)]
        else:
            readable, params = [], []
            for message in messages:
                try:
                    params.append(parse(route, message))
                    readable.append(message)
                except Exception as error:  # noqa: BLE001 - a parser may raise anything
                    letters.append(self._bury(message, error, 1))
            if not readable:
                return letters
        failures = 0
        while True:
            controller = route.controller(route, readable, params)
            try:
                outputs = self._run(controller, perform)
            except Exception as error:
                failures += 1
                self.failed += 1
                wait = None if isinstance(error, PERMANENT) else self._retry.wait_seconds(failures)
                if wait is None:
                    letters += self._give_up(controller, error, failures)
                    return letters
                log.warning(
                    "%s: %s: %s; retry %d of %d in %.1f s",
                    place(readable[0]), type(error).__name__, error, failures, self._retry.retries, wait,
                    exc_info=failures == 1,
                )  # fmt: skip
                if not self._rest(wait):
                    return None
            else:
                return letters + outputs if letters else outputs

    def once(self, message: Message, failures: int, plan: Controller | None = None) -> list[Output] | float:
        """Try one message once; give what is to be sent, or the seconds after which it is to be tried again.

        Parameters
        ----------
        failures : of tries before.
        plan : the message's controller, where `before_enqueue` has let it pass already.
        """
        route = self.route
        controller = plan
        try:
            if controller is not None:
                return self._run(controller, route.backend.run)
            controller = route.controller(route, (message,), (parse(route, message),))
            return self._run(controller, perform)
        except Exception as error:
            failures += 1
            if controller is None:
                return [self._bury(message, error, failures)]
            self.failed += 1
            wait = None if isinstance(error, PERMANENT) else self._retry.wait_seconds(failures)
            if wait is None:
                return self._give_up(controller, error, failures)
            log.warning(
                "%s: %s: %s; retry %d of %d in %.1f s",
                place(message), type(error).__name__, error, failures, self._retry.retries, wait,
                exc_info=failures == 1,
            )  # fmt: skip
            return wait

    def _run(self, controller: Controller, how: Callable[[Controller], list[Output]]) -> list[Output]:
        try:
            return how(controller)
        finally:
            self.refusals += controller.refusals

    def bury_poison(self, message: Message, deaths: int) -> list[Output]:
        """Give up a message that ended the processes which performed it."""
        error = PoisonError(f"{deaths} processes ended while they performed it")
        try:
            controller = self.route.controller(self.route, (message,), (parse(self.route, message),))
        except Exception:  # noqa: BLE001 - a parser may raise anything
            return [self._bury(message, error, deaths)]
        return self._give_up(controller, error, deaths)

    def _give_up(self, controller: Controller, error: Exception, attempts: int) -> list[Output]:
        try:
            outputs = controller.fail(error)
        except Exception:
            log.exception("%s: after_failure failed as well", place(controller.message))
            outputs = []
        return [*outputs, *(self._bury(message, error, attempts) for message in controller.messages)]

    def _bury(self, message: Message, error: BaseException, attempts: int) -> Output:
        self.buried += 1
        letter = dead_letter(self.route, message, error, attempts)
        log.error(
            "%s: dead-lettered to %s after %d attempt(s): %s: %s",
            place(message), letter.topic, attempts, type(error).__name__, error,
        )  # fmt: skip
        return letter
