"""`inv`: this host, the app, the sandbox. A user's whole tasks.py is `from ops.tasks import namespace as ns`.

A composition root: task bodies may import anything, the modules themselves import Invoke alone,
so that `inv --list` starts fast.
"""

from __future__ import annotations

import sys
from pathlib import Path

from invoke.collection import Collection

import ops.tasks.app as app
import ops.tasks.host as host
import ops.tasks.jobs as jobs
import ops.tasks.lag as lag
import ops.tasks.letters as letters
import ops.tasks.rendering as rendering
import ops.tasks.sandbox as sandbox
import ops.tasks.topics as topics
from ops.core.errors import OpsError
from ops.shell import early
from ops.shell.door import as_exit

if early.at_work("invoke"):
    try:
        early.checked_section("invoke", sys.argv[1:], Path.cwd(), {})  # Invoke itself may end in a traceback
    except OpsError as error:
        raise as_exit(error) from None

namespace = Collection()
for _module in (host, app, lag, letters):
    for _name, _task in Collection.from_module(_module).tasks.items():
        namespace.add_task(_task, _name)
namespace.add_collection(Collection.from_module(sandbox), name="sandbox")
namespace.add_collection(Collection.from_module(rendering), name="templates")
namespace.add_collection(Collection.from_module(jobs), name="jobs")
namespace.add_collection(Collection.from_module(topics), name="topics")

__all__ = ["namespace"]
