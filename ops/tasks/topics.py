"""`inv topics.plan|apply`: the topics that the app and the settings name, held against the cluster, and made."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from ops.core.amounts import counted
from ops.core.guarded import print_json
from ops.core.plain import cell
from ops.shell.door import command

if TYPE_CHECKING:
    from ops.core.section_topics import Topic
    from ops.core.topic_plan import Action, NewTopics, TopicChange, WantedTopic
    from ops.kafka.connection import Cluster

_HELP = {"app": "module:attribute of an app; default: KARAFKA_APP, the setting `app`", "json": "print JSON"}
_SEEN_SECONDS = 10.0  # until every broker knows of a topic that was made


@command(help=_HELP)
def plan(context: Context, app: str = "", json: bool = False) -> int:
    """Show which topics are missing or different, and what apply would do; exit 1 where there is anything."""
    return _show_plan(context, app, as_json=json)


@command(
    help={
        **_HELP,
        "add-partitions": "give topics that have too few more of them: most keys go to other partitions from then on",
        "dry-run": "print the plan, do nothing",
    }
)
def apply(
    context: Context, app: str = "", add_partitions: bool = False, dry_run: bool = False, json: bool = False
) -> int:
    """Make the topics that are missing; never deletes one, never takes partitions from one."""
    from ops.core.topic_plan import Action
    from ops.kafka import topic_changes
    from ops.tasks.project import know_brokers

    if dry_run:
        return _show_plan(context, app, as_json=json)
    wanted, new = _wanted(context, app)
    know_brokers(context, takes_part=True)
    with _cluster() as cluster:
        changes, troubles = _look(cluster, wanted, new)
        doable = {Action.CREATE} | ({Action.ADD_PARTITIONS} if add_partitions else set())
        chosen = [one for one in changes if one.action in doable]
        creations = [one for one in chosen if one.action is Action.CREATE]
        troubles |= topic_changes.create(cluster, creations)
        troubles |= topic_changes.add_partitions(cluster, [one for one in chosen if one not in creations])
        done = [one for one in chosen if one.topic not in troubles]
        left = _settled(cluster, wanted, new, {(one.topic, one.action) for one in done}) if done else changes
    left = tuple(one for one in left if one.topic not in troubles)
    if json:
        print_json(_data(left, troubles, len(wanted)) | {"done": [_record(one) for one in done]})
    else:
        for one in done:
            print(f"done: {_line(one)}")
        _print(left, troubles, len(wanted), hint="inv topics.apply --add-partitions")
    return 1 if left or troubles else 0


def _show_plan(context: Context, app: str, *, as_json: bool) -> int:
    from ops.core.topic_plan import Action
    from ops.kafka import topic_changes
    from ops.tasks.project import know_brokers

    wanted, new = _wanted(context, app)
    know_brokers(context)
    with _cluster() as cluster:
        changes, troubles = _look(cluster, wanted, new)
        troubles |= topic_changes.create(
            cluster, [one for one in changes if one.action is Action.CREATE], only_try=True
        )
        troubles |= topic_changes.add_partitions(
            cluster, [one for one in changes if one.action is Action.ADD_PARTITIONS], only_try=True
        )
    changes = tuple(one for one in changes if one.topic not in troubles)
    if as_json:
        print_json(_data(changes, troubles, len(wanted)))
    else:
        _print(changes, troubles, len(wanted), hint="inv topics.apply; more partitions by --add-partitions alone")
    return 1 if changes or troubles else 0


def _wanted(context: Context, app: str) -> tuple[tuple[WantedTopic, ...], NewTopics]:
    """Return what the app and the settings want.

    Raises
    ------
    UsageError : neither names a topic.
    SettingsError : they contradict each other.
    """
    from ops.consumer.app import load_app
    from ops.consumer.topics import needs_of
    from ops.core.errors import SettingsError, UsageError
    from ops.core.section_topics import Topics
    from ops.core.topic_plan import CLUSTERS, NewTopics, WantedTopic
    from ops.tasks.project import settings_here

    settings = settings_here(context)
    topics = settings.kafka.topics if settings is not None else Topics()
    reference = app or os.environ.get("KARAFKA_APP") or (settings.app if settings is not None else None)
    if not reference and not topics.named:
        raise UsageError(
            "neither an app nor the settings name a topic",
            where="karafka.app, karafka.kafka.topics.named",
            hint="set one of them, or give --app module:attribute",
        )
    needs = {one.name: one for one in (needs_of(load_app(reference).routes) if reference else ())}
    named: dict[str, Topic] = {one.topic: one for one in topics.named}
    found = []
    for name in {**needs, **named}:
        need, own = needs.get(name), named.get(name)
        least, partitions = need.partitions if need else None, own.partitions if own else None
        if least and partitions and partitions < least:
            what = f"{partitions} partitions for {name!r}, and the app uses {least}"
            raise SettingsError(what, where="karafka.kafka.topics.named", hint="correct one of the two")
        found.append(
            WantedTopic(
                name,
                need.why if need else "named by the settings",
                partitions or least,
                own.replication if own else None,
                _config(own.config if own else {}),
            )
        )
    new = NewTopics(topics.partitions or CLUSTERS, topics.replication or CLUSTERS, _config(topics.config))
    return tuple(found), new


def _config(values: Mapping[str, Any]) -> dict[str, str]:
    """Return config values as Kafka has them."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


