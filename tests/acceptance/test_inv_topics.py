"""`inv topics.plan|apply` as a user types them, on a real broker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.core.brokers import Brokers
from ops.core.topic_plan import Action, TopicChange
from ops.kafka import topic_changes
from ops.kafka.connection import Cluster
from ops.sandbox.shared import SharedKafka
from tests.labs import in_process

PROJECT = Path(__file__).parents[2]
APP = """
from ops.consumer import App, Controller, Responder, topic
from ops.jobs import JobsBackend

class OneResponder(Responder):
    topics = (topic("{name}-out"),)

class OneController(Controller):
    def perform(self):
        pass

app = App("{name}", backend=JobsBackend(partitions=2))
app.topic("{name}-in", controller=OneController, partitions=3)
"""


class Desk:
    """A project with an app of its own and `inv` in it."""

    def __init__(self, folder: Path, kafka: SharedKafka) -> None:
        self.folder = folder
        self.kafka = kafka
        self.name = kafka.unique("topics")
        shutil.copy(PROJECT / "tasks.py", folder)
        (folder / f"{self.name.replace('-', '_')}.py").write_text(APP.format(name=self.name))

    def settings(self, topics: dict[str, Any] | None = None, *, app: bool = True) -> None:
        """Write settings, with what is wanted of topics."""
        section: dict[str, Any] = {
            "application": "a", "deploy_to": "/nowhere/a", "command": "run", "kafka": {"topics": topics or {}},
            "stages": {"p": {"hosts": [{"host": "h1"}]}},
        }  # fmt: skip
        if app:
            section["app"] = f"{self.name.replace('-', '_')}:app"
        (self.folder / "fabric.yaml").write_text(yaml.safe_dump({"karafka": section}))

    def inv(self, *arguments: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("KARAFKA_")}
        brokers = {"KARAFKA_BROKERS": self.kafka.bootstrap}
        return in_process.inv(self.folder, *arguments, code=code, env=own | brokers | env)

    def found(self, *names: str) -> dict[str, Any]:
        """Return what the cluster has of topics."""
        with Cluster(Brokers.at(self.kafka.bootstrap)) as cluster:
            return dict(topic_changes.look(cluster, dict.fromkeys(names, ("retention.ms",)))[0])


@pytest.fixture
def desk(tmp_path: Path, kafka: SharedKafka) -> Desk:
    return Desk(tmp_path, kafka)


@pytest.mark.kafka
def test_apply_makes_what_the_app_and_the_settings_name_and_then_there_is_nothing_to_do(desk: Desk) -> None:
    # Given an app, settings for new topics, and one that only the settings name
    name, extra = desk.name, f"{desk.name}.extra"
    config = {"retention.ms": 60_000, "cleanup.policy": "delete, compact", "min.cleanable.dirty.ratio": 0.00001}
    named = [{"topic": extra, "partitions": 4, "config": config}]
    desk.settings({"partitions": 5, "named": named})
    # When it is planned, nothing is made
    told = json.loads(desk.inv("topics.plan", "--json", code=1).stdout)
    wanted = {f"{name}-in": 3, f"{name}-out": 5, f"{name}.jobs": 2, f"{name}.dead": 5, extra: 4}
    assert {one["topic"]: one["partitions"] for one in told["changes"]} == wanted
    assert {one["action"] for one in told["changes"]} == {"create"}
    assert told["refused"] == {}
    assert desk.inv("topics.apply", "--dry-run", code=1).stdout.count("create: ") == len(wanted)
    assert desk.found(*wanted) == {}
    # When it is applied
    assert desk.inv("topics.apply").stdout.count("done: create: ") == len(wanted)
    # Then all of it is there, and nothing is left to do
    found = desk.found(*wanted)
    assert {topic: one.partitions for topic, one in found.items()} == wanted
    assert found[extra].config == {"retention.ms": "60000"}
    assert "5 topics are there" in desk.inv("topics.plan").stdout
    assert json.loads(desk.inv("topics.apply", "--json").stdout) == {
        "topics": 5, "changes": [], "refused": {}, "done": [],
    }  # fmt: skip


@pytest.mark.kafka
def test_partitions_are_added_only_when_that_is_said_and_nothing_is_taken(desk: Desk) -> None:
    # Given topics with too few partitions, with more than enough, and with another config
    name = desk.name
    desk.kafka.create_topics({f"{name}-in": 1, f"{name}.jobs": 7, f"{name}-out": 1, f"{name}.dead": 1})
    desk.settings({"named": [{"topic": f"{name}-out", "replication": 2, "config": {"cleanup.policy": "compact"}}]})
    # When it is applied, it is said and left
    done = desk.inv("topics.apply", code=1)
    assert f"add partitions: {name}-in: 1 to 3; from then on most keys go to other partitions" in done.stdout
    assert f"differs: {name}-out: replication is 1, not 2; cleanup.policy is delete, not compact" in done.stdout
    assert "--add-partitions" in done.stderr
    assert desk.found(f"{name}-in")[f"{name}-in"].partitions == 1
    # When it is applied with that
    told = json.loads(desk.inv("topics.apply", "--add-partitions", "--json", code=1).stdout)
    # Then they are there, and what differs is left alone
    assert [one["action"] for one in told["done"]] == ["add partitions"]
    assert [(one["topic"], one["action"]) for one in told["changes"]] == [(f"{name}-out", "differs")]
    assert {one.partitions for one in desk.found(f"{name}-in").values()} == {3}
    assert {one.partitions for one in desk.found(f"{name}.jobs").values()} == {7}


@pytest.mark.kafka
def test_what_the_brokers_refuse_is_said_of_each_topic_and_keeps_no_other_from_being_made(desk: Desk) -> None:
    # Given a topic with more replicas than there are brokers, and one whose config is none
    good, wide, odd = (f"{desk.name}.{one}" for one in ("good", "wide", "odd"))
    named = [
        {"topic": good}, {"topic": wide, "replication": 3}, {"topic": odd, "config": {"retention.ms": "soon"}},
    ]  # fmt: skip
    desk.settings({"named": named}, app=False)
    # Then the plan says so already, and apply makes the other one
    for task in ("topics.plan", "topics.apply"):
        done = desk.inv(task, code=1)
        assert f"refused: {wide}: InvalidReplicationFactorError: " in done.stderr
        assert f"refused: {odd}: InvalidConfigurationError" in done.stderr
    assert [*desk.found(good, wide, odd)] == [good]


@pytest.mark.kafka
def test_a_topic_that_somebody_else_makes_meanwhile_is_compared(desk: Desk) -> None:
    # Given a topic that was missing when it was looked for, and is there by now
    name = f"{desk.name}.race"
    desk.kafka.create_topics({name: 1})
    change = TopicChange(name, Action.CREATE, "why", 2, 1)
    # When it is to be made
    with Cluster(Brokers.at(desk.kafka.bootstrap)) as cluster:
        # Then that is no error
        assert topic_changes.create(cluster, [change]) == {}
    assert desk.found(name)[name].partitions == 1


@pytest.mark.kafka
def test_what_cannot_be_meant_is_refused_before_a_broker_is_asked(tmp_path: Path, kafka: SharedKafka) -> None:
    desk = Desk(tmp_path, kafka)
    away = {"KARAFKA_BROKERS": "127.0.0.1:1"}
    # Given settings without an app and without topics
    desk.settings(app=False)
    assert "neither an app nor the settings name a topic" in desk.inv("topics.plan", code=2, **away).stderr
    # And fewer partitions than the app uses, a name twice, and one that is none
    desk.settings({"named": [{"topic": f"{desk.name}-in", "partitions": 1}]})
    assert "and the app uses 3" in desk.inv("topics.apply", code=2, **away).stderr
    for named, said in (([{"topic": "a"}, {"topic": "a"}], "stands there twice"), ([{"topic": ".."}], "is no name")):
        desk.settings({"named": named})
        assert said in desk.inv("topics.plan", "--app", "x:y", code=2, **away).stderr
        assert said in desk.inv("topics.apply", "--app", "x:y", code=2, **away).stderr
    # And a cluster that is the fleet's, from a machine that is none of its hosts
    desk.settings({"named": [{"topic": "a"}]}, app=False)
    text = (
        (desk.folder / "fabric.yaml").read_text().replace("topics:", "brokers: [kafka1.example.com:9092]\n    topics:")
    )
    (desk.folder / "fabric.yaml").write_text(text)
    refused = desk.inv("topics.apply", code=2, KARAFKA_BROKERS="")
    assert "this machine is none that fab karafka.setup has set up" in refused.stderr
