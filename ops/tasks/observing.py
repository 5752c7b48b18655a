"""What `inv status` looks at: this host's processes by their agent's own functions, their groups from here."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ops.core import envfile
from ops.core.brokers import REFUSED_SECONDS, Brokers
from ops.core.cluster import Group
from ops.core.dead_letters import letter_topics
from ops.core.protocol import Request, Response, Verb
from ops.core.records import replace
from ops.core.sight import HostReport
from ops.core.survey import Surveyor
from ops.fleet.plan import keeping_of, process_specs, roster_of
from ops.fleet.survey import host_report
from ops.node.agent import carry_out
from ops.tasks.project import Place

if TYPE_CHECKING:
    from ops.kafka.connection import Cluster

_BROKER_SECONDS = 5.0


class HostLook:
    """Looks at this host's processes, and at their groups where they are known.

    Attributes
    ----------
    response : of the last look at the processes.
    surveyor : looks.
    """

    def __init__(self, place: Place) -> None:
        self.response = Response(())
        self.surveyor = Surveyor(self._processes, self._clusters)
        self._place = place
        self._cluster: Cluster | None = None

    def close(self) -> None:
        """End the connection to the cluster, if there is one."""
        if self._cluster is not None:
            self._cluster.close()

    def _processes(self) -> list[HostReport]:
        place, settings = self._place, self._place.settings
        roster = roster_of(settings, (spec.name for spec in place.all_specs))
        keeping = keeping_of(settings)
        request = Request(Verb.STATUS, place.host, place.specs, shared=place.shared, roster=roster, keeping=keeping)
        self.response = carry_out(request, lambda _event: None)
        reports, current = self.response.processes, self.response.current
        own = host_report(
            settings,
            place.host,
            place.all_specs,
            reports,
            current,
            reachable=not self.response.error,
            others=self.response.others,
            addresses=self.response.addresses,
        )
        return [own, *silent_hosts(place)]

    def _clusters(self, names: tuple[str, ...]) -> tuple[Sequence[Group], Mapping[str, int | None]]:
        """Ask the cluster as this host's processes would; not before groups are known, for it costs an import.

        Raises
        ------
        OpsError : it cannot be asked.
        """
        from ops.kafka.connection import Cluster
        from ops.kafka.groups import observe
        from ops.kafka.letters import count_letters

        if self._cluster is None:
            logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what matters is in the answer
            self._cluster = Cluster(self._brokers(), _BROKER_SECONDS, refused_seconds=REFUSED_SECONDS)
        found = observe(self._cluster, names)
        return found, count_letters(self._cluster, letter_topics(self.response.processes))

    def _brokers(self) -> Brokers:
        spec = self._place.specs[0]
        secrets = envfile.read(Path(spec.env_file)) if spec.env_file else {}
        return Brokers.from_environment({**os.environ, **spec.env, **secrets})


def silent_hosts(place: Place) -> list[HostReport]:
    """Return the hosts beside this one, which are not asked: their members are this application's, too."""
    reports = []
    for settings in place.stages:
        own = settings is place.settings
        for one in settings.hosts:
            if own and one.host == place.host:
                continue
            report = host_report(settings, one.host, process_specs(settings, one), (), "", reachable=False)
            # Beside a checkout, stages may name hosts alike, or as the checkout is named
            reports.append(report if own else replace(report, host=f"{settings.stage} {one.host}"))
    return reports