def _cluster() -> Cluster:
    from ops.core.brokers import Brokers
    from ops.kafka.connection import Cluster

    return Cluster(Brokers.from_environment(os.environ))


def _look(
    cluster: Cluster, wanted: tuple[WantedTopic, ...], new: NewTopics
) -> tuple[tuple[TopicChange, ...], dict[str, str]]:
    """Return the differences, and why some topics cannot be looked at."""
    from ops.core.topic_plan import compare
    from ops.kafka.topic_changes import look

    found, troubles = look(cluster, {one.topic: tuple(one.config) for one in wanted})
    return compare([one for one in wanted if one.topic not in troubles], new, found), troubles


def _settled(
    cluster: Cluster, wanted: tuple[WantedTopic, ...], new: NewTopics, done: set[tuple[str, Action]]
) -> tuple[TopicChange, ...]:
    """Look again until the cluster has what was done; of a topic that somebody else has made, differences stay."""
    from ops.core.deadline import Deadline

    left: tuple[TopicChange, ...] = ()

    def settled() -> bool:
        nonlocal left
        left = _look(cluster, wanted, new)[0]
        return not any((one.topic, one.action) in done for one in left)

    Deadline(_SEEN_SECONDS).poll(settled, every=0.25)
    return left


def _print(changes: tuple[TopicChange, ...], troubles: Mapping[str, str], count: int, *, hint: str) -> None:
    from ops.core.topic_plan import Action

    for one in changes:
        print(_line(one))
    for name, why in sorted(troubles.items()):
        print(cell(f"refused: {name}: {why}"), file=sys.stderr)
    if not changes and not troubles:
        print(f"{counted(count, 'topic is', 'topics are')} there as asked for")
    elif any(one.action is not Action.DIFFERS for one in changes):
        print(f"next: {hint}", file=sys.stderr)


def _line(one: TopicChange) -> str:
    from ops.core.topic_plan import Action

    left = "; nothing here changes that" if one.action is Action.DIFFERS else ""
    return cell(f"{one.action}: {one.topic}: {one.text}{left} ({one.why})")


def _data(changes: tuple[TopicChange, ...], troubles: Mapping[str, str], count: int) -> dict[str, Any]:
    return {"topics": count, "changes": [_record(one) for one in changes], "refused": dict(troubles)}


def _record(one: TopicChange) -> dict[str, Any]:
    """Return a change as JSON data; partitions and replication are null where the cluster says them."""
    from ops.core.topic_plan import CLUSTERS

    numbers = {"partitions": one.partitions, "replication": one.replication}
    return {
        "topic": one.topic, "action": str(one.action), "why": one.why, "text": one.text, "config": dict(one.config),
        **{name: None if value == CLUSTERS else value for name, value in numbers.items()},
    }  # fmt: skip
