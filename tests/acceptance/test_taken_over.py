"""A host that a real Capistrano deployed to is taken over as it is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from ops.core.identity import Identity
from tests.labs.in_process import fab
from tests.labs.parts import CAPISTRANO, require
from tests.labs.ssh_fleet import started
from tests.labs.yard import Yard

CAPFILE = """
require "capistrano/setup"
require "capistrano/deploy"
require "capistrano/scm/git"
install_plugin Capistrano::SCM::Git
"""
DEPLOY = """
lock "~> 3.17"
set :application, "yard"
set :repo_url, "{source}"
set :branch, "main"
set :deploy_to, "{root}"
set :tmp_dir, "{tmp}"
append :linked_dirs, "log"
append :linked_files, "config/database.yml"
"""
STAGE = """
server "{address}", user: "{user}", roles: %w[app karafka], ssh_options: {{
  port: {port}, keys: ["{key}"], keys_only: true, auth_methods: ["publickey"], config: false,
  verify_host_key: :always, user_known_hosts_file: "{known_hosts}"
}}
"""


class Taken(Yard):
    """A project that has a Capfile, too."""

    def cap(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Capistrano to its end."""
        done = subprocess.run(
            ["cap", *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False, env={**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Taken]:
    """A host that Capistrano deployed three releases to."""
    require(CAPISTRANO)
    directory = tmp_path_factory.mktemp("taken")
    with started(directory / "fleet", 1, run_owner) as fleet:
        made = Taken(directory / "project", fleet)
        (host,) = fleet.hosts
        root = host.files.deploy_to
        (root / "shared/config").mkdir(parents=True)
        (root / "shared/config/database.yml").write_text("adapter: none\n")
        places = {"source": made.source, "root": root, "tmp": directory, "key": fleet.key,
                  "known_hosts": fleet.known_hosts, "address": host.files.address, "port": host.files.port,
                  "user": host.files.user}  # fmt: skip
        config = made.folder / "config/deploy"
        config.mkdir(parents=True)
        (made.folder / "Capfile").write_text(CAPFILE)
        (made.folder / "config/deploy.rb").write_text(DEPLOY.format(**places))
        (config / "test.rb").write_text(STAGE.format(**places))
        for number in range(3):
            made.commit(f"by cap {number}")
            made.cap("test", "deploy")
        yield made


def test_what_capistrano_deployed_is_listed_gone_on_from_and_gone_back_to(taken: Taken) -> None:
    # Given three releases of Capistrano's, and the settings as its own were
    (root,) = taken.hosts.values()
    theirs = sorted(path.name for path in (root / "releases").iterdir())
    shared = {"linked_dirs": ["log"], "linked_files": ["config/database.yml"], "default_hooks": False}
    taken.settings(**shared)
    # Then they are listed, and current is what it was
    found = json.loads(fab(taken.folder, "deploy.releases", "--json").stdout)["hosts"]["host1"]
    assert [one["name"] for one in found["releases"]] == theirs
    assert found["current"] == theirs[-1]
    assert len(theirs) == 3
    # When a release is deployed on top
    sha = taken.commit("by fab")
    fab(taken.folder, "deploy")
    # Then it is current, with what is shared, and its line stands below theirs
    ours = taken.current()["host1"]
    assert ours > theirs[-1]
    assert (root / "current/REVISION").read_text().strip() == sha
    assert (root / "current/config/database.yml").read_text() == "adapter: none\n"
    log = (root / "revisions.log").read_text().splitlines()
    assert len(log) == 4
    words = [line.split("(at")[0] for line in log]
    assert len(set(words)) == 1, log
    # When it is rolled back, and on and on
    for expected in (theirs[2], theirs[1], theirs[0]):
        fab(taken.folder, "deploy.rollback")
        # Then it is theirs, one after the other
        assert taken.current()["host1"] == expected
    # And no way leads on, nor to what was left
    assert "nothing to roll back to" in fab(taken.folder, "deploy.rollback", code=1).stderr
    assert taken.current()["host1"] == theirs[0]
    # And old ones are removed as theirs would be
    fab(taken.folder, "deploy")
    taken.settings(**shared, keep_releases=1)
    fab(taken.folder, "deploy.cleanup")
    last = taken.current()["host1"]
    left = {path.name for path in (root / "releases").iterdir()}
    assert {last, theirs[0]} <= left  # what was gone back to last is the way back
    assert not {theirs[1], theirs[2]} & left
    # And Capistrano goes on where we stopped
    taken.cap("test", "deploy")
    assert taken.current()["host1"] > ours
    found = json.loads(fab(taken.folder, "deploy.releases", "--json").stdout)["hosts"]["host1"]
    assert found["current"] == taken.current()["host1"]
    # And the way back from there is ours again
    fab(taken.folder, "deploy.rollback")
    assert taken.current()["host1"] == last
