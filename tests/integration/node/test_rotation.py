"""The rule for logrotate, carried out by logrotate: it turns the logs of processes over, and nothing beside them."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from pathlib import Path

from ops.core.section import load
from ops.fleet.plan import process_specs
from ops.node.audit import AUDIT
from ops.render.rotation import rotation_files
from tests.labs.parts import LOGROTATE, find, needs


@needs(LOGROTATE)
def test_the_audit_and_an_applications_own_logs_are_kept(tmp_path: Path) -> None:
    # Given the logs of an application with servers and a worker, the deploys' audit, and a log of its own
    settings = load(
        {
            "application": "shop",
            "deploy_to": str(tmp_path),
            "command": "ops server",
            "processes": 2,
            "workers": 1,
            "stages": {"test": {"hosts": [{"host": "h1"}]}},
        }
    )
    specs = process_specs(settings, settings.hosts[0])
    own = [Path(spec.files.log) for spec in specs]
    others = [tmp_path / "shared" / AUDIT, tmp_path / "shared/log/production.log"]
    own[0].parent.mkdir(parents=True)
    for path in (*own, *others):
        path.write_text("a line\n")
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    (rule,) = rotation_files(settings, settings.hosts[0], specs, user=user, group=group)
    (tmp_path / "rule").write_text(rule.text)
    (tmp_path / "rule").chmod(0o600)
    # When logrotate turns over whatever the rule names
    argv = [str(find("logrotate")), "-f", "-s", str(tmp_path / "state"), str(tmp_path / "rule")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    # Then these are the processes' logs, and no other
    assert [path.name for path in own] == ["karafka-0.log", "karafka-1.log", "worker-0.log"]
    assert [path.read_text() for path in own] == [""] * 3
    assert [path.read_text() for path in others] == ["a line\n"] * 2
    assert {path.name for path in own[0].parent.iterdir()} == {
        *(path.name for path in (*own, *others)),
        *(f"{path.name}.1" for path in own),
    }
