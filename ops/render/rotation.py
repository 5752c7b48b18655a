"""The rule by which logrotate turns an application's log files over; the journal needs none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from ops.core.errors import SettingsError
from ops.core.keeping import Keeping
from ops.core.protocol import ProcessSpec
from ops.core.settings import Host, Settings
from ops.render.templates import FileRecord, render

SIZE, COUNT = "100M", 7
_SPECIAL = re.compile(r"[\s\"'{}*?\[\]#\\]")


def rotation_files(
    settings: Settings, host: Host, specs: Sequence[ProcessSpec], *, user: str, group: str
) -> tuple[FileRecord, ...]:
    """Give the rule of one host: for the logs of its processes by name, as others in their folder are to be kept.

    Parameters
    ----------
    specs : all processes of the host.
    user, group : whose the logs are; logrotate works as them (`su`), for it may not trust a folder of theirs as root.

    Raises
    ------
    SettingsError : the path of the logs has characters in it that logrotate takes for others.
    """
    if not specs:
        return ()
    root = host.deploy_to or settings.deploy_to
    logs = [spec.files.log for spec in specs]
    for log in logs:
        if _SPECIAL.search(log):
            raise SettingsError(f"logrotate cannot read this path: {log!r}", where="karafka.deploy_to")
    path = str(PurePosixPath(settings.logrotate_d) / Keeping(application=settings.application).rule)
    return render(
        "logrotate",
        {"karafka.j2": path},
        application=settings.application,
        deploy_to=root,
        logs=logs,
        user=user,
        group=group,
        size=SIZE,
        count=COUNT,
    )
