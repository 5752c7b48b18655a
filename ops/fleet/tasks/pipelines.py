"""`fab ci.init`: the pipeline that deploys this project, written from its settings."""

from __future__ import annotations

from invoke.context import Context

from ops.shell.door import command


@command(help={"kind": "github or gitlab", "force": "replace a file that is there, and renew the project's wheel"})
def init(context: Context, kind: str, force: bool = False) -> int:
    """Write the pipeline that builds an artifact and deploys it: `fab ci.init github`, or gitlab."""
    from pathlib import Path

    from ops import __version__
    from ops.core.errors import OpsError, UsageError
    from ops.core.tool import is_address
    from ops.fleet.setup import carried
    from ops.fleet.tasks.project import load_settings, load_stage_names
    from ops.render.pipelines import PLACES, pipeline_file
    from ops.shell.early import project_folder

    if kind not in PLACES:
        raise UsageError(f"expected {' or '.join(PLACES)}, got {kind!r}", where="ci.init")
    settings = load_settings(context)
    project = project_folder(Path.cwd(), "fabfile") or Path.cwd()
    record = pipeline_file(
        kind,
        application=settings.application,
        branch=settings.branch,
        stages=load_stage_names(context),
        default=settings.stage,
        tool=settings.tool or carried.carried_path(),
        version=__version__,
    )
    path = project / record.path
    if path.exists() and not force:
        raise UsageError("it is there already", where=str(path), hint="--force replaces it")
    done = [("wrote", path)]
    if settings.tool is None:
        others = [project / place for place in PLACES.values() if place != record.path]
        done += carried.carry(project, renew=force, pipelines=others)
    elif isinstance(settings.tool, str) and not is_address(settings.tool):
        carried.require_in(project, settings.tool)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x") as file:
            file.write(record.text)
    except OSError as error:
        raise OpsError(error.strerror or str(error), where=str(path)) from None
    for word, changed in done:
        print(f"{word:<8}{changed}")
    print("next: commit what was written; the secrets that the pipeline's first lines name")
    return 0
