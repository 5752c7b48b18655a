"""The two lists of what releases share: each link once, none below another one, and no path that is two things."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.linked import DIRS, FILES, Linked, LinkedError, links

PATHS = st.lists(st.lists(st.sampled_from(("a", "ab", "A", "b")), min_size=1, max_size=3).map("/".join), max_size=4)


@given(PATHS, PATHS)
def test_every_path_is_there_by_exactly_one_link_or_the_lists_contradict_each_other(
    dirs: list[str], files: list[str]
) -> None:
    # Given any two lists
    below_a_file = any(f"{path}/".startswith(f"{file}/") and path != file for file in files for path in (*dirs, *files))
    if below_a_file or {*dirs} & {*files}:
        # When something is to be a file and a folder
        # Then it is refused
        with pytest.raises(LinkedError):
            links(dirs, files)
        return
    found = links(dirs, files)
    # Then each path has one link, its own or that of a folder above it
    for path in (*dirs, *files):
        assert len([one for one in found if f"{path}/".startswith(f"{one.path}/")]) == 1
    # And each link is one of the lists', in whatever order those are
    assert {*found} <= {*(Linked(DIRS, path) for path in dirs), *(Linked(FILES, path) for path in files)}
    assert {*links(dirs[::-1], files[::-1])} == {*found}


def test_what_lies_below_a_linked_folder_needs_no_link_and_a_name_that_only_begins_like_it_does() -> None:
    # Given Capistrano's usual lists, some of them below each other, and one twice
    found = links(["tmp/pids", "tmp", "config", "tmp"], ["config/database.yml", "config.yml"])
    # Then folders that are linked as a whole have one link
    assert [one.path for one in found] == ["tmp", "config", "config.yml"]


def test_both_keys_are_named_where_the_lists_contradict_each_other() -> None:
    # Given a file that folders are to lie below
    with pytest.raises(LinkedError) as refused:
        links(["log", "config/env/x"], ["config/env"])
    # Then the one that cannot be is named with its place, and the other one
    assert refused.value.key == "linked_dirs[1]"
    assert refused.value.what == "'config/env/x' lies below 'config/env', which is a file by linked_files"
