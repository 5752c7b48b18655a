"""What an install has put on this host, by its own record: `shared/units/installed.json`.

What it names is removed by whoever installs. So root keeps it where nobody else writes, if the application's folder
belongs to somebody else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core import privileges
from ops.core.errors import OpsError
from ops.core.installation import HostFile
from ops.core.ownership import roots_folder
from ops.core.regular import content_of

if TYPE_CHECKING:
    from ops.node.placing import Places

Files = dict[str, str]
"""Path -> digest of the text that was put there."""


def path_of(shared: str) -> Path:
    """Give the record's own path."""
    if privileges.can_be_root():
        return Path(roots_folder(str(Path(shared).parent))) / "installed.json"
    return Path(shared) / "units" / "installed.json"


def read(shared: str) -> dict[str, Files]:
    """Read it: kind of manager -> its files. A missing or damaged one is empty: then nothing is taken for ours."""
    try:
        data: Any = json.loads(content_of(path_of(shared)))
        return {
            str(kind): {str(path): str(each) for path, each in files.items()} for kind, files in data.items() if files
        }
    except (FileNotFoundError, ValueError, AttributeError, RecursionError):
        return {}
    except OSError as error:
        raise OpsError(f"cannot be read: {error.strerror}", where=str(path_of(shared))) from error


def write(shared: str, kind: str, files: Files, places: Places) -> None:
    """Note what is there now for one kind of manager.

    Raises
    ------
    OpsError : it cannot be written.
    """
    whole = {**read(shared), kind: files}
    text = json.dumps({name: some for name, some in whole.items() if some}, indent=1) + "\n"
    places.put(HostFile(str(path_of(shared)), text))
