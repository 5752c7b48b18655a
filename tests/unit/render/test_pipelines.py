"""The pipelines that are written for a project: by their platforms' schemas, and GitHub's by actionlint."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from msgspec.structs import asdict
from ruamel.yaml import YAML

from ops.core.errors import SettingsError
from ops.core.section import load
from ops.core.settings import ToolIndex
from ops.render.pipelines import install_commands, pipeline_file
from ops.render.templates import folder
from tests.labs.parts import ACTIONLINT, find, needs

HASH = "0123456789abcdef" * 4
TOOLS = [
    ".karafka/tool/karafka_ops-1.2.3-py3-none-any.whl",
    f"https://files.example.com/ops/karafka_ops-1.2.3-py3-none-any.whl#sha256={HASH}",
    ToolIndex(index="https://pypi.example.com/simple/", sha256=HASH),
]
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
STAGES = ["production", "staging", "canary-1.b"]
VALUES: dict[str, Any] = {
    "application": "sources",
    "branch": "release/1.x",
    "stages": STAGES,
    "default": "production",
    "tool": TOOLS[0],
    "version": "1.2.3",
}


def parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


def made(kind: str, **values: Any) -> dict[str, Any]:
    return parsed(pipeline_file(kind, **VALUES | values).text)


def install_step(kind: str, **values: Any) -> str:
    """Return the text of the step that installs the tool."""
    pipeline = made(kind, **values)
    if kind == "gitlab":
        (text,) = pipeline[".deploy"]["before_script"]
        return str(text)
    jobs = [job for name, job in pipeline["jobs"].items() if name != "build"]
    (text,) = {step["run"] for job in jobs for step in job["steps"] if step.get("name") == "Install the tool"}
    return str(text)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_pipeline_is_what_its_platforms_schema_says(kind: str, tool: str | ToolIndex) -> None:
    # Given the template, which is YAML itself, and a pipeline that is made of it
    assert parsed((folder() / "ci" / f"{kind}-deploy.yml").read_text())
    # Then the platform's schema has nothing against it
    schema = get_builtin_schema(SCHEMAS[kind])
    assert [one.message for one in Draft7Validator(schema).iter_errors(made(kind, tool=tool))] == []


@needs(ACTIONLINT)
@pytest.mark.parametrize("tool", TOOLS)
def test_actionlint_has_nothing_against_githubs(tmp_path: Path, tool: str | ToolIndex) -> None:
    # Given a pipeline in its place
    record = pipeline_file("github", **VALUES | {"tool": tool})
    path = tmp_path / record.path
    path.parent.mkdir(parents=True)
    path.write_text(record.text)
    # When actionlint looks at it
    actionlint = find("actionlint")
    assert actionlint is not None
    done = subprocess.run([actionlint, str(path)], capture_output=True, text=True, timeout=60, check=False)
    # Then it finds nothing
    assert (done.returncode, done.stdout) == (0, "")


def test_githubs_jobs_deploy_one_after_the_other_and_never_twice_at_once() -> None:
    # When a project has three stages
    pipeline = made("github")
    jobs = pipeline["jobs"]
    # Then each has a job, production's comes after the others, and its environment holds it up for approval
    assert list(jobs) == ["build", "deploy-staging", "deploy-canary-1-b", "deploy-production"]
    assert jobs["deploy-staging"]["needs"] == ["build"]
    assert jobs["deploy-production"]["needs"] == ["build", "deploy-staging", "deploy-canary-1-b"]
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
    assert list(jobs) == ["deploy-staging", "deploy-canary-1-b", "deploy-production"]
    assert len({one["resource_group"] for one in jobs.values()}) == 3
    assert pipeline[".deploy"]["interruptible"] is False
    # And production's is started by hand, after the others
    assert [one["rules"][0]["when"] for one in jobs.values()] == ["on_success", "on_success", "manual"]
    assert jobs["deploy-production"]["needs"] == ["build", "deploy-staging", "deploy-canary-1-b"]


def test_where_no_stage_is_production_the_default_one_waits() -> None:
    # When the stages have other names
    jobs = made("gitlab", stages=["live", "trial"], default="live")
    # Then the default one is the last, and by hand
    assert jobs["deploy-live"]["rules"][0]["when"] == "manual"
    assert jobs["deploy-live"]["needs"] == ["build", "deploy-trial"]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_tool_comes_from_what_is_named_and_never_by_its_bare_name(kind: str) -> None:
    # When a wheel is in the project, or at a URL
    for tool, place in ((TOOLS[0], f"./{TOOLS[0]}"), (TOOLS[1], TOOLS[1])):
        # Then pip gets that very place
        words = shlex.split(install_step(kind, tool=tool), comments=False)
        assert words == ["python", "-m", "pip", "install", place]
    # When it is in an index
    *_, download, install = install_step(kind, tool=TOOLS[2]).splitlines()
    # Then that index is asked, for the one wheel with the hash, and what was got is installed as a file
    assert "--no-deps --require-hashes --only-binary :all: --index-url https://pypi.example.com/simple/ " in download
    assert f"karafka-ops==1.2.3 --hash=sha256:{HASH}" in install_step(kind, tool=TOOLS[2])
    assert install == 'python -m pip install "$folder"/*.whl'


def test_two_stages_that_would_be_one_job_are_refused() -> None:
    # When the names of two stages differ in what no job's name has
    for kind in SCHEMAS:
        with pytest.raises(SettingsError) as caught:
            made(kind, stages=["a.b", "a-b"], default="a.b")
        # Then no pipeline is made that leaves one of them out
        assert caught.value.where == "karafka.stages"


@pytest.mark.parametrize("branch", ['a"b', "a$b", "${{x}}", "a'b", "a`b", "a\n", "re+x", "a!", "", "a#b", "ä"])
def test_a_branch_that_means_something_to_a_pipeline_is_refused(branch: str) -> None:
    # When a pipeline is to be made for a branch that git allows, and YAML, a shell or a filter reads otherwise
    for kind in SCHEMAS:
        with pytest.raises(SettingsError) as caught:
            made(kind, branch=branch)
        # Then it is refused at its key
        assert caught.value.where == "karafka.branch"


_HOSTILE = ["$(id)", "`id`", "${{ secrets.X }}", '"', "'", "\n", "\n- run: id", " #", ": ", ";id", "&&id", "\\", "../"]
_EXTRA = st.sampled_from(_HOSTILE) | st.text(max_size=3) | st.text("aZ09._+%~-/", max_size=3)


@given(st.sampled_from(TOOLS), st.sampled_from(["index", "sha256"]), st.floats(0, 1), _EXTRA)
def test_no_tool_that_the_settings_take_breaks_out_of_its_word(
    tool: str | ToolIndex, part: str, at: float, extra: str
) -> None:
    def changed(text: str) -> str:
        cut = round(at * len(text))
        return text[:cut] + extra + text[cut:]

    # Given a tool with something put into it somewhere
    raw: Any = changed(tool) if isinstance(tool, str) else {**asdict(tool), part: changed(getattr(tool, part))}
    section = {"application": "a", "deploy_to": "/a", "command": "a", "stages": {"a": {"hosts": [{"host": "a"}]}}}
    # When the settings take it
    try:
        taken = load({**section, "tool": raw}).tool
    except SettingsError:
        return
    # Then the commands are lines of plain text, which is all that ends a block of YAML, and have no expression
    assert taken is not None
    before, after = (install_commands(one, "1.2.3") for one in (tool, taken))
    assert all(command.isascii() and command.isprintable() and "${{" not in command for command in after)
    # And a shell finds the same words in them, but for the one that is the tool
    words, found = (shlex.split("\n".join(commands)) for commands in (before, after))
    swapped = dict(zip(_words(tool), _words(taken), strict=True))
    assert found == [swapped.get(word, word) for word in words]
    # And a path stays in the project
    assert ".." not in found[-1].split("/")


def _words(tool: str | ToolIndex) -> tuple[str, ...]:
    """Return the words of the commands that are the tool."""
    if isinstance(tool, str):
        return (tool if "://" in tool else f"./{tool}",)
    return (tool.index, f"karafka-ops==1.2.3 --hash=sha256:{tool.sha256}")
