"""The app `sources`: keeps resources of remote systems up to date.

Repositories are created, described anew and deleted by events; `sources_refresh` fetches one from its
remote system. Several processes on several hosts share one database.

`app` does everything as the messages come; `background` is the same with refreshes as background jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.consumer import App, Controller, Responder, topic
from ops.jobs import JobsBackend
from ops.reference.message import details, marks, resource_id

if TYPE_CHECKING:
    from ops.reference.resources import Resources


class RepositoriesCreatedController(Controller):
    """Adds a resource."""

    def perform(self) -> None:
        """Write it, unless a later event already did; passes the event on."""
        self.respond_with(describe(_resources(), self.params))


class RepositoriesCreatedResponder(Responder):
    """Tells that a resource is kept."""

    topics = (topic("sources_created"),)

    def respond(self, source: dict[str, Any]) -> None:
        """Send it, keyed by its id."""
        self.respond_to("sources_created", source, key=source["id"])


class RepositoriesDeletedController(Controller):
    """Removes a resource."""

    def perform(self) -> None:
        """Delete it; one that is not there counts as deleted."""
        id = resource_id(self.params)
        _resources().remove(id)
        self.respond_with({"id": id, **marks(self.params)})


class RepositoriesDeletedResponder(Responder):
    """Tells that a resource is no longer kept."""

    topics = (topic("sources_deleted"),)

    def respond(self, source: dict[str, Any]) -> None:
        """Send it, keyed by its id."""
        self.respond_to("sources_deleted", source, key=source["id"])


class RepositoriesUpdatedController(Controller):
    """Describes a resource anew."""

    def perform(self) -> None:
        """Write it, unless a later event already did: topics have no order among each other, so it may be a new one."""
        self.respond_with(describe(_resources(), self.params))


class RepositoriesUpdatedResponder(Responder):
    """Tells how a resource is described now."""

    topics = (topic("sources_updated"),)

    def respond(self, source: dict[str, Any]) -> None:
        """Send it, keyed by its id."""
        self.respond_to("sources_updated", source, key=source["id"])


class SourcesRefreshController(Controller):
    """Fetches a resource from its remote system; as a background job never twice at once for the same one."""

    def before_enqueue(self) -> None:
        """Let refreshes of one resource exclude each other.

        Raises
        ------
        MalformedMessageError : the message names no resource.
        """
        id = resource_id(self.params)
        self.params["uniqueness_scope"] = id

    def perform(self) -> None:
        """Fetch and write it; a resource that was deleted meanwhile is nobody's business any more.

        Raises
        ------
        RemoteError : no usable answer; the framework tries again.
        """
        from ops.reference.remote import open_remote

        id = resource_id(self.params)
        resources, remote = _resources(), open_remote()
        run = resources.run(id)
        if run is None:
            return
        try:
            fetched = remote.fetch(id)
        except BaseException:
            resources.abandon(run)
            raise
        written = (
            resources.disconnect(run) if fetched is None else resources.finish(run, fetched.content, fetched.version)
        )
        if not written:
            self.refuse(f"run {run.token} of resource {id} was taken over, or is older than what is there")
        kept = resources.get(id)
        if kept is not None:
            answer = {"id": id, "version": kept.version, "written": written, **marks(self.params)}
            self.respond_with(answer, fetched is None)


class SourcesRefreshResponder(Responder):
    """Tells which version a resource has now, or that it is gone."""

    topics = (topic("sources_refreshed", required=False), topic("sources_disconnected", required=False))

    def respond(self, source: dict[str, Any], gone: bool) -> None:
        """Send it, keyed by its id."""
        self.respond_to("sources_disconnected" if gone else "sources_refreshed", source, key=source["id"])


def describe(resources: Resources, params: Any) -> dict[str, Any]:
    """Write what an event says of its resource, and give what is passed on.

    Raises
    ------
    MalformedMessageError : the event is none.
    """
    id = resource_id(params)
    written = resources.put(id, details(params), params.get("sequence", 0))
    return {"id": id, "written": written, **details(params), **marks(params)}


def _resources() -> Resources:
    # not at the top: `inv flow` reads this module without SQLAlchemy
    from ops.reference.resources import open_resources

    return open_resources()


def sources(*, background: bool) -> App:
    """Draw the app; `background` makes jobs of refreshes, for `python -m ops worker`."""
    drawn = App("sources", backend=JobsBackend() if background else None)
    drawn.topic("repositories_created", controller=RepositoriesCreatedController, inline_mode=True)
    drawn.topic("repositories_deleted", controller=RepositoriesDeletedController, inline_mode=True)
    drawn.topic("repositories_updated", controller=RepositoriesUpdatedController, inline_mode=True)
    drawn.topic("sources_refresh", controller=SourcesRefreshController, inline_mode=not background)
    return drawn


app = sources(background=False)
background = sources(background=True)
