"""Applications whose names begin alike, under one supervisord: an install of one touches nothing of the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.core.installation import HostFile, InstallCall, digest
from ops.core.keeping import Keeping
from ops.core.protocol import ProcessSpec, Request, Response, Verb
from ops.core.states import State
from ops.node.agent import carry_out
from ops.node.supervisord import Supervisord
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.supervised import Kept, MakeKept


def ask(kept: Kept, verb: Verb, specs: list[ProcessSpec], *, enabled: bool = False) -> Response:
    """Let the agent install or uninstall an application."""
    files = tuple(
        HostFile(one.path, one.text, one.mode) for one in kept.server.files(kept.name, specs, enabled=enabled)
    )
    there = {one.path: digest(path.read_text()) if (path := Path(one.path)).exists() else "" for one in files}
    changed = {one.path: there[one.path] for one in files if there[one.path] != digest(one.text)}
    request = Request(
        verb, "h1", tuple(specs), shared=str(kept.shared), keeping=kept.keeping,
        install=InstallCall(files, seen=changed) if verb is Verb.INSTALL else None,
    )  # fmt: skip
    return carry_out(request, lambda _: None)


def states(server: LocalSupervisord, kept: Kept) -> dict[str, str]:
    """Return how supervisord has an application's programs."""
    asked = Supervisord(server.socket)
    try:
        found = asked.programs()
    finally:
        asked.close()
    return {name: one.state for name, one in found.items() if name.startswith(f"karafka-{kept.name}@")}


@pytest.mark.parametrize(("first", "second"), [("sources", "{}-eu"), ("{}-eu", "sources"), ("sources", "{}@eu")])
def test_an_install_of_one_touches_nothing_of_the_other(
    kept_of: MakeKept, supervisord: LocalSupervisord, first: str, second: str
) -> None:
    # Given an application, and changes to another one's file that nobody has taken in yet: one program more, to be
    # started with supervisord, one less
    base = kept_of("sources")
    other = Kept(base.shared.parents[1], supervisord, second.format(base.name).replace("@", "-karafka-0"))
    mine, theirs = (base, other) if first == "sources" else (other, base)
    specs = [theirs.spec(index=0), theirs.spec(index=1)]
    assert not ask(theirs, Verb.INSTALL, specs).error
    assert theirs.one(Verb.START, specs[0]).ok
    before = states(supervisord, theirs)
    conf = supervisord.conf_d / f"karafka-{theirs.name}.conf"
    (text,) = (
        one.text for one in supervisord.files(theirs.name, [specs[0], theirs.spec(index=2)], enabled=True)
        if one.path == str(conf)
    )  # fmt: skip
    try:
        conf.write_text(text)
        # When the first one is installed, started, changed and uninstalled
        for processes in (2, 1):
            own = [mine.spec(index=index) for index in range(processes)]
            assert not ask(mine, Verb.INSTALL, own, enabled=True).error
            # Then supervisord has exactly its programs, and nothing of the other one is added, removed, started
            assert states(supervisord, mine) == {
                mine.keeping.program(f"karafka-{index}"): "STOPPED" for index in range(processes)
            }
            assert states(supervisord, theirs) == before
        assert not ask(mine, Verb.UNINSTALL, own).error
        assert states(supervisord, mine) == {}
        assert states(supervisord, theirs) == before
        assert theirs.one(Verb.STATUS, specs[0]).state is State.RUNNING
    finally:
        for kept in (mine, theirs):
            (supervisord.conf_d / f"karafka-{kept.name}.conf").unlink(missing_ok=True)


def test_one_of_the_same_name_in_another_folder_is_not_replaced(kept_of: MakeKept, tmp_path: Path) -> None:
    # Given an installed application, and another one of the same name, as a second stage on the same host is
    mine = kept_of("sources")
    other = Kept(tmp_path / "elsewhere", mine.server, mine.name)
    assert not ask(mine, Verb.INSTALL, [mine.spec()]).error
    conf = mine.server.conf_d / f"karafka-{mine.name}.conf"
    before = conf.read_text()
    # When that one is installed
    refused = ask(other, Verb.INSTALL, [other.spec()])
    # Then it is refused, and says whose it is
    assert f"it is of the application in {mine.shared.parent}, which has the same name" in refused.error
    assert conf.read_text() == before
    # And where the file is the other's, an uninstall of the first leaves it there
    (other.shared / "log").mkdir(parents=True)
    conf.write_text(before.replace(str(mine.shared.parent), str(other.shared.parent)))
    answer = ask(mine, Verb.UNINSTALL, [mine.spec()]).installed
    assert answer is not None
    assert answer.notes == (f"left alone, as it is of {other.shared.parent}: {conf}",)
    assert conf.exists()


def test_a_program_that_somebody_has_put_into_a_group_is_named_with_it(kept: Kept) -> None:
    # Given an installed application, of which somebody has put a program into a group of supervisor's
    spec = kept.spec()
    assert not ask(kept, Verb.INSTALL, [spec]).error
    program, group = kept.keeping.program(spec.name), kept.server.conf_d / "group-of-somebody.conf"
    group.write_text(f"[group:consumers]\nprograms = {program}\n")
    try:
        kept.server.update()
        # When it is started, and installed with one more
        started, installed = kept.ask(Verb.START, spec), ask(kept, Verb.INSTALL, [spec, kept.spec(index=1)])
        # Then both say what is in the way, and neither leads to the other
        for said in (started.error or started.processes[0].message, installed.error):
            assert f"{program} in the group consumers" in said
            assert "karafka.install" not in said
        # And a stop does not take it for one that supervisord has nothing to do with
        assert not kept.one(Verb.STOP, spec).ok
    finally:
        group.unlink()
        kept.server.update()


def test_an_application_is_told_from_one_whose_name_begins_alike_when_its_unit_is_read() -> None:
    from ops.node.verifying import own_lines

    # Given complaints about units of three applications
    said = (
        "karafka-sources@karafka-0.service:3: Unknown key\n"
        "/tmp/x/karafka-sources.target:1: odd\n"
        "karafka-sources.eu@.service:4: Unknown key\n"
        "karafka-sources-eu@.service:4: Unknown key\n"
        "karafka-sources.eu.target:5: odd\n"
    )
    # Then each has its own
    kept = [Keeping("systemd", name).template for name in ("sources", "sources.eu", "sources-eu")]
    assert [len(list(own_lines(said, Path("/tmp/x", one)))) for one in kept] == [2, 2, 1]
