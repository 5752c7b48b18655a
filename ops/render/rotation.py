"""The rule by which logrotate turns an application's log files over; the journal needs none."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ops.core.errors import SettingsError
from ops.core.keeping import Keeping
from ops.core.settings import Host, Settings
from ops.render.templates import FileRecord, render

SIZE, COUNT = "100M", 7
_SPECIAL = re.compile(r"[\s\"'{}*?\[\]#\\]")


def rotation_files(settings: Settings, host: Host, *, user: str, group: str) -> tuple[FileRecord, ...]:
    """Give the rule of one host.

    Parameters
    ----------
    user, group : whose the logs are; logrotate works as them (`su`), for it may not trust a folder of theirs as root.

    Raises
    ------
    SettingsError : the path of the logs has characters in it that logrotate takes for others.
    """
    root = host.deploy_to or settings.deploy_to
    if _SPECIAL.search(root):
        raise SettingsError(f"logrotate cannot read this path: {root!r}", where="karafka.deploy_to")
    path = str(PurePosixPath(settings.logrotate_d) / Keeping(application=settings.application).rule)
    return render(
        "logrotate",
        {"karafka.j2": path},
        application=settings.application,
        deploy_to=root,
        user=user,
        group=group,
        size=SIZE,
        count=COUNT,
    )
