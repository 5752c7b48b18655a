"""`fab`: the fleet. A user's whole fabfile is `from ops.fleet.tasks import namespace as ns`.

`ns.configure({...})` sets what the files do not. Beside tasks of their own, users take the collections `karafka`,
`deploy` and `ci`, and the stages come by themselves; `from ops.fleet import on_hosts` gives such tasks the hosts.
`before` and `after` make hooks of a deploy: `@before("deploy:publishing")`.

A composition root: task bodies may import anything, the modules themselves Invoke alone, so that `fab --list` starts
fast.
"""

from __future__ import annotations

from invoke.collection import Collection

from ops.fleet.deploy import hooks
from ops.fleet.tasks import (
    changes,
    deploying,
    doctor,
    executing,
    host_setup,
    installing,
    lag,
    logs,
    looks,
    migrating,
    pipelines,
    rollouts,
    settings,
)
from ops.fleet.tasks.stages import add_stages
from ops.shell.door import exits_named

before, after = exits_named(hooks.before), exits_named(hooks.after)

karafka = Collection("karafka")
for _module in (looks, logs, executing, lag, changes, rollouts, settings, host_setup, installing, migrating, doctor):
    for _name, _task in Collection.from_module(_module).tasks.items():
        karafka.add_task(_task, _name)

deploy = Collection("deploy")
for _name in ("deploy", "rollback", "check", "releases", "cleanup", "unlock"):
    deploy.add_task(vars(deploying)[_name], _name, default=_name == "deploy")

ci = Collection("ci")
ci.add_task(pipelines.init, "init")

namespace = Collection()
namespace.add_collection(karafka)
namespace.add_collection(deploy)
namespace.add_collection(ci)
add_stages(namespace)

__all__ = ["add_stages", "after", "before", "ci", "deploy", "karafka", "namespace"]
