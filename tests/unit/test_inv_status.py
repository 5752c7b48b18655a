"""Whose members `inv status` takes for this application's own, and whose for strangers'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke.config import Config
from invoke.context import Context

from ops.core.cluster import CLASSIC, Group, Member
from ops.core.observation import observe
from ops.core.protocol import ProcessReport
from ops.core.states import State
from ops.fleet.survey import host_report
from ops.tasks.observing import silent_hosts
from ops.tasks.project import place

STAGES = {
    "production": {"hosts": [{"host": "web1"}, {"host": "localhost"}]},
    "development": {"hosts": [{"host": "web1"}, {"host": "dev1"}], "application": "shop-dev"},
}
OWN = ("shop.web1.karafka.0", "shop.localhost.karafka.1", "shop-dev.web1.karafka.1", "shop-dev.dev1.karafka.0")
KINDS: dict[str, dict[str, Any]] = {
    "an app": {"app": "shop.consumer:app", "command": "true", "env": {"KARAFKA_GROUPS": "orders"}},
    "a foreign command": {"command": "true", "kafka": {"groups": ["orders"]}},
}


def remarks(folder: Path, kind: str, *members: str) -> list[str]:
    """Return what is remarkable about members, by instance id or client id, where this host's processes are stopped."""
    section = {"application": "shop", "deploy_to": str(folder), "processes": 2, "stage": "production", "stages": STAGES}
    (folder / "fabric.yaml").write_text(yaml.safe_dump({"karafka": {**section, **KINDS[kind]}}))
    here = place(Context(Config(project_location=str(folder))))
    stopped = tuple(ProcessReport(spec.name, State.STOPPED, ended_seconds=900.0) for spec in here.all_specs)
    own = host_report(here.settings, here.host, here.all_specs, stopped, "", reachable=True)
    ids = [(name, name if kind == "an app" else None) for name in members]
    joined = tuple(Member(f"{name}-1", given, name, "10.0.0.9", ("in",), ()) for name, given in ids)
    seen = observe([own, *silent_hosts(here)], [Group("orders", CLASSIC, "Stable", members=joined)])
    assert [row.host for row in seen.rows] == [here.host] * 2, "only this host's processes have rows"
    return [one.text for one in seen.remarks]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KARAFKA_BROKERS", "KARAFKA_GROUPS", "KARAFKA_INSTANCE_ID", "FABRIC_KARAFKA_STAGE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_members_of_every_stages_hosts_are_no_strangers_to_a_checkout(folder: Path, kind: str) -> None:
    # Given a checkout on a machine that is none of the fleet, one of whose hosts is named as the checkout is
    # When the fleet's processes are in the group, then none of them is a stranger
    assert remarks(folder, kind, *OWN) == []


def test_who_is_of_no_host_of_the_settings_stays_a_stranger_to_a_checkout(folder: Path) -> None:
    # Given the fleet's processes, one more of a host that no stage has, and one of another application
    texts = remarks(folder, "an app", *OWN, "shop.web9.karafka.0", "billing.web1.karafka.0")
    # Then these two are named
    assert len(texts) == 2
    for text, name in zip(texts, ("shop.web9.karafka.0", "billing.web1.karafka.0"), strict=True):
        assert name in text
        assert "is no process of this application" in text


@pytest.mark.parametrize("stage", STAGES)
def test_a_host_that_is_set_up_knows_its_own_stages_members_alone(folder: Path, stage: str) -> None:
    # Given a host of a stage, whatever the stage is called
    (folder / "shared").mkdir()
    (folder / "shared/karafka-ops-host.json").write_text(json.dumps({"host": "web1", "stage": stage}))
    # When members of both stages are in its group, then those of the other one are strangers
    texts = remarks(folder, "an app", *OWN)
    strangers = [text for text in texts if "is no process of this application" in text]
    others = [one for one in OWN if one.startswith("shop.") == (stage == "development")]
    assert len(strangers) == 2
    assert all(name in text for name, text in zip(others, strangers, strict=True))
