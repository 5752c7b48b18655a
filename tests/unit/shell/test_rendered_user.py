"""Whose files `inv templates.render` prints."""

from __future__ import annotations

from pathlib import Path

from tests.labs.in_process import inv

SETTINGS = """\
user: deploy
karafka:
  application: billing
  deploy_to: /srv/billing
  command: sleep 9
  stages: {production: {hosts: [{host: web1}, {host: web2, user: other}]}}
"""


def test_rendered_files_are_of_the_user_that_fabric_logs_in_as(tmp_path: Path) -> None:
    # Given settings whose `user` stands where Fabric has it, beside `karafka:`
    (tmp_path / "fabric.yaml").write_text(SETTINGS)
    (tmp_path / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    # Then the logs are rotated as that user, but for a host with one of its own
    assert "    su deploy deploy\n" in inv(tmp_path, "templates.render", "logrotate").stdout
    assert "    su other other\n" in inv(tmp_path, "templates.render", "logrotate", "--host", "web2").stdout
