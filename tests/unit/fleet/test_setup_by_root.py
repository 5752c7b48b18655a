"""`fab karafka.setup` by root of what belongs to another user: root's own things apart, the user's never followed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ops.core.section import load
from ops.fleet import setup
from ops.fleet.setup import remote
from ops.fleet.setup.remote import RefusalError
from tests.labs.parts import ROOT, require
from tests.labs.root_host import SERVICE, RootHost, as_service
from tests.unit.fleet.test_setup import fake

OTHER = SERVICE + 1


@pytest.fixture
def host() -> Iterator[RootHost]:
    require(ROOT)
    before = os.umask(0o077)  # as a careful root may have it
    made = RootHost()
    yield made
    made.close()
    os.umask(before)


def order(host: RootHost) -> dict[str, Any]:
    own = {"application": "shop", "deploy_to": str(host.root), "command": "true"}
    settings = load({**own, "stages": {"test": {"hosts": [{"host": "web1"}]}}})
    python = host.base / "python3"
    fake(python, "3.11.2", makes='mkdir -p "$4/bin"; cp "$0" "$4/bin/python"')
    data: dict[str, Any] = json.loads(json.dumps(setup.make_setup(settings, settings.hosts).hosts[0].order))
    return {**data, "python": str(python), "place": str(host.base / "place")}


def set_up(host: RootHost) -> dict[str, Any]:
    settings = load(
        {"application": "shop", "deploy_to": str(host.root), "command": "true",
         "stages": {"test": {"hosts": [{"host": "web1"}]}}}
    )  # fmt: skip
    return remote.main(order(host), setup.make_setup(settings, settings.hosts).load)


def test_what_root_runs_is_where_root_alone_writes(host: RootHost) -> None:
    # Given a folder of another user's
    # When root sets it up, and once more
    first, second = set_up(host), set_up(host)
    # Then the tool is root's, which everybody may run, and is made once
    assert (first["changed"], second["changed"]) == (True, False)
    place = host.base / "place"
    facts = [path.stat() for path in (place, place / "karafka-ops", place / "karafka-ops" / "bin" / "python")]
    assert {(one.st_uid, one.st_mode & 0o777) for one in facts} == {(0, 0o755)}
    assert not list(host.shared.glob("karafka-ops*/"))
    # And all below deploy_to is its owner's
    assert {path.lstat().st_uid for path in (host.root, *host.root.rglob("*"))} == {SERVICE}
    assert json.loads((host.shared / "karafka-ops-host.json").read_text())["host"] == "web1"


@pytest.mark.parametrize("target", ["secret", "new", "folder"])
def test_links_planted_everywhere_lead_a_setup_nowhere(host: RootHost, target: str) -> None:
    # Given links to what is root's in the place of everything that a setup touches, one at a time
    own = ("karafka-ops", "karafka-ops.lock", "karafka-ops-host.json", f"karafka-ops-host.json.{os.getpid()}")
    names = (*remote.FOLDERS, "shared", "shared/tmp", "revisions.log", *(f"shared/{one}" for one in own))
    before = host.found()
    for below in names:
        path = host.root / below
        shutil.rmtree(host.root)
        host.root.mkdir(mode=0o755)
        os.chown(host.root, SERVICE, SERVICE)

        def plant(path: Path = path) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(host.canary / target)

        as_service(plant)
        # When root sets it up, whatever comes of it
        with suppress(RefusalError, OSError):
            set_up(host)
        # Then what is root's is as it was
        assert host.found() == before, below
        assert os.geteuid() == 0


def test_what_an_earlier_version_made_as_root_is_given_to_the_owner(host: RootHost) -> None:
    # Given what root has made there, beside a secret of root's that the owner has moved there, and links
    lock, secret = host.shared / "tmp" / "slots" / "karafka-0.lock", host.shared / "log" / "secret"
    release = host.root / "releases" / "20260103000000"
    (release / "app").mkdir(parents=True)
    (host.shared / "tmp" / "slots").mkdir(exist_ok=True)
    for path in (lock, host.root / "revisions.log", release / "app" / "code.py"):
        path.write_text("")
        path.chmod(0o644)
    for folder in (release, release / "app"):
        folder.chmod(0o755)
    secret.write_text("root's")
    secret.chmod(0o600)
    (host.shared / "log" / "away").symlink_to(host.canary / "folder")
    (host.shared / "rollouts").rmdir()
    (host.shared / "rollouts").symlink_to(host.canary / "folder")
    before = host.found()
    # When root sets it up
    set_up(host)
    # Then what everybody could read is the owner's, and what not is root's still
    assert {path.stat().st_uid for path in (lock, host.root / "revisions.log", *release.rglob("*"))} == {SERVICE}
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o600)
    # And no link was followed
    assert host.found() == before


def test_a_folder_that_several_users_can_change_is_refused(host: RootHost) -> None:
    # Given a folder of root's in which another user has one
    shutil.rmtree(host.root)
    (host.shared / "log").mkdir(parents=True, mode=0o755)
    for path in (host.root, host.shared):
        path.chmod(0o755)
    os.chown(host.shared / "log", OTHER, OTHER)
    # When root sets it up, it is refused with what to do
    with pytest.raises(RefusalError, match=f"user {OTHER} can change {host.shared}/log") as caught:
        set_up(host)
    assert f"chown -R USER: {host.root}" in caught.value.hint
