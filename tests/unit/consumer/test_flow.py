"""The flow's formats, and its comparison with a cluster."""

from __future__ import annotations

import json
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from ops.consumer import App, Controller, Responder, topic
from ops.consumer.flow import FORMATS, Emission, Step, as_text, check, flow_of
from ops.consumer.overview import facts, route_rows


class RefreshController(Controller):
    pass


class RefreshResponder(Responder):
    topics = (topic("sources_refreshed", optional=True), topic("sources_disconnected", required=False))


class DeletedController(Controller):
    pass


class ManyController(Controller):
    pass


class ManyResponder(Responder):
    topics = (topic("new_topics", multiple_usage=True), topic("maybe", optional=True, multiple_usage=True))


def app() -> App:
    app = App("sources")
    app.topic("users_deleted", controller=DeletedController)
    app.topic("sources_refresh", controller=RefreshController)
    app.topic("registered_topics", controller=ManyController)
    return app


def test_the_text_is_alphabetical_and_padded_to_25() -> None:
    assert as_text(flow_of([app()])).splitlines() == [
        "registered_topics =>",
        "  - new_topics:           (always, one or more)",
        "  - maybe:                (conditionally, one or more)",
        "sources_refresh =>",
        "  - sources_refreshed:    (conditionally, exactly once)",
        "  - sources_disconnected: (conditionally, exactly once)",
        "users_deleted => (nothing)",
    ]


def test_a_longer_name_widens_the_labels_of_all() -> None:
    steps = [
        Step("a", "x", "C", "g", (Emission("n" * 30, True, False),)),
        Step("a", "y", "C", "g", (Emission("short", True, False),)),
    ]
    columns = {line.index("(") for line in as_text(steps).splitlines() if "(" in line}
    assert columns == {2 + 2 + 30 + 1 + 1}


@given(st.lists(st.from_regex(r"[\w.-]{1,60}", fullmatch=True), min_size=1, max_size=8))
def test_labels_are_aligned_and_followed_by_one_blank_at_least(names: list[str]) -> None:
    steps = [Step("a", "x", "C", "g", tuple(Emission(name, True, False) for name in names))]
    lines = as_text(steps).splitlines()[1:]
    assert len({line.index(" (always") for line in lines}) == 1
    assert [line.split(":")[0].removeprefix("  - ") for line in lines] == names
    assert min(line.index("(always") for line in lines) >= 26


def test_several_apps_join_in_one_picture() -> None:
    # Given a second app that reads what the first one sends
    other = App("watch")
    other.topic("sources_refreshed", controller=DeletedController)
    steps = flow_of([app(), other])
    # Then both ends meet in one node
    dot = FORMATS["dot"](steps)
    assert dot.count('label="sources_refreshed"') == 1
    assert "style=dashed" in dot
    mermaid = FORMATS["mermaid"](steps)
    assert mermaid.startswith("flowchart LR\n")
    assert mermaid.count('["sources_refreshed"]') == 1
    assert "-.->" in mermaid
    assert [step["topic"] for step in json.loads(FORMATS["json"](steps))] == [
        "registered_topics",
        "sources_refresh",
        "sources_refreshed",
        "users_deleted",
    ]


def test_the_check_lists_missing_topics_and_too_few_partitions() -> None:
    steps = flow_of([app()])
    partitions = {"registered_topics": 2, "new_topics": 1, "maybe": 1, "users_deleted": 4, "sources_refresh": 4}
    assert check(steps, {**partitions, "sources_refreshed": None}, {"sources": 3}) == [
        "topic registered_topics has 2 partitions for 3 processes of group sources: 1 would idle",
        "topic sources_disconnected does not exist (sent to by sources, RefreshController)",
        "topic sources_refreshed does not exist (sent to by sources, RefreshController)",
    ]
    whole = {**partitions, "sources_refreshed": 1, "sources_disconnected": 1}
    assert check(steps, whole, {"sources": 2}) == []
    assert check(steps, whole) == []


def test_routes_and_info_are_shown_as_data() -> None:
    rows = route_rows(app())
    assert [row["topic"] for row in rows] == ["registered_topics", "sources_refresh", "users_deleted"]
    assert rows[1]["responder"] == "RefreshResponder"
    assert rows[2]["responder"] == ""
    assert facts(app())["routes"] == "3"


def test_reading_the_flow_imports_no_client_library() -> None:
    code = (
        "import sys, ops.consumer, ops.consumer.flow, ops.consumer.overview, ops.consumer.testing\n"
        "sys.exit(any(name.split('.')[0] == 'kafka' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
