"""`fab ci.init`: the pipeline that deploys this project, written from its settings."""

from __future__ import annotations

from invoke.context import Context

from ops.shell.door import command


@command(help={"kind": "github or gitlab", "force": "replace a file that is there"})
def init(context: Context, kind: str, force: bool = False) -> int:
    """Write the pipeline that builds an artifact and deploys it: `fab ci.init github`, or gitlab."""
    from pathlib import Path

    from ops import __version__
    from ops.core.errors import OpsError, UsageError
    from ops.fleet.tasks.project import load_settings, load_stage_names
    from ops.render.pipelines import PLACES, pipeline_file
    from ops.shell.early import project_folder

    if kind not in PLACES:
        raise UsageError(f"expected {' or '.join(PLACES)}, got {kind!r}", where="ci.init")
    settings = load_settings(context)
    record = pipeline_file(
        kind,
        application=settings.application,
        branch=settings.branch,
        stages=load_stage_names(context),
        default=settings.stage,
        version=__version__,
    )
    path = (project_folder(Path.cwd(), "fabfile") or Path.cwd()) / record.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x") as file:
            file.write(record.text)
    except FileExistsError:
        raise UsageError("it is there already", where=str(path), hint="--force replaces it") from None
    except OSError as error:
        raise OpsError(error.strerror or str(error), where=str(path)) from None
    print(f"wrote   {path}")
    print("next: the secrets that its first lines name")
    return 0
