"""What the app `users` does with one message."""

from __future__ import annotations

import pytest

from ops.consumer.testing import run
from ops.reference.errors import MalformedMessageError
from ops.reference.users import app


def test_an_ordinary_user_is_announced_once() -> None:
    assert run(app, "users_create", {"id": 1}).topics == ["users_created"]


def test_a_premium_user_is_announced_twice() -> None:
    result = run(app, "users_create", {"id": 1, "premium": True})
    assert result.topics == ["users_created", "users_premium_created"]
    assert result.sent("users_premium_created") == [{"id": 1, "premium": True}]


def test_each_new_topic_is_a_message_of_its_own() -> None:
    assert run(app, "registered_topics", ["news", "sports"]).sent("new_topics") == ["news", "sports"]


@pytest.mark.parametrize(
    ("topic", "data"), [("users_create", [1]), ("registered_topics", []), ("registered_topics", [1])]
)
def test_a_malformed_message_is_refused(topic: str, data: object) -> None:
    with pytest.raises(MalformedMessageError):
        run(app, topic, data)
