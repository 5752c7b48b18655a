"""Secrets out of what is shown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.drift import Change
from ops.core.installation import HostFile, PresentFile
from ops.fleet.masking import MASK, masked, masked_line
from ops.fleet.tasks.installed import print_changes


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


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("DB_PASS=a b", f"DB_PASS={MASK}"),
        ('Environment="DB_PASS=a,b c" "PLAIN=x"', f'Environment="DB_PASS={MASK}" "PLAIN=x"'),
        ("Environment=DB_PASS=a,b PLAIN=x", f"Environment=DB_PASS={MASK} PLAIN=x"),
        ('environment=A="x",API_TOKEN="y\\"z,w",B="c"', f'environment=A="x",API_TOKEN={MASK},B="c"'),
        ("PrivateTmp=yes", "PrivateTmp=yes"),
        ("KeyringMode=private", "KeyringMode=private"),
        ("ExecStart=/bin/x --url https://u:p@h/", f"ExecStart=/bin/x --url https://{MASK}@h/"),
    ],
)
def test_a_line_of_any_file_is_shown_without_the_values_of_secrets(line: str, shown: str) -> None:
    assert masked_line(line) == shown


def test_a_secret_of_several_lines_is_in_no_line_of_a_diff(capsys: pytest.CaptureFixture[str]) -> None:
    # Given a host's env file with an old key, and the settings' with a new one
    path = "/srv/a/shared/units/karafka-0.env"
    old, new = (f'TLS_PRIVATE_KEY="BEGIN\n{key}\nEND"\nA={key[-1]}\n' for key in ("OLDOLDOLDOLD1", "NEWNEWNEWNEW2"))
    change = Change(path, PresentFile(old, 0o600), HostFile(path, new, 0o600))
    # When the difference is printed
    outcome = SimpleNamespace(host="h1")
    states = [SimpleNamespace(outcome=outcome, facts=object(), files=(1,), changes=(change,))]
    print_changes(cast(Any, None), cast(Any, states), in_full=True, as_json=False)
    # Then neither key is in it
    shown = capsys.readouterr().out
    assert "OLDOLD" not in shown
    assert "NEWNEW" not in shown
    assert "-A=1" in shown
    assert "+A=2" in shown
