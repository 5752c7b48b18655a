"""`inv` by root on a host where the application is another user's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from invoke.config import Config
from invoke.context import Context

from ops.tasks.project import place
from tests.labs.parts import ROOT, require
from tests.labs.root_host import SERVICE, RootHost


@pytest.fixture
def host() -> Iterator[RootHost]:
    require(ROOT)
    made = RootHost()
    yield made
    made.close()


def test_what_root_does_by_inv_is_the_owners(host: RootHost) -> None:
    # Given a host that was set up, and a release of an application that is another user's
    (host.shared / "karafka-ops-host.json").write_text(json.dumps({"host": "web1", "stage": "test"}))
    release = host.root / "releases" / "20260101000000"
    own = {"application": "shop", "deploy_to": str(host.root), "command": "true"}
    section = {**own, "stages": {"test": {"hosts": [{"host": "web1"}]}}}
    (release / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    (release / "fabric.yaml").write_text(yaml.safe_dump({"karafka": section}))
    # When root looks for its processes there, in a process of its own
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.chdir(release)
            found = place(Context(Config(project_location=str(release))))
            code = 0 if (found.host, os.geteuid(), Path.cwd()) == ("web1", SERVICE, release) else 2
        finally:
            os._exit(code)
    # Then what it does from then on is done with the owner's rights
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
