"""The flow: which topics lead to which, read from declarations alone.

Several apps join in one picture: what one sends, another reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

from ops.consumer.app import App
from ops.core.amounts import counted

_WIDTH = 25  # Karafka's own


@dataclass(frozen=True)
class Emission:
    """One topic that a route may send to."""

    topic: str
    required: bool
    multiple_usage: bool

    @property
    def label(self) -> str:
        """Say when and how often."""
        when = "always" if self.required else "conditionally"
        return f"({when}, {'one or more' if self.multiple_usage else 'exactly once'})"


@dataclass(frozen=True)
class Step:
    """One route: a topic and what it leads to, in the responder's order."""

    app: str
    topic: str
    controller: str
    group: str
    emissions: tuple[Emission, ...]


def flow_of(apps: Iterable[App]) -> tuple[Step, ...]:
    """Read the flow of apps, ordered by topic, then app; names are the cluster's."""
    steps = []
    for app in apps:
        for route in app.routes:
            declarations = route.responder.table.values() if route.responder else ()
            emissions = tuple(
                Emission(app.mapper.outgoing(item.name), item.required, item.multiple_usage) for item in declarations
            )
            steps.append(Step(app.name, route.source, route.controller.__name__, route.group, emissions))
    return tuple(sorted(steps, key=lambda step: (step.topic, step.app)))


def as_text(steps: Iterable[Step]) -> str:
    """Show it as lines; labels are padded to 25 characters, all of them wider where a longer one needs it."""
    steps = tuple(steps)
    labels = [f"  - {emission.topic}:" for step in steps for emission in step.emissions]
    width = max([_WIDTH, *map(len, labels)])
    lines = []
    for step in steps:
        lines.append(f"{step.topic} =>" if step.emissions else f"{step.topic} => (nothing)")
        lines += [f"{f'  - {emission.topic}:':<{width}} {emission.label}" for emission in step.emissions]
    return "\n".join(lines)


def as_json(steps: Iterable[Step]) -> str:
    """Show it as JSON: a list of routes with what they send."""
    return json.dumps([asdict(step) for step in steps], indent=2)


def as_mermaid(steps: Iterable[Step]) -> str:
    """Show it as a Mermaid flowchart: solid arrows always, dotted ones conditionally, `+` for one or more."""
    steps = tuple(steps)
    ids = _ids(steps)
    lines = ["flowchart LR", *(f'  {node}["{topic}"]' for topic, node in ids.items())]
    for step in steps:
        for emission in step.emissions:
            arrow = "-->" if emission.required else "-.->"
            text = f"|{step.app}{' +' if emission.multiple_usage else ''}|"
            lines.append(f"  {ids[step.topic]} {arrow}{text} {ids[emission.topic]}")
    return "\n".join(lines)


def as_dot(steps: Iterable[Step]) -> str:
    """Show it in Graphviz's language: solid edges always, dashed ones conditionally, `+` for one or more."""
    steps = tuple(steps)
    ids = _ids(steps)
    lines = ["digraph flow {", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f'  {node} [label="{topic}"];' for topic, node in ids.items()]
    for step in steps:
        for emission in step.emissions:
            style = "solid" if emission.required else "dashed"
            label = f"{step.app}{' +' if emission.multiple_usage else ''}"
            lines.append(f'  {ids[step.topic]} -> {ids[emission.topic]} [style={style}, label="{label}"];')
    return "\n".join([*lines, "}"])


def _ids(steps: Iterable[Step]) -> dict[str, str]:
    """Give each topic a node id, in the order they come up."""
    names = [name for step in steps for name in (step.topic, *(item.topic for item in step.emissions))]
    return {name: f"t{number}" for number, name in enumerate(dict.fromkeys(names))}


FORMATS: Mapping[str, Callable[[Iterable[Step]], str]] = {
    "text": as_text,
    "json": as_json,
    "mermaid": as_mermaid,
    "dot": as_dot,
}


def check(
    steps: Iterable[Step], partitions: Mapping[str, int | None], processes: Mapping[str, int] | None = None
) -> list[str]:
    """Compare the flow with a cluster; give the problems, ordered and without repetition.

    Parameters
    ----------
    partitions : by topic how many it has; None, or no entry, for a topic that does not exist.
    processes : by consumer group how many processes run it.
    """
    problems: dict[str, None] = {}
    for step in steps:
        count = partitions.get(step.topic)
        wanted = (processes or {}).get(step.group, 0)
        if count is None:
            problems[f"topic {step.topic} does not exist (read by {step.app}, {step.controller})"] = None
        elif count < wanted:
            problems[
                f"topic {step.topic} has {counted(count, 'partition')} for {wanted} processes of group {step.group}: "
                f"{wanted - count} would idle"
            ] = None
        for emission in step.emissions:
            if partitions.get(emission.topic) is None:
                problems[f"topic {emission.topic} does not exist (sent to by {step.app}, {step.controller})"] = None
    return sorted(problems)
