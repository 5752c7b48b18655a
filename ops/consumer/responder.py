"""Responders: what a controller sends on, declared, buffered and checked before a byte leaves.

Example
-------
    class SourcesRefreshResponder(Responder):
        topics = (topic("sources_refreshed", optional=True), topic("sources_disconnected", required=False))

        def respond(self, source, gone):
            self.respond_to("sources_disconnected" if gone else "sources_refreshed", source, key=source["id"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from ops.consumer.errors import (
    NotSerializableError,
    RespondNotDefinedError,
    TopicDeclarationError,
    TopicUnusedError,
    TopicUsedTwiceError,
    UnregisteredTopicError,
)
from ops.consumer.message import Headers, Output
from ops.consumer.names import SameName, TopicMapper, checked_name
from ops.consumer.parser import serialize


@dataclass(frozen=True)
class TopicDeclaration:
    """A topic that a responder may or must send to.

    Attributes
    ----------
    name : the app's name of it.
    required : each `perform` sends to it.
    multiple_usage : one `perform` may send to it more than once.
    """

    name: str
    required: bool = True
    multiple_usage: bool = False


def topic(
    name: str, *, required: bool | None = None, optional: bool | None = None, multiple_usage: bool = False
) -> TopicDeclaration:
    """Declare a responder's topic; `optional=True` is the same as `required=False`.

    Raises
    ------
    InvalidNameError, TopicDeclarationError : no name for a topic; `required` and `optional` contradict each other.
    """
    if required is not None and optional is not None and required is optional:
        raise TopicDeclarationError(
            f"topic {name!r} is declared required and optional at once", hint="keep one of them"
        )
    needed = required if required is not None else not optional
    return TopicDeclaration(checked_name(name, "topic"), needed, multiple_usage)


class Responder:
    """Base of all responders: subclasses list `topics` and define `respond`.

    A subclass inherits its parents' topics; what it declares itself (a parent's topic anew, too) is its own alone.
    """

    topics: ClassVar[Sequence[TopicDeclaration]] = ()
    table: ClassVar[Mapping[str, TopicDeclaration]] = MappingProxyType({})
    _required: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        table: dict[str, TopicDeclaration] = {}
        for parent in reversed(cls.__bases__):
            table.update(getattr(parent, "table", {}))
        own: set[str] = set()
        for declaration in cls.__dict__.get("topics", ()):
            if not isinstance(declaration, TopicDeclaration):
                raise TopicDeclarationError(
                    f"{declaration!r} is no topic", where=f"{cls.__qualname__}.topics", hint='write topic("name")'
                )
            if declaration.name in own:
                raise TopicDeclarationError(f"topic {declaration.name!r} is declared twice", where=cls.__qualname__)
            own.add(declaration.name)
            table[declaration.name] = declaration
        cls.table = MappingProxyType(table)
        cls._required = tuple(name for name, declaration in table.items() if declaration.required)

    def __init__(self, mapper: TopicMapper | None = None) -> None:
        self._mapper = mapper or SameName()
        self._buffer: list[Output] = []
        self._used: dict[str, int] = {}

    def respond(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - this signature lets subclasses have any
        """Send what belongs to the arguments, exactly those that the controller gave to `respond_with`."""
        raise RespondNotDefinedError("it does not define respond(self, ...)", where=type(self).__qualname__)

    def respond_to(self, topic: str, data: Any, *, key: Any = None, headers: Headers = ()) -> None:
        """Buffer one message; data and key: strings and bytes as they are, anything else as JSON.

        Raises
        ------
        UnregisteredTopicError : the responder does not declare the topic.
        NotSerializableError : the data, or the key, has no JSON form.
        """
        if topic not in self.table:
            raise UnregisteredTopicError(
                f"topic {topic!r} is not registered; there are: {', '.join(self.table) or 'none'}",
                where=type(self).__qualname__,
                hint=f'add topic("{topic}") to its topics',
            )
        used = self._used
        used[topic] = used.get(topic, 0) + 1
        try:
            output = Output(
                self._mapper.outgoing(topic), serialize(data), None if key is None else serialize(key), headers
            )
        except (TypeError, ValueError) as error:
            raise NotSerializableError(
                f"what was sent to topic {topic!r} has no JSON form: {error}", where=type(self).__qualname__
            ) from None
        self._buffer.append(output)

    def outputs(self) -> list[Output]:
        """Check the buffer against the declarations and give it.

        Raises
        ------
        TopicUsedTwiceError, TopicUnusedError : the contract is broken; nothing may be sent then.
        """
        used = self._used
        for name in self._required:
            if name not in used:
                raise TopicUnusedError(
                    f"nothing was sent to the required topic {name!r}",
                    where=type(self).__qualname__,
                    hint="send to it in respond, call respond_with in perform, or declare it optional=True",
                )
        for name, count in used.items():
            if count > 1 and not self.table[name].multiple_usage:
                raise TopicUsedTwiceError(
                    f"{count} messages were sent to topic {name!r}",
                    where=type(self).__qualname__,
                    hint="declare it with multiple_usage=True",
                )
        return self._buffer

    def buffered(self) -> list[Output]:
        """Give what was sent so far, unchecked."""
        return self._buffer
