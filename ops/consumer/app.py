"""The app: a name, and routes drawn as data.

Example
-------
    app = App("users")
    app.topic("users_create", controller=UsersCreateController)
    app.topic("users_premium_created", controller=PremiumController, group="users_slow", start_from_beginning=False)
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ops.consumer.backend import Backend, InlineBackend
from ops.consumer.controller import Controller
from ops.consumer.errors import AppNotFoundError, DuplicateRouteError, RoutingError, UnknownGroupError
from ops.consumer.names import SameName, TopicMapper, checked_name
from ops.consumer.parser import Interchanger, Parser, PlainInterchanger, parse_json
from ops.consumer.responder import Responder
from ops.consumer.route import Jobs, Route, responder_for

_MOST_CONCURRENT = 1000


class App:
    """A consumer application.

    Parameters
    ----------
    name : also the consumer group of routes that name none, and the first part of the dead-letter topic's name.
    client_id : how the brokers see its connections; the name unless given.
    topic_mapper : translates between the app's topic names and the cluster's.
    backend : where routes with `inline_mode=False` are performed; without one every route is inline.
    """

    def __init__(
        self,
        name: str,
        *,
        client_id: str | None = None,
        topic_mapper: TopicMapper | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.name = checked_name(name, "app")
        self.client_id = checked_name(client_id or name, "client id")
        self.mapper = topic_mapper or SameName()
        self._backend = backend
        self._routes: dict[str, Route] = {}

    def topic(
        self,
        topic: str,
        *,
        controller: type[Controller],
        responder: type[Responder] | None = None,
        group: str | None = None,
        worker: type[Any] | None = None,
        parser: Parser = parse_json,
        interchanger: Interchanger | None = None,
        inline_mode: bool | None = None,
        batch_mode: bool = False,
        start_from_beginning: bool = True,
        dead_letter: str | None = None,
        concurrency: int | None = None,
        partitions: int | None = None,
    ) -> Route:
        """Draw the route of one topic; see `Route` for the parameters.

        Without `responder` the one beside the controller is taken, found by name: XController -> XResponder.

        Raises
        ------
        RoutingError : a wrong name, class or mode, or a topic that has a route already.
        """
        checked_name(topic, "topic")
        where = f"{self.name}: topic {topic!r}"
        if topic in self._routes:
            raise DuplicateRouteError("it has a route already", where=where, hint="draw each topic once")
        if not (isinstance(controller, type) and issubclass(controller, Controller)):
            raise RoutingError(f"{controller!r} is no subclass of Controller", where=where)
        if responder is not None and not (isinstance(responder, type) and issubclass(responder, Responder)):
            raise RoutingError(f"{responder!r} is no subclass of Responder", where=where)
        if concurrency is not None and (batch_mode or not 1 <= concurrency <= _MOST_CONCURRENT):
            what = "batch_mode has one batch at a time" if batch_mode else f"{concurrency!r} is no number of threads"
            raise RoutingError(f"concurrency: {what}", where=where, hint=f"1 to {_MOST_CONCURRENT}, without batch_mode")
        inline = inline_mode if inline_mode is not None else self._backend is None
        if not inline and self._backend is None:
            raise RoutingError("inline_mode=False needs a backend", where=where, hint="App(..., backend=...)")
        chosen = InlineBackend() if inline or self._backend is None else self._backend
        route = Route(
            topic=topic,
            controller=controller,
            responder=responder or responder_for(controller),
            group=checked_name(group, "group") if group is not None else self.name,
            worker=worker,
            parser=parser,
            interchanger=interchanger or PlainInterchanger(),
            inline_mode=inline,
            batch_mode=batch_mode,
            start_from_beginning=start_from_beginning,
            dead_letter=checked_name(dead_letter, "topic") if dead_letter is not None else f"{self.name}.dead",
            mapper=self.mapper,
            backend=chosen,
            concurrency=concurrency,
            jobs=Jobs(f"{self.name}.jobs", chosen.partitions) if chosen.partitions else None,
            partitions=partitions,
        )
        for other in self._routes.values():
            if other.group == route.group and other.start_from_beginning != route.start_from_beginning:
                raise RoutingError(
                    f"start_from_beginning differs from topic {other.topic!r} of the same group {route.group!r}",
                    where=where,
                    hint="a group has one connection, which begins at one end: give one of them a group of its own",
                )
        self._routes[topic] = route
        return route

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes as they were drawn."""
        return tuple(self._routes.values())

    @property
    def groups(self) -> tuple[str, ...]:
        """The consumer groups, in the order of their first route."""
        return tuple(dict.fromkeys(route.group for route in self.routes))

    def topic_names(self) -> tuple[str, ...]:
        """Give the cluster's names of all topics that the app reads or sends to, dead letters included."""
        names = [name for route in self.routes for name in (route.source, *route.responses, route.dead_letter_topic)]
        return tuple(dict.fromkeys(names))

    def select(self, groups: Collection[str] = ()) -> dict[str, tuple[Route, ...]]:
        """Give the routes of some groups; of all of them without an argument.

        Raises
        ------
        UnknownGroupError : no route belongs to one of them.
        RoutingError : the app has no routes at all.
        """
        unknown = [group for group in groups if group not in self.groups]
        if unknown:
            raise UnknownGroupError(
                f"no route belongs to the group {', '.join(unknown)}",
                where=self.name,
                hint=f"groups: {', '.join(self.groups)}",
            )
        if not self.routes:
            raise RoutingError("it has no routes", where=self.name, hint="draw one: app.topic(...)")
        return {
            group: tuple(route for route in self.routes if route.group == group)
            for group in self.groups
            if not groups or group in groups
        }


def load_app(reference: str) -> App:
    """Import an app by `module:attribute`; without an attribute it is `app`. The working directory is looked in, too.

    Raises
    ------
    AppNotFoundError : no such module or attribute, or it is no app. Errors inside the module pass through.
    """
    module_name, _, attribute = reference.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name) if module_name else None
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise
        raise AppNotFoundError(f"there is no module {error.name!r}", where=reference, hint="module:attribute") from None
    app = getattr(module, attribute or "app", None)
    if not isinstance(app, App):
        raise AppNotFoundError(
            f"{attribute or 'app'!r} is {'missing' if app is None else 'no App'}",
            where=reference,
            hint="module:attribute",
        )
    return app
