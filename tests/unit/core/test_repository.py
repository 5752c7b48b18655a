"""An address of a repository is taken apart: what git may be shown, and what it gets otherwise."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.repository import Repository, repository_of


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://host/o/r.git", Repository("https://host/o/r.git")),
        ("https://TOKEN@host/o/r.git", Repository("https://host/o/r.git", "TOKEN", "")),
        ("https://u:p@host:8443/o/r.git", Repository("https://host:8443/o/r.git", "u", "p")),
        ("https://u:p%40s%2Fs@host/r", Repository("https://host/r", "u", "p@s/s")),
        ("https://u:p@ss@host/r", Repository("https://host/r", "u", "p@ss")),
        ("https://u:p/a?s#s@host/r", Repository("https://host/r", "u", "p/a?s#s")),
        ("https://u:p@host/o/r@v2.git", Repository("https://host/o/r@v2.git", "u", "p")),
        ("https://u:p@[::1]:8443/r", Repository("https://[::1]:8443/r", "u", "p")),
        ("https://host/o/@scope/r.git", Repository("https://host/o/@scope/r.git")),
        ("https://host:8443/o/@scope", Repository("https://host:8443/o/@scope")),
        ("ssh://git@host:22/o/r.git", Repository("ssh://git@host:22/o/r.git")),
        ("ssh://git:secret@host/o/r.git", Repository("ssh://git@host/o/r.git")),
        ("git@host:o/r.git", Repository("git@host:o/r.git")),
        ("/srv/git/r.git", Repository("/srv/git/r.git")),
        ("file:///srv/git/r@2.git", Repository("file:///srv/git/r@2.git")),
    ],
)
def test_an_address_is_taken_apart(source: str, expected: Repository) -> None:
    assert repository_of(source) == expected


@given(st.text(min_size=1).filter(str.isprintable), st.text(min_size=8).filter(str.isprintable))
def test_no_option_of_git_and_no_address_has_the_password(user: str, password: str) -> None:
    # Given any user and password, encoded as they have to be
    found = repository_of(f"https://{quote(user, safe='')}:{quote(password, safe='')}@git.example.com/o/r.git")
    # Then git gets both as they are, by its environment alone
    assert (found.user, found.password) == (user, password)
    assert found.address == "https://git.example.com/o/r.git"
    assert found.options == repository_of("https://u:p@git.example.com/o/r.git").options
    assert set(found.environment.values()) == {user, password}
