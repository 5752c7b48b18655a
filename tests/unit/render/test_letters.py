"""Dead letters as people read them."""

from __future__ import annotations

from ops.render.letters import kept_lines, letter_lines

LETTER = {
    "name": "a.dead:0@17", "topic": "t", "partition": "3", "offset": "7", "at": 100.0, "attempts": "4",
    "reason": "ValueError: no", "key": "k1", "value": '{"id": 1}', "omitted": "",
}  # fmt: skip


def test_a_letter_tells_its_name_what_failed_when_why_and_what_was_in_it() -> None:
    # Given a letter, When it is shown, Then all of that is there
    assert letter_lines([LETTER], 190_000.0) == [
        "1 dead letter",
        "a.dead:0@17  2 d 4 h ago, after 4 attempts, from t[3] offset 7: ValueError: no",
        '    k1: {"id": 1}',
    ]


def test_long_content_is_cut_and_what_was_left_out_is_said() -> None:
    # Given a long letter and one without its content, When they are shown, Then each has one line of it
    long, left_out = letter_lines([{**LETTER, "value": "x" * 500}, {**LETTER, "omitted": "value of 5 bytes"}], 0)[2::2]
    assert long == f"    k1: {'x' * 100}..."
    assert left_out == "    k1: value of 5 bytes"


def test_no_letter_steers_a_terminal() -> None:
    # Given a letter with an escape sequence in each text, When it is shown, Then none comes through
    hostile = {name: "\x1b]0;owned\x07\n" if isinstance(value, str) else value for name, value in LETTER.items()}
    lines = [*letter_lines([hostile], 0), *kept_lines([("\x1b[2J", "\r\n")])]
    assert all(line.isprintable() for line in lines)
