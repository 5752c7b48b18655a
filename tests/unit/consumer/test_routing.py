"""Routes are data: names, duplicates, responders found by name, groups, loading."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.consumer import App, Controller, Responder, load_app
from ops.consumer.errors import (
    AppNotFoundError,
    DuplicateRouteError,
    InvalidNameError,
    RoutingError,
    UnknownGroupError,
)
from ops.core.errors import ExitCode, exit_code_of


class UsersCreateController(Controller):
    pass


class UsersCreateResponder(Responder):
    pass


class LonelyController(Controller):
    pass


class Prefix:
    def incoming(self, topic: str) -> str:
        return topic.removeprefix("production.")

    def outgoing(self, topic: str) -> str:
        return f"production.{topic}"


def test_a_responder_is_found_by_name_beside_its_controller() -> None:
    # Given an app
    app = App("users")
    # When routes are drawn for a controller with, and one without such a class
    found = app.topic("users_create", controller=UsersCreateController)
    missing = app.topic("users_lonely", controller=LonelyController)
    # Then
    assert found.responder is UsersCreateResponder
    assert missing.responder is None


def test_a_given_responder_wins_over_the_one_found_by_name() -> None:
    class OtherResponder(Responder):
        pass

    route = App("users").topic("users_create", controller=UsersCreateController, responder=OtherResponder)
    assert route.responder is OtherResponder


def test_a_route_without_options_takes_the_apps_name_as_group_and_for_dead_letters() -> None:
    route = App("users").topic("users_create", controller=UsersCreateController)
    assert (route.group, route.dead_letter) == ("users", "users.dead")
    assert (route.inline_mode, route.batch_mode, route.start_from_beginning) == (True, False, True)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a\n", "users create", "{x}"])
def test_names_kafka_would_refuse_are_refused(name: str) -> None:
    app = App("users")
    with pytest.raises(InvalidNameError) as caught:
        app.topic(name, controller=UsersCreateController)
    assert repr(name) in str(caught.value)
    with pytest.raises(InvalidNameError):
        app.topic("users_create", controller=UsersCreateController, group=name)
    assert exit_code_of(caught.value) is ExitCode.USAGE


@given(st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True))
def test_every_word_dot_hyphen_name_is_taken(name: str) -> None:
    assert App("users").topic(name, controller=UsersCreateController).topic == name


def test_a_topic_routed_twice_is_an_error() -> None:
    app = App("users")
    app.topic("users_create", controller=UsersCreateController)
    with pytest.raises(DuplicateRouteError, match="users_create"):
        app.topic("users_create", controller=LonelyController, group="other")


def test_what_is_no_controller_or_responder_is_refused() -> None:
    app = App("users")
    with pytest.raises(RoutingError, match="no subclass of Controller"):
        app.topic("a", controller=UsersCreateResponder)  # type: ignore[arg-type]
    with pytest.raises(RoutingError, match="no subclass of Responder"):
        app.topic("a", controller=UsersCreateController, responder=LonelyController)  # type: ignore[arg-type]


def test_a_group_that_begins_at_both_ends_is_refused() -> None:
    app = App("users")
    app.topic("a", controller=LonelyController)
    with pytest.raises(RoutingError, match="start_from_beginning differs"):
        app.topic("b", controller=LonelyController, start_from_beginning=False)
    app.topic("b", controller=LonelyController, start_from_beginning=False, group="late")


def test_a_background_route_needs_a_backend() -> None:
    with pytest.raises(RoutingError, match="needs a backend"):
        App("users").topic("a", controller=LonelyController, inline_mode=False)


def test_the_mapper_translates_at_the_boundary_only() -> None:
    # Given an app whose topics carry a prefix on the cluster
    app = App("users", topic_mapper=Prefix())
    route = app.topic("users_create", controller=UsersCreateController)
    # Then the app's names stay, the cluster's have it
    assert route.topic == "users_create"
    assert route.source == "production.users_create"
    assert app.topic_names() == ("production.users_create", "production.users.dead")


def test_groups_are_selected_and_unknown_ones_named() -> None:
    app = App("users")
    app.topic("a", controller=LonelyController)
    app.topic("b", controller=LonelyController, group="slow")
    assert app.groups == ("users", "slow")
    assert [route.topic for route in app.select(["slow"])["slow"]] == ["b"]
    assert list(app.select()) == ["users", "slow"]
    with pytest.raises(UnknownGroupError, match="nightly"):
        app.select(["nightly"])


def test_an_app_without_routes_cannot_run() -> None:
    with pytest.raises(RoutingError, match="no routes"):
        App("users").select()


def test_an_app_is_loaded_by_module_and_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a module in the working directory
    (tmp_path / "loadable_app.py").write_text(
        "from ops.consumer import App\napp = App('x')\nother = App('y')\nno = 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Then
    assert load_app("loadable_app:other").name == "y"
    assert load_app("loadable_app").name == "x"
    for reference in ("loadable_app:no", "loadable_app:nothing", "no_such_module_here:app", "ops.no_such:app", ""):
        with pytest.raises(AppNotFoundError):
            load_app(reference)


def test_an_import_error_inside_the_apps_module_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_app.py").write_text("import not_installed_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ModuleNotFoundError, match="not_installed_at_all"):
        load_app("broken_app:app")
