"""The bundled apps' declarations: what `inv flow` shows, and what reading them costs."""

from __future__ import annotations

import subprocess
import sys

from ops.consumer.flow import as_text, flow_of
from ops.reference import sources, users

SOURCES = """\
repositories_created =>
  - sources_created:      (always, exactly once)
repositories_deleted =>
  - sources_deleted:      (always, exactly once)
repositories_updated =>
  - sources_updated:      (always, exactly once)
sources_refresh =>
  - sources_refreshed:    (conditionally, exactly once)
  - sources_disconnected: (conditionally, exactly once)"""

USERS = """\
registered_topics =>
  - new_topics:            (always, one or more)
users_create =>
  - users_created:         (always, exactly once)
  - users_premium_created: (conditionally, exactly once)"""


def test_the_flow_of_sources_is_as_it_always_was() -> None:
    assert as_text(flow_of([sources.app])) == SOURCES


def test_the_flow_of_users_shows_optional_topics_and_multiple_usage() -> None:
    assert as_text(flow_of([users.app])) == USERS


def test_reading_the_declarations_imports_no_heavy_library() -> None:
    # Given a fresh interpreter that reads both apps
    code = (
        "import sys, ops.reference.sources, ops.reference.users\n"
        "print(sorted({'kafka', 'sqlalchemy', 'httpx', 'transitions'} & set(sys.modules)))"
    )

    # When it is asked what it has imported
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    # Then none of the heavy ones is there
    assert answer.stdout.strip() == "[]"
