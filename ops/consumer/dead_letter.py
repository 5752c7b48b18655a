"""Messages that fail for good: where they go, and what their headers tell.

The message goes on with key, value and headers as it came, and with `karafka-*` headers that say why it is there.
"""

from __future__ import annotations

import traceback

from ops.consumer.message import Message, Output
from ops.consumer.route import Route

PREFIX = "karafka-"
_REASON_CHARACTERS = 2000
_TRACEBACK_CHARACTERS = 8000  # its end tells more than its beginning


def dead_letter(route: Route, message: Message, error: BaseException, attempts: int) -> Output:
    """Make the dead letter of a message.

    Parameters
    ----------
    error : why it is one; class and text are the reason.
    attempts : how often it was tried.
    """
    facts = {
        "reason": f"{type(error).__name__}: {error}"[:_REASON_CHARACTERS],
        "topic": message.topic,
        "partition": str(message.partition),
        "offset": str(message.offset),
        "group": route.group,
        "attempts": str(attempts),
    }
    if error.__traceback__ is not None:
        facts["traceback"] = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:]
    headers = [*message.headers, *((PREFIX + name, text.encode()) for name, text in facts.items())]
    value = message.value if message.value is not None or message.key is not None else b""  # one of them is needed
    return Output(route.dead_letter_topic, value, message.key, headers)


def omitted(letter: Output) -> Output:
    """Make a dead letter for a message that is too large to be sent again: its content stays where it is."""
    text = f"value of {len(letter.value or b'')} bytes; it is still at topic, partition and offset"
    return letter._replace(value=b"", headers=[*letter.headers, (PREFIX + "omitted", text.encode())])
