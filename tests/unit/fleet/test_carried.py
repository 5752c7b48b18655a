"""The wheel of this tool that a project carries."""

from __future__ import annotations

import io
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import ops
from ops.core.errors import SettingsError
from ops.fleet.setup.carried import FOLDER, carried_path, carry, full_wheel, require_in

OWN = f"karafka_ops-{ops.__version__}-py3-none-any.whl"
OLD = "karafka_ops-0.0.1-py3-none-any.whl"


def test_the_wheel_is_the_whole_tool_with_its_own_metadata_and_nothing_of_this_machine() -> None:
    # When the running tool is packed, twice
    content = full_wheel()
    # Then the same code is the same wheel
    assert content == full_wheel()
    # And it has all packages and the templates, what hosts have no use for, too
    archive = zipfile.ZipFile(io.BytesIO(content))
    names = archive.namelist()
    package = Path(ops.__file__).parent
    modules = {f"ops/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    assert modules <= set(names)
    assert "ops/templates/ci/github-deploy.yml" in names
    # And what it needs is in it word for word, for pip to install
    notes = f"karafka_ops-{ops.__version__}.dist-info"
    distribution = metadata.distribution("karafka-ops")
    assert archive.read(f"{notes}/METADATA").decode() == distribution.read_text("METADATA")
    assert f"{notes}/licenses/LICENSE" in names
    # And no note that an installation has made
    assert not [name for name in names if name.endswith(("direct_url.json", "INSTALLER", "REQUESTED", ".pyc"))]


def test_a_project_gets_the_wheel_once_and_again_when_it_is_to_be_renewed(tmp_path: Path) -> None:
    # Given a project
    folder = tmp_path / FOLDER
    # When it is to carry the running tool
    assert carry(tmp_path, renew=False, pipelines=[]) == (("wrote", folder / OWN),)
    # Then the wheel is where pipelines have it from
    assert tmp_path / carried_path() == folder / OWN
    assert (folder / OWN).read_bytes() == full_wheel()
    # When it has one, and others
    (folder / OWN).write_bytes(b"built elsewhere")
    (folder / OLD).write_bytes(b"old")
    # Then they are left alone
    assert carry(tmp_path, renew=False, pipelines=[]) == (("kept", folder / OWN),)
    assert (folder / OWN).read_bytes() == b"built elsewhere"
    assert (folder / OLD).exists()
    # When it is to be renewed
    changed = carry(tmp_path, renew=True, pipelines=[tmp_path / "none.yml"])
    # Then it is the running tool's, the one of before is gone, and nothing else is there
    assert changed == (("wrote", folder / OWN), ("removed", folder / OLD))
    assert [path.name for path in folder.iterdir()] == [OWN]
    assert (folder / OWN).read_bytes() == full_wheel()


def test_a_wheel_that_another_pipeline_installs_stays(tmp_path: Path) -> None:
    # Given a pipeline of another platform, which installs the wheel of a version before
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    (folder / OLD).write_bytes(b"old")
    pipeline = tmp_path / ".gitlab-ci.yml"
    pipeline.write_text(f"run: python -m pip install ./{FOLDER}/{OLD}\n")
    # When the wheel is renewed for this one
    carry(tmp_path, renew=True, pipelines=[pipeline])
    # Then the other has what it needs
    assert sorted(path.name for path in folder.iterdir()) == sorted([OLD, OWN])


def test_a_wheel_of_the_settings_is_a_file_of_the_project(tmp_path: Path) -> None:
    # Given a project with a wheel, and a link that leads out of it
    project = tmp_path / "project"
    project.mkdir()
    (project / OWN).write_bytes(b"")
    (tmp_path / OLD).write_bytes(b"")
    (project / OLD).symlink_to(tmp_path / OLD)
    # Then the wheel will do
    require_in(project, OWN)
    # And the link, which a runner would not have, and what is not there are refused
    for wheel, words in ((OLD, "leads out of the project"), ("vendor/none.whl", "no such file")):
        with pytest.raises(SettingsError, match=words):
            require_in(project, wheel)
