"""Staged files, read by the programs that are to read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.core.installation import HostFile
from ops.core.keeping import Keeping
from ops.core.section import load
from ops.fleet.plan import process_specs
from ops.node.placing import Places, staged
from ops.node.verifying import verify
from ops.render.rotation import rotation_files
from ops.render.units import systemd_files
from tests.labs.parts import LOGROTATE, SYSTEMD_ANALYZE, VISUDO, needs

KEPT = Keeping("systemd", "shop", sudo=True)
HOSTS = {"test": {"hosts": [{"host": "web1"}]}}
SETTINGS = load(
    {
        "application": "shop",
        "deploy_to": "/srv/shop",
        "command": "true",
        "agent_python": "/bin/true",
        "manager": "systemd",
        "systemd": {"sudo": True},
        "stages": HOSTS,
    }
)


def rendered() -> list[HostFile]:
    host = SETTINGS.hosts[0]
    records = systemd_files(SETTINGS, host, process_specs(SETTINGS, host), user="root", home="/root")
    records += rotation_files(SETTINGS, host, process_specs(SETTINGS, host), user="root", group="root")
    return [HostFile(one.path, one.text, one.mode) for one in records]


def checked(tmp_path: Path, files: list[HostFile]) -> list[str]:
    return verify(KEPT, staged(files, tmp_path))


pytestmark = needs(SYSTEMD_ANALYZE, VISUDO, LOGROTATE)


def test_what_the_settings_render_is_accepted(tmp_path: Path) -> None:
    # When units, target, env file, sudoers and log rotation are verified
    # Then nobody complains, and nothing was left unread
    assert checked(tmp_path, rendered()) == []


@pytest.mark.parametrize(
    ("name", "good", "bad", "complaint"),
    [
        ("karafka-shop@.service", "KillMode=mixed", "KilMode=mixed", "KilMode"),  # which verify lets pass with 0
        ("karafka-shop@.service", "TasksMax=512", "TasksMax=many", "Invalid maximum tasks value"),
        ("sudoers.d/karafka-shop", "NOPASSWD:", "NOPASWD:", "syntax error"),
        ("logrotate.d/karafka-shop", "rotate 7", "rotate seven", "rotat"),
    ],
)
def test_a_mistake_is_refused_in_its_readers_words(
    tmp_path: Path, name: str, good: str, bad: str, complaint: str
) -> None:
    # Given one file with a mistake in it
    files = [
        HostFile(one.path, one.text.replace(good, bad) if one.path.endswith(name) else one.text, one.mode)
        for one in rendered()
    ]
    # When it is verified, it is refused
    with pytest.raises(OpsError) as refused:
        checked(tmp_path, files)
    assert complaint in str(refused.value)
    assert name in str(refused.value)


def test_files_are_replaced_whole_with_their_mode_and_put_back(tmp_path: Path) -> None:
    # Given one file that is there and one that is not
    there, new = tmp_path / "there", tmp_path / "folder/new"
    there.write_text("before\n")
    there.chmod(0o640)
    places = Places(sudo=False)
    # When both are put in place, and one is changed twice
    places.put(HostFile(str(there), "between\n", 0o600))
    places.put(HostFile(str(there), "after\n", 0o600))
    places.put(HostFile(str(new), "new\n", 0o440))
    # Then they are there with their modes
    assert (there.read_text(), there.stat().st_mode & 0o777) == ("after\n", 0o600)
    assert (new.read_text(), new.stat().st_mode & 0o777) == ("new\n", 0o440)
    # When something goes wrong later
    assert places.put_back() == []
    # Then all is as it was
    assert (there.read_text(), there.stat().st_mode & 0o777) == ("before\n", 0o640)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["there"]
