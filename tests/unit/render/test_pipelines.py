"""The pipelines that are written for a project: by their platforms' schemas, by actionlint where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from ops.render.pipelines import pipeline_file
from ops.render.templates import folder

SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
STAGES = ["production", "staging", "canary-1"]
WHEEL = ".karafka/tool/karafka_ops-1.2.3-py3-none-any.whl"
VALUES: dict[str, Any] = {
    "application": "sources",
    "branch": "release/1.x",
    "stages": STAGES,
    "default": "production",
    "tool": WHEEL,
    "version": "1.2.3",
}


def parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


def made(kind: str, stages: list[str] = STAGES, default: str = "production") -> dict[str, Any]:
    return parsed(pipeline_file(kind, **VALUES | {"stages": stages, "default": default}).text)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_pipeline_is_what_its_platforms_schema_says(kind: str) -> None:
    # Given the template, which is YAML itself, and a pipeline that is made of it
    assert parsed((folder() / "ci" / f"{kind}-deploy.yml").read_text())
    # Then the platform's schema has nothing against it
    schema = get_builtin_schema(SCHEMAS[kind])
    assert [one.message for one in Draft7Validator(schema).iter_errors(made(kind))] == []


def test_actionlint_has_nothing_against_githubs_where_it_is_installed(tmp_path: Path) -> None:
    # Given a pipeline in its place
    record = pipeline_file("github", **VALUES)
    path = tmp_path / record.path
    path.parent.mkdir(parents=True)
    path.write_text(record.text)
    # When actionlint looks at it; the schema above is the check that is always made
    found = shutil.which("actionlint", path=f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}")
    if found is not None:
        done = subprocess.run([found, str(path)], capture_output=True, text=True, timeout=60, check=False)
        # Then it finds nothing
        assert (done.returncode, done.stdout) == (0, "")


def test_githubs_jobs_deploy_one_after_the_other_and_never_twice_at_once() -> None:
    # When a project has three stages
    pipeline = made("github")
    jobs = pipeline["jobs"]
    # Then each has a job, production's comes after the others, and its environment holds it up for approval
    assert list(jobs) == ["build", "deploy-staging", "deploy-canary-1", "deploy-production"]
    assert jobs["deploy-staging"]["needs"] == ["build"]
    assert jobs["deploy-production"]["needs"] == ["build", "deploy-staging", "deploy-canary-1"]
    assert jobs["deploy-production"]["environment"] == "production"
    groups = [job["concurrency"] for name, job in jobs.items() if name != "build"]
    assert len({one["group"] for one in groups}) == 3
    assert not any(one["cancel-in-progress"] for one in groups)
    # And it may only read, takes secrets as environment alone, and puts nothing of others' into a script
    assert pipeline["permissions"] == {"contents": "read"}
    assert pipeline["on"]["push"] == {"branches": ["release/1.x"]}
    for step in (step for job in jobs.values() for step in job["steps"]):
        assert "${{" not in step.get("run", "")
        expressions = re.findall(r"\$\{\{ (.*?) \}\}", str(step))
        assert all(re.fullmatch(r"secrets\.DEPLOY_\w+", one) for one in expressions)
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))


def test_gitlabs_jobs_wait_for_each_other_and_production_for_a_person() -> None:
    # When a project has three stages
    pipeline = made("gitlab")
    # Then each has a job with a lock of its own, which nothing interrupts
    jobs = {name: one for name, one in pipeline.items() if name.startswith("deploy-")}
    assert list(jobs) == ["deploy-staging", "deploy-canary-1", "deploy-production"]
    assert len({one["resource_group"] for one in jobs.values()}) == 3
    assert pipeline[".deploy"]["interruptible"] is False
    # And production's is started by hand, after the others
    assert [one["rules"][0]["when"] for one in jobs.values()] == ["on_success", "on_success", "manual"]
    assert jobs["deploy-production"]["needs"] == ["build", "deploy-staging", "deploy-canary-1"]


def test_where_no_stage_is_production_the_default_one_waits() -> None:
    # When the stages have other names
    jobs = made("gitlab", ["live", "trial"], default="live")
    # Then the default one is the last, and by hand
    assert jobs["deploy-live"]["rules"][0]["when"] == "manual"
    assert jobs["deploy-live"]["needs"] == ["build", "deploy-trial"]
