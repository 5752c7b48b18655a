"""Plans about what keeps the processes: the look at hosts before an install, the install itself, start at boot."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ops.core.installation import FactsCall, InstallCall
from ops.core.protocol import Verb
from ops.core.records import replace
from ops.core.settings import Host, Settings
from ops.fleet.inventory import Place
from ops.fleet.plan import HostAction, Plan, deploy_to, make_plan


def facts_plan(settings: Settings, places: tuple[Place, ...], paths: Callable[[Host], tuple[str, ...]]) -> Plan:
    """Plan a look at hosts.

    Parameters
    ----------
    paths : gives the files of a host whose text is wanted; `~/` is the home of whoever the agent works as.
    """
    hosts = {place.host.host: place.host for place in places}

    def change(action: HostAction) -> HostAction:
        host = hosts[action.target.name]
        call = FactsCall(deploy_to(settings, host), paths(host), settings.supervisor.conf_d or "")
        return replace(action, request=replace(action.request, facts=call))

    return make_plan(settings, places, Verb.FACTS).changed(change)


def install_plan(settings: Settings, places: tuple[Place, ...], calls: Mapping[str, InstallCall]) -> Plan:
    """Plan the install of the hosts that have a call; the others are left alone."""
    chosen = tuple(place for place in places if place.host.host in calls)

    def change(action: HostAction) -> HostAction:
        return replace(action, request=replace(action.request, install=calls[action.target.name]))

    return make_plan(settings, chosen, Verb.INSTALL).changed(change)
