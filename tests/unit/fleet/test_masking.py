"""Secrets out of what is shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ops.fleet.masking import MASK, masked


def test_values_under_keys_that_sound_secret_are_masked_at_any_depth() -> None:
    # Given settings with secrets
    data = {"env": {"API_TOKEN": "t", "DB_PASSWORD": "p", "AWS_SECRET": ["a", "b"], "PLAIN": "x", "PORT": 5}}
    # Then they are masked and the rest is not
    assert masked(data) == {
        "env": {"API_TOKEN": MASK, "DB_PASSWORD": MASK, "AWS_SECRET": [MASK, MASK], "PLAIN": "x", "PORT": 5}
    }


def test_a_password_inside_a_url_is_masked_and_the_rest_stays() -> None:
    # Given a URL with a password
    # Then only that is masked
    assert masked("postgresql+psycopg://app:s3cret@db/app") == f"postgresql+psycopg://app:{MASK}@db/app"
    assert masked("http://db:5432/app") == "http://db:5432/app"


@given(st.dictionaries(st.sampled_from(["password", "my_secret", "Token", "KEY"]), st.text(min_size=9), min_size=1))
def test_no_secret_is_left(data: dict[str, str]) -> None:
    # Given any values under secret keys
    # Then none of them is shown
    assert set(masked(data).values()) == {MASK}
