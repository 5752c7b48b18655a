"""The setting `tool`: what pipelines may install this tool from."""

from __future__ import annotations

from typing import Any

import pytest

from ops.core.errors import SettingsError
from ops.core.section import from_environment, load, override
from ops.core.settings import Settings, ToolIndex

HASH = "0123456789abcdef" * 4
NAME = "karafka_ops-1.2.3-py3-none-any.whl"


def loaded(tool: Any) -> Settings:
    section = {"application": "a", "deploy_to": "/srv/a", "command": "run", "tool": tool}
    return load({**section, "stages": {"production": {"hosts": [{"host": "web1"}]}}})


@pytest.mark.parametrize(
    "tool",
    [
        NAME,
        f"vendor/{NAME}",
        "vendor/..tools/karafka_ops-1.2.3+ours.4-1-py3-none-any.whl",
        f"https://files.example.com/{NAME}#sha256={HASH}",
        f"https://files.example.com:8443/a%2Bb/~ops/{NAME}#sha256={HASH}",
        {"index": "https://pypi.example.com/simple", "sha256": HASH},
        {"index": "https://pypi.example.com/api/v4/projects/7/packages/pypi/simple/", "sha256": HASH},
    ],
)
def test_a_path_a_url_or_an_index_with_its_hash_is_taken(tool: Any) -> None:
    # When the settings name a wheel in one of the three ways
    found = loaded(tool).tool
    # Then they have it as it was written
    assert found == (ToolIndex(**tool) if isinstance(tool, dict) else tool)


@pytest.mark.parametrize(
    ("tool", "key"),
    [
        ("karafka-ops", "tool"),  # a bare name
        ("karafka-ops==1.2.3", "tool"),
        ("karafka_ops-1.2.3.tar.gz", "tool"),
        (f"/opt/{NAME}", "tool"),
        (f"../{NAME}", "tool"),
        (f"vendor/../../{NAME}", "tool"),
        (f"./{NAME}", "tool"),
        (f"vendor//{NAME}", "tool"),
        (f"{NAME}\n", "tool"),
        (f"vendor/$(id)/{NAME}", "tool"),
        (f"a b/{NAME}", "tool"),
        ("karafka_ops-1.2.3-py3-none-any.whl[extra]", "tool"),
        (f"http://files.example.com/{NAME}#sha256={HASH}", "tool"),
        (f"file:///opt/{NAME}#sha256={HASH}", "tool"),
        (f"https://files.example.com/{NAME}", "tool"),  # without a hash
        (f"https://files.example.com/{NAME}#sha256={HASH[1:]}", "tool"),
        (f"https://files.example.com/{NAME}#sha256={HASH}\n", "tool"),
        (f"https://files.example.com/{NAME}#md5={HASH}", "tool"),
        (f"https://files.example.com/../{NAME}#sha256={HASH}", "tool"),
        ("https://files.example.com/karafka-ops.git#sha256=" + HASH, "tool"),
        ({"index": "http://pypi.example.com/simple/", "sha256": HASH}, "tool.index"),
        ({"index": "https://pypi.example.com/simple/\n", "sha256": HASH}, "tool.index"),
        ({"index": "https://pypi.example.com/simple/?a=b", "sha256": HASH}, "tool.index"),
        ({"index": "https://pypi.example.com/${{ secrets.A }}", "sha256": HASH}, "tool.index"),
        ({"index": "https://pypi.example.com/simple/", "sha256": HASH.upper()}, "tool.sha256"),
        ({"index": "https://pypi.example.com/simple/", "sha256": f"{HASH}\n"}, "tool.sha256"),
        ({"index": "https://pypi.example.com/simple/"}, "tool.sha256"),
        ({"sha256": HASH}, "tool.index"),
        ({"index": "https://pypi.example.com/", "sha256": HASH, "extra": 1}, "tool.extra"),
        (7, "tool"),
    ],
)
def test_anything_else_is_refused_at_its_key(tool: Any, key: str) -> None:
    # When the settings name the tool in another way
    with pytest.raises(SettingsError) as caught:
        loaded(tool)
    # Then they are refused there
    assert caught.value.where == f"karafka.{key}"


@pytest.mark.parametrize("word", ["s3cret", "s3/cr@et", "s3cr\net"])
def test_a_password_in_a_url_is_refused_and_not_repeated(word: str) -> None:
    for tool in (
        f"https://me:{word}@files.example.com/{NAME}#sha256={HASH}",
        {"index": f"https://me:{word}@pypi.example.com/simple/", "sha256": HASH},
    ):
        # When a URL has a password in it, which a pipeline would have in its text
        with pytest.raises(SettingsError) as caught:
            loaded(tool)
        # Then it is refused, and the error does not have it either
        assert "without a password" in str(caught.value)
        assert not any(part in str(caught.value) for part in (word, word[-2:] + "@"))


def test_the_tool_is_one_for_all_stages() -> None:
    # Given a stage with a tool of its own
    stages = {"production": {"hosts": [{"host": "web1"}], "tool": NAME}}
    section = {"application": "a", "deploy_to": "/srv/a", "command": "run", "stages": stages}
    # When the settings are read
    with pytest.raises(SettingsError) as caught:
        load(section)
    # Then it is refused: a pipeline installs one tool
    assert caught.value.where == "karafka.stages.production.tool"
    # And one that the environment names wins over the section's
    del stages["production"]["tool"]
    named = {**section, "tool": {"index": "https://pypi.example.com/", "sha256": HASH}}
    assert load(override(named, from_environment({"FABRIC_KARAFKA_TOOL": NAME}))).tool == NAME
