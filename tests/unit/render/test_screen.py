"""The picture of a terminal."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from ops.render.screen import screen

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[ElementTree.Element]:
    """Return the texts below the title bar."""
    return [one for one in ElementTree.fromstring(picture).iter(f"{SVG}text") if one.get("class") != "title"]


def test_columns_stand_one_below_the_other_in_any_font() -> None:
    # Given a table with a coloured cell
    table = "HOST   STATE\nhost1  \x1b[32mrunning\x1b[0m\nhost1  dead"
    # When its picture is drawn
    shown = texts(screen(table, "status"))
    # Then what stands in a column begins at one place, and each run is as wide as its cells
    state, running = shown[0], shown[2]
    assert running.text == "running"
    assert running.get("class") == "green"
    assert state.text == "HOST   STATE".replace(" ", "\N{NO-BREAK SPACE}")
    start, cell = float(state.get("x", "")), float(state.get("textLength", "")) / len("HOST   STATE")
    assert abs(float(running.get("x", "")) - (start + 7 * cell)) < 0.01
    assert abs(float(running.get("textLength", "")) - 7 * cell) < 0.01


def test_a_line_that_is_too_long_goes_on_in_the_next_one() -> None:
    # Given a terminal of ten columns
    shown = texts(screen("0123456789abcdef", "t", columns=10))
    # Then the line is in two rows
    assert [one.text for one in shown] == ["0123456789", "abcdef"]
    assert float(shown[0].get("y", "")) < float(shown[1].get("y", ""))


def test_bold_dim_and_bright_are_told_apart() -> None:
    shown = texts(screen("\x1b[1mname\x1b[0m \x1b[90mbefore\x1b[0m \x1b[91mlost\x1b[0m", "t"))

    assert [(one.text, one.get("class")) for one in shown] == [
        ("name", "plain bold"),
        ("before", "dim"),
        ("lost", "red"),
    ]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_whatever_a_program_prints_the_picture_is_well_formed_and_runs_nothing(text: str) -> None:
    picture = ElementTree.fromstring(screen(text, text))

    assert {one.tag.removeprefix(SVG) for one in picture.iter()} <= {"svg", "title", "desc", "style", "rect", "text"}
