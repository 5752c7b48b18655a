"""Pipelines that deploy, from the settings: a job a stage, that of production after the others, once approved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ops.render.templates import FileRecord, render

PLACES = {"github": ".github/workflows/deploy.yml", "gitlab": ".gitlab-ci.yml"}
_PRODUCTION = "production"


def pipeline_file(
    kind: str, *, application: str, branch: str, stages: Sequence[str], default: str, version: str
) -> FileRecord:
    """Give the file of a pipeline, at its place below the project's folder.

    Parameters
    ----------
    kind : `github` or `gitlab`.
    branch : whose pushes are deployed.
    default : the stage that waits for an approval where none is named production.
    version : of this tool, which the pipeline installs.
    """
    approved = _PRODUCTION if _PRODUCTION in stages else default
    before = [name for name in stages if name != approved]
    jobs = [
        {
            "name": name,
            "approved": name == approved,
            "needs": ", ".join(("build", *(f"deploy-{one}" for one in before if name == approved))),
        }
        for name in (*before, approved)
    ]
    values: dict[str, Any] = {"application": application, "branch": branch, "version": version}
    record = render("ci", {f"{kind}-deploy.yml": PLACES[kind]}, approved=approved, stages=jobs, **values)[0]
    return replace(record, text=f"{record.text.rstrip()}\n")
