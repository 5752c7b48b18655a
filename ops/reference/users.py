"""The app `users`: a small one, without a database, that shows optional topics and multiple usage."""

from __future__ import annotations

from typing import Any

from ops.consumer import App, Controller, Responder, topic
from ops.reference.errors import MalformedMessageError


class UsersCreateController(Controller):
    """Takes a new user: `{"id": 7, "premium": true}`."""

    def perform(self) -> None:
        """Pass the user on."""
        if not isinstance(self.params, dict) or "id" not in self.params:
            raise MalformedMessageError("no user", where="users_create", hint='expected {"id": 7, "premium": true}')
        self.respond_with(self.params)


class UsersCreateResponder(Responder):
    """Tells of each new user, and of the premium ones once more."""

    topics = (topic("users_created"), topic("users_premium_created", optional=True))

    def respond(self, user: dict[str, Any]) -> None:
        """Send it, keyed by its id."""
        self.respond_to("users_created", user, key=str(user["id"]))
        if user.get("premium"):
            self.respond_to("users_premium_created", user, key=str(user["id"]))


class RegisteredTopicsController(Controller):
    """Takes a list of topic names: `["news", "sports"]`."""

    def perform(self) -> None:
        """Pass them on."""
        names = self.params
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise MalformedMessageError("no topics", where="registered_topics", hint='expected ["news", "sports"]')
        self.respond_with(names)


class RegisteredTopicsResponder(Responder):
    """Tells of each new topic by a message of its own."""

    topics = (topic("new_topics", multiple_usage=True),)

    def respond(self, names: list[str]) -> None:
        """Send the names as they are."""
        for name in names:
            self.respond_to("new_topics", name)


app = App("users")
app.topic("users_create", controller=UsersCreateController)
app.topic("registered_topics", controller=RegisteredTopicsController)
