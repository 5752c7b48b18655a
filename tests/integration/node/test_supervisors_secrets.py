"""Who may read the password of supervisord's socket, where root deploys what belongs to another user."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.labs.parts import ROOT, needs
from tests.labs.root_host import SERVICE

ASKS = """
import ctypes, sys
import ops.node.facts  # now: an interpreter of root's own may be closed to the other user
from ops.core.keeping import Keeping
from ops.core.privileges import work_as_owner
from ops.node.supervisor_conf import SupervisorConfError, credentials
work_as_owner(sys.argv[1])
for file in ("", *sys.argv[3:]):
    try:
        print(*credentials(Keeping("supervisor", "shop", conf=sys.argv[2], credentials=file)))
    except SupervisorConfError as error:
        print(error.what)
"""


@needs(ROOT)
def test_roots_conf_file_is_read_by_roots_agent_and_a_named_file_as_the_owner() -> None:
    # Given a supervisord.conf that is root's alone, and an application that is another user's
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        root = Path(folder)
        root.chmod(0o755)
        conf, deploy_to, roots = root / "supervisord.conf", root / "app", root / "roots"
        conf.write_text("[unix_http_server]\nusername = me\npassword = roots\n")
        roots.write_text("[supervisorctl]\nusername = me\npassword = secret\n")
        deploy_to.mkdir()
        own = deploy_to / "own"
        own.write_text("[supervisorctl]\nusername = me\npassword = own\n")
        for path in (conf, roots, own):
            path.chmod(0o600)
        for path in (deploy_to, own):
            os.chown(path, SERVICE, SERVICE)
        (deploy_to / "planted").symlink_to(roots)
        # When root's agent, which works as that user, asks for credentials
        argv = [sys.executable, "-c", ASKS, deploy_to, conf, own, roots, deploy_to / "planted"]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, cwd=Path.cwd())
    assert said.returncode == 0, said.stderr
    # Then supervisord's own file is read as root, and a named one as the user, whatever a link leads to
    denied = "cannot be read: Permission denied"
    assert said.stdout.splitlines() == ["me roots", "me own", denied, denied]
