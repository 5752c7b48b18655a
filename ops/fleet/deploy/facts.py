"""What a hook is told of the deploy that it belongs to: an object for functions, KARAFKA_* for executables."""

from __future__ import annotations

from dataclasses import dataclass

from ops.fleet.deploy.hooks import Hook
from ops.fleet.inherited_lease import VARIABLE as LEASE_VARIABLE


@dataclass(frozen=True)
class Facts:
    """One deploy or rollback, as far as it is known.

    Attributes
    ----------
    flow : `deploy` or `deploy.rollback`.
    stage : the stage of the settings, `production`.
    release, revision, branch : empty until they are known.
    previous : the release that `current` led to before.
    lease : what a command inherits the lease by.
    error : why it failed, for the hooks around `failed`.
    """

    application: str
    flow: str
    stage: str
    hosts: tuple[str, ...]
    performer: str
    lease: str
    release: str = ""
    revision: str = ""
    branch: str = ""
    previous: str = ""
    error: str = ""

    def variables(self, hook: Hook) -> dict[str, str]:
        """Give them as environment."""
        return {
            "KARAFKA_APPLICATION": self.application,
            "KARAFKA_FLOW": self.flow,
            "KARAFKA_HOOK": f"{hook.when}-{hook.stage}",
            "KARAFKA_STAGE": self.stage,
            "KARAFKA_HOSTS": ",".join(self.hosts),
            "KARAFKA_PERFORMER": self.performer,
            "KARAFKA_RELEASE": self.release,
            "KARAFKA_REVISION": self.revision,
            "KARAFKA_BRANCH": self.branch,
            "KARAFKA_PREVIOUS_RELEASE": self.previous,
            "KARAFKA_ERROR": self.error,
            LEASE_VARIABLE: self.lease,
        }
