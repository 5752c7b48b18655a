"""Pipelines that deploy, from the settings: a job a stage, that of production after the others, once approved."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from ops.core.errors import SettingsError
from ops.core.records import replace
from ops.core.settings import ToolIndex
from ops.core.tool import is_address
from ops.render.templates import FileRecord, render

PLACES = {"github": ".github/workflows/deploy.yml", "gitlab": ".gitlab-ci.yml"}
_PRODUCTION = "production"
_BRANCH = re.compile(r"[A-Za-z0-9._/@=-]+")  # git allows quotes, `$`, `{`; GitHub's branch filter is a pattern, too

_NO_JOB = re.compile(r"[^A-Za-z0-9_-]")  # GitHub's names of jobs have no dot


def pipeline_file(
    kind: str,
    *,
    application: str,
    branch: str,
    stages: Sequence[str],
    default: str,
    tool: str | ToolIndex,
    version: str,
) -> FileRecord:
    """Return the file of a pipeline, at its place below the project's folder.

    Parameters
    ----------
    kind : `github` or `gitlab`.
    branch : whose pushes are deployed.
    default : the stage that waits for an approval where none is named production.
    tool : what the pipeline installs, checked as a setting.
    version : of this tool, for an index.

    Raises
    ------
    SettingsError : the branch has a character that means something to YAML, a shell or a pipeline, or two stages would
        be one job.
    """
    if not _BRANCH.fullmatch(branch):
        what = f"expected letters, digits and ._/@=- for a pipeline, got {branch!r}"
        raise SettingsError(what, where="karafka.branch", hint="FABRIC_KARAFKA_BRANCH=main fab ci.init ...")
    approved = _PRODUCTION if _PRODUCTION in stages else default
    before = [name for name in stages if name != approved]
    jobs = {name: f"deploy-{_NO_JOB.sub('-', name)}" for name in (*before, approved)}
    if len(set(jobs.values())) < len(jobs):
        raise SettingsError(f"two of them would be one job: {', '.join(jobs)}", where="karafka.stages")
    rows = [
        {
            "name": name,
            "job": job,
            "approved": name == approved,
            "needs": ", ".join(("build", *(jobs[one] for one in before if name == approved))),
        }
        for name, job in jobs.items()
    ]
    install = "\n".join(install_commands(tool, version))
    values: dict[str, Any] = {"application": application, "branch": branch, "install": install}
    record = render("ci", {f"{kind}-deploy.yml": PLACES[kind]}, approved=approved, stages=rows, **values)[0]
    return replace(record, text=f"{record.text.rstrip()}\n")


def install_commands(tool: str | ToolIndex, version: str) -> tuple[str, ...]:
    """Return the shell's commands that install the tool.

    The tool's name is looked up in the index of the settings alone, and only the wheel with the right hash is taken.
    What that wheel needs comes from the runner's own index, in a step of its own: with a hash for one requirement, pip
    asks for the hashes of all.

    Parameters
    ----------
    tool : checked as a setting.
    version : of the wheel in an index.
    """
    if isinstance(tool, str):
        return (f"python -m pip install {shlex.quote(tool if is_address(tool) else f'./{tool}')}",)
    requirement = shlex.quote(f"karafka-ops=={version} --hash=sha256:{tool.sha256}")
    download = "python -m pip download --no-deps --require-hashes --only-binary :all:"
    return (
        'folder="$(mktemp -d)"',
        f"printf '%s\\n' {requirement} > \"$folder/tool.txt\"",
        f'{download} --index-url {shlex.quote(tool.index)} --dest "$folder" --requirement "$folder/tool.txt"',
        'python -m pip install "$folder"/*.whl',
    )
