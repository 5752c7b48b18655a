"""The states a resource goes through when it is refreshed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from transitions import Machine

if TYPE_CHECKING:
    from transitions.core import TransitionConfigDict


class Stage(StrEnum):
    """Where a resource stands: nobody refreshes it, or somebody does."""

    INITIAL = "initial"
    RUNNING = "running"


# `run` from running takes over: Kafka has given the message to us, so whoever runs is gone or frozen. The run
# token (ops.reference.resources) keeps that one from writing if it should wake up.
_EVENTS: list[TransitionConfigDict] = [
    {"trigger": "run", "source": [Stage.INITIAL, Stage.RUNNING], "dest": Stage.RUNNING},
    {"trigger": "finish", "source": Stage.RUNNING, "dest": Stage.INITIAL},
]


class Lifecycle:
    """The state machine of one resource: events `run` and `finish`.

    An event that the present stage does not allow raises `transitions.MachineError`.

    Parameters
    ----------
    stage : where the resource stands now.
    """

    if TYPE_CHECKING:
        stage: Stage

        def run(self) -> bool:
            """Begin a refresh, or take one over."""

        def finish(self) -> bool:
            """End a refresh."""

    def __init__(self, stage: Stage) -> None:
        Machine(
            model=self,
            states=list(Stage),
            transitions=_EVENTS,
            initial=stage,
            auto_transitions=False,
            model_attribute="stage",
        )
