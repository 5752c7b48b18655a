"""Which commit is deployed: what no single host may decide for all others."""

from __future__ import annotations

from ops.core.errors import OpsError
from ops.core.release import COMMIT, DeployAction
from ops.core.telling import HostFact
from ops.fleet.deploy.fleet import TRANSFER_SECONDS, Fleet


def resolve(fleet: Fleet, branch: str, *, look_only: bool = False) -> str:
    """Ask which commit a branch, tag or commit is: two hosts, so that none can make others deploy what it likes.

    Parameters
    ----------
    look_only : whether nothing is fetched, so that a commit may be unknown to the hosts: nothing is given then.

    Raises
    ------
    OpsError : they say different things, twice; a single push in between changes one answer.
    StepFailedError : one cannot say, or cannot be asked.
    """
    asked, source = fleet.only(fleet.names[:2]), fleet.settings.repo_url or ""
    said: dict[str, str] = {}
    for _ in range(2):
        found = asked.ask(DeployAction.RESOLVE, seconds=TRANSFER_SECONDS, source=source, branch=branch)
        said = {host: answer.revision for host, answer in found.items()}
        commits = set(said.values())
        if look_only and commits == {""}:
            text = f"{branch} is no branch or tag; a deploy looks for a commit"
            fleet.narrator.tell(HostFact(next(iter(said)), "revision", text))
            return ""
        if len(commits) == 1 and COMMIT.fullmatch(commit := commits.pop()):
            if COMMIT.fullmatch(branch) and commit != branch:
                break
            fleet.narrator.tell(HostFact(next(iter(said)), "revision", f"{branch} is {commit}"))
            return commit
    what = ", ".join(f"{host} says {commit or 'nothing'}" for host, commit in said.items())
    hint = "--branch with the whole commit leaves them no choice"
    raise OpsError(f"the hosts do not agree on which commit {branch} is: {what}", hint=hint)
