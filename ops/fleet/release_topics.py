"""Releases that read other topics than the running one: what they read, and which slots have to leave the group."""

from __future__ import annotations

from collections.abc import Sequence

from ops.core.asking import Ask, Question
from ops.core.cluster import Group
from ops.core.errors import OpsError
from ops.core.gate import Terms
from ops.core.protocol import Verb
from ops.core.records import dataclass, replace
from ops.core.settings import Settings
from ops.core.subscriptions import SubscriptionChange, subscription_changes
from ops.fleet.conversation import ask
from ops.fleet.observer import Observer
from ops.fleet.plan import ANSWER_SECONDS, HostAction, Plan
from ops.fleet.transport import Transport

_DESCRIBE_SECONDS = 20.0 + 2.0  # an agent gives a release 20 s to say what it reads


@dataclass(frozen=True)
class ReleaseTopics:
    """What the release that is to be started reads.

    Attributes
    ----------
    topics : of each group; empty where nobody knows.
    """

    topics: dict[str, tuple[str, ...]]

    @classmethod
    def ask(cls, transport: Transport, plan: Plan) -> ReleaseTopics:
        """Ask the release itself, on the host whose turn is first.

        Raises
        ------
        OpsError : it did not say; where it cannot start, its restart will tell all of it.
        """
        first = plan.batches[0][0]
        request = replace(first.request, verb=Verb.DESCRIBE, processes=first.request.processes[:1])
        action = replace(first, request=request, deadline_seconds=ANSWER_SECONDS + _DESCRIBE_SECONDS)
        found = ask(transport, action, lambda _: None).described
        if found is None:
            raise OpsError("the release did not say what it reads", where=first.target.name)
        if not all(name.isprintable() for group, topics in found.items() for name in (group, *topics)):
            raise OpsError("the release names groups or topics that are no names", where=first.target.name)
        return cls({group: tuple(topics) for group, topics in found.items()})

    def expected(self, terms: Terms) -> Terms:
        """Give the terms with the topics that the groups are to have in the end."""
        return replace(terms, topics={group: self.topics[group] for group in terms.groups if group in self.topics})

    def changes(self, terms: Terms, groups: Sequence[Group], plan: Plan) -> tuple[SubscriptionChange, ...]:
        """Compare it with what the members of today subscribe to and own, in the order of the plan's takeovers."""
        living = {one.name: one for one in terms.processes}
        order = [living[name] for name in _names(plan) if name in living]
        return subscription_changes(self.topics, groups, order)


def missing_topics(settings: Settings, observer: Observer) -> tuple[str, ...]:
    """Return which topics of the settings are not on the cluster; none where it cannot be asked.

    What a foreign command reads is known by its members alone, once they are started: unless the settings name it.
    """
    names = tuple(one.topic for one in settings.kafka.topics.named)
    if not names:
        return ()
    try:
        found = observer.ask(Question(Ask.TOPICS, names, brokers=",".join(settings.kafka.brokers))).topics
    except OpsError:  # the preflight, which asks too, says so
        return ()
    return tuple(name for name in names if name in found and found[name] is None)


def leaving(plan: Plan, changes: Sequence[SubscriptionChange]) -> Plan:
    """Give the plan with those slots leaving their groups at their takeover that have to."""

    def change(action: HostAction) -> HostAction:
        specs = tuple(
            replace(spec, fresh_member_of=tuple(one.group for one in changes if _name(action, spec.name) in one.remove))
            for spec in action.request.processes
        )
        return replace(action, request=replace(action.request, processes=specs))

    return plan.changed(change)


def changing(changes: Sequence[SubscriptionChange]) -> dict[str, tuple[str, ...]]:
    """Give the topics, by group, of which nothing is expected until the last slot is through."""
    return {one.group: (*one.added, *one.removed) for one in changes}


def _names(plan: Plan) -> list[str]:
    return [_name(action, spec.name) for action in plan.actions for spec in action.request.processes]


def _name(action: HostAction, process: str) -> str:
    return f"{action.target.name} {process}"
