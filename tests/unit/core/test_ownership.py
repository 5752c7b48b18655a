"""As whom root works in an application's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.ownership import Owner, OwnershipError, others_of, owner_of, roots_folder
from tests.labs.parts import ROOT, require

DEPLOY, OTHER = 64077, 64078


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    require(ROOT)
    before = os.umask(0o022)
    yield
    os.umask(before)


def folders(base: Path, **whose: int) -> Path:
    """Make base/home/app/shared/log; who is named gets that part."""
    path = base
    for name in ("home", "app", "shared", "log"):
        path = path / name
        path.mkdir()
        os.chown(path, whose.get(name, 0), whose.get(name, 0))
    return base / "home" / "app"


@pytest.mark.parametrize(
    ("whose", "owner"),
    [
        ({}, None),
        ({"app": DEPLOY}, Owner(DEPLOY, DEPLOY)),
        ({"app": DEPLOY, "shared": DEPLOY, "log": DEPLOY}, Owner(DEPLOY, DEPLOY)),
        ({"home": DEPLOY, "app": DEPLOY}, Owner(DEPLOY, DEPLOY)),
        ({"app": DEPLOY, "log": OTHER}, Owner(DEPLOY, DEPLOY)),
    ],
)
def test_root_works_as_the_owner(tmp_path: Path, whose: dict[str, int], owner: Owner | None) -> None:
    assert owner_of(folders(tmp_path, **whose)) == owner


@pytest.mark.parametrize(
    ("whose", "part"),
    [
        ({"home": DEPLOY}, "home"),  # who could put a link to anything in the place of root's folder
        ({"shared": DEPLOY}, "home/app/shared"),
        ({"log": DEPLOY}, "home/app/shared/log"),
        ({"home": OTHER, "app": DEPLOY}, "home"),
    ],
)
def test_what_several_users_can_change_is_nobodys_to_work_in(tmp_path: Path, whose: dict[str, int], part: str) -> None:
    # Given a folder that is not one user's alone
    made = folders(tmp_path, **whose)
    # Then it is refused with that user, the folder and what to do
    with pytest.raises(OwnershipError, match=r"user \d+ can change") as caught:
        owner_of(made)
    assert str(caught.value).endswith(f" can change {tmp_path / part}")
    assert "chown -R USER:" in caught.value.hint


def test_the_folders_that_settings_name_are_looked_at_too(tmp_path: Path) -> None:
    # Given a folder of another user's beside the usual ones
    made = folders(tmp_path)
    (made / "shared" / "run").mkdir()
    os.chown(made / "shared" / "run", OTHER, OTHER)
    # Then root works there as root only if it writes nothing into that one
    assert owner_of(made) is None
    with pytest.raises(OwnershipError, match=f"user {OTHER} can change"):
        owner_of(made, [str(made / "shared" / "run")])


def test_a_link_on_the_way_is_looked_at_as_well_as_what_it_leads_to(tmp_path: Path) -> None:
    # Given root's folder, which a link of root's leads to by one in another user's folder
    made = folders(tmp_path)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "app").symlink_to(made)
    os.chown(tmp_path / "theirs", OTHER, OTHER)
    (tmp_path / "link").symlink_to("theirs/app")
    # Then it is nobody's to work in by that: the other user may turn the link at any time
    with pytest.raises(OwnershipError, match=f"user {OTHER} can change {tmp_path / 'theirs'}$"):
        owner_of(tmp_path / "link")
    # And by links of root's alone it is
    (tmp_path / "straight").symlink_to("home/app")
    assert owner_of(tmp_path / "straight") is None


@pytest.mark.parametrize(("mode", "refused"), [(0o775, True), (0o777, True), (0o1777, True), (0o755, False)])
def test_a_folder_of_roots_that_others_may_write_to_is_not_roots_alone(
    tmp_path: Path, mode: int, refused: bool
) -> None:
    # Given a folder of root's that a group or everybody may write to
    made = folders(tmp_path)
    os.chown(made / "shared", 0, DEPLOY)
    (made / "shared").chmod(mode)
    # Then root does not work there as root
    if refused:
        with pytest.raises(OwnershipError, match=f"group {DEPLOY} or others can change"):
            owner_of(made)
    else:
        assert owner_of(made) is None


def test_a_link_is_as_good_as_what_it_leads_to(tmp_path: Path) -> None:
    # Given links of root's to another user's folder, and to one in another user's home
    theirs = folders(tmp_path, app=DEPLOY)
    (tmp_path / "link").symlink_to(theirs)
    home = tmp_path / "other"
    home.mkdir()
    (home / "app").mkdir()
    os.chown(home, OTHER, OTHER)
    (tmp_path / "away").symlink_to(home / "app")
    # Then the first is that user's, and the second is nobody's to work in
    assert owner_of(tmp_path / "link") == Owner(DEPLOY, DEPLOY)
    with pytest.raises(OwnershipError, match=f"user {OTHER} can change {home}"):
        owner_of(tmp_path / "away")


def test_what_is_not_there_yet_is_made_by_whom_the_folder_above_belongs_to(tmp_path: Path) -> None:
    # Given a home, and nothing in it
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, DEPLOY, DEPLOY)
    # Then what is made there is its owner's, and elsewhere root's
    assert owner_of(home / "app") == Owner(DEPLOY, DEPLOY)
    assert owner_of(tmp_path / "app") is None


def test_who_else_can_change_a_folder_is_named(tmp_path: Path) -> None:
    # Given a folder of another user's below root's
    made = folders(tmp_path, app=OTHER)
    # Then that user's own are theirs alone, and everybody else's not
    assert others_of(made / "shared", OTHER, 0) == ""
    assert others_of(made / "shared", DEPLOY, 0) == f"user {OTHER} can change {made}"


def test_each_application_has_a_place_of_roots_own() -> None:
    # Given folders whose last part is the same
    places = {roots_folder(one) for one in ("/srv/app", "/opt/app", "/srv/a b/../app", "/srv/app é")}
    # Then each has its own, below one that root makes, in letters that need no quotes
    assert len(places) == 4
    assert all(one.startswith("/var/lib/karafka-ops/") and " " not in one and one.isascii() for one in places)
