"""Where texts are cut that a terminal has no room for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.render.cuts import Keep, begin_of, cut, end_of, hanging, least, width_of, wrapped

TEXTS = st.lists(st.text("ab01.-日é\u0301 ", max_size=40), min_size=1, max_size=6)
KEEPS = st.sampled_from(Keep)


@given(TEXTS, st.integers(2, 40), KEEPS)
def test_no_text_is_wider_and_what_fits_is_whole(texts: list[str], width: int, keep: Keep) -> None:
    found = cut(texts, width, keep)
    for text in texts:
        assert width_of(found.get(text, text)) <= width
        assert (text in found) == (width_of(text) > width)


@given(TEXTS, st.integers(0, 9), KEEPS)
def test_from_its_least_width_on_a_column_tells_its_texts_apart(texts: list[str], more: int, keep: Keep) -> None:
    width = least(texts, keep) + more
    found = cut(texts, width, keep)
    assert len({found.get(text, text) for text in texts}) == len(set(texts))
    # And none that is cut at its end is what another begins with
    for text, shown in found.items():
        if all(map(str.isascii, texts)) and shown.endswith("…") and not shown.startswith("…") and " " not in shown:
            assert not any(other.startswith(shown[:-1]) for other in texts if other != text)


@pytest.mark.parametrize(
    ("texts", "width", "keep", "shown"),
    [
        (("web1.example.com", "web2.example.com"), 8, Keep.BEGIN, ["web1.ex…", "web2.ex…"]),
        (("shop-production-web-01.eu.example.com", "shop-production-web-02.eu.example.com"), 9, Keep.BEGIN,
         ["…01.eu.e…", "…02.eu.e…"]),
        (("orders_created-1", "orders_created-11"), 9, Keep.BEGIN, ["…reated-1", "…eated-11"]),
        (("orders_created-1", "orders_created-11"), 16, Keep.BEGIN, [None, "…ders_created-11"]),
        (("20261130123456", "20261130113456"), 8, Keep.END, ["…0123456", "…0113456"]),
        (("20261130123456",), 8, Keep.END, ["…0123456"]),
        (("1-hotfix-of-ann", "2-hotfix-of-ann"), 8, Keep.END, ["1-h…-ann", "2-h…-ann"]),
        (("web1.example.com karafka-0", "web2.example.com karafka-0"), 18, Keep.BEGIN,
         ["web1.ex… karafka-0", "web2.ex… karafka-0"]),
    ],
)  # fmt: skip
def test_what_differs_is_what_stays(texts: tuple[str, ...], width: int, keep: Keep, shown: list[str | None]) -> None:
    assert list(map(cut(texts, width, keep).get, texts)) == shown


@given(st.text("ab 日", max_size=60), st.integers(12, 30))
def test_words_go_on_in_the_next_line_and_none_is_lost(text: str, width: int) -> None:
    for lines in (wrapped(text, width), hanging(f"  {text}", width)):
        assert max(map(width_of, lines)) <= width
        assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(line.startswith("    ") for line in hanging(f"  {text}", width)[1:])


@given(st.text("aé\u0301日", max_size=20), st.integers(0, 30))
def test_a_wide_character_takes_two_columns_and_is_never_halved(text: str, width: int) -> None:
    for part in (begin_of(text, width), end_of(text, width)):
        assert width_of(part) <= width
        assert width_of(text) <= width or width_of(part) >= width - 1
    assert text.startswith(begin_of(text, width))
    assert text.endswith(end_of(text, width))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        pytest.param("e\N{COMBINING ACUTE ACCENT}", 1, id="accent"),
        pytest.param("\u0e17\u0e35\u0e48", 1, id="Thai"),
        pytest.param("e\u20dd", 1, id="enclosed"),
        pytest.param("\u1112\u1161\u11ab", 2, id="Hangul"),
        pytest.param("\u2764\ufe0f", 2, id="emoji"),
    ],
)
def test_a_sign_that_stands_on_another_takes_no_column(text: str, width: int) -> None:
    assert width_of(text) == width
    assert begin_of(f"{text}x", width) == text


def test_no_end_begins_with_a_sign_whose_letter_was_cut_off() -> None:
    text = "abe\N{COMBINING ACUTE ACCENT}c"
    assert [end_of(text, width) for width in range(5)] == ["", "c", text[2:], text[1:], text]


@pytest.mark.parametrize("keep", Keep)
@given(middles=st.lists(st.text("e\N{COMBINING ACUTE ACCENT}\N{COMBINING DIAERESIS}b", max_size=6), min_size=1))
def test_no_sign_is_drawn_onto_the_ellipsis_before_it(keep: Keep, middles: list[str]) -> None:
    texts = [f"group-e{middle}-of-the-consumers" for middle in middles]
    for width in range(3, 24):
        for shown in cut(texts, width, keep).values():
            assert not any(f"\N{HORIZONTAL ELLIPSIS}{sign}" in shown for sign in "\u0301\u0308")
