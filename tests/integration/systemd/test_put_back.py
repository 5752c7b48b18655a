"""An install by sudo that fails on a real host: what an administrator had in place is put back itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ops.core.drift import call_of, changes
from ops.core.installation import FactsCall, HostFile
from ops.core.protocol import Request, Response, Verb
from ops.core.systemd import env_file
from ops.fleet.plan import agent_of
from ops.sandbox.nspawn import USER
from tests.labs.parts import SYSTEMD_HOST, needs
from tests.labs.serving import MakeServing

pytestmark = needs(SYSTEMD_HOST)

ODD = "/etc/odd"
CLOSED = "/etc/odd/closed"
MAKE = f"""
mkdir -p {CLOSED} && cd {ODD}
(head -c 1100000 /dev/zero; printf 'end \\377\\376') > long && chown daemon:adm long && chmod 2640 long
ln -s /etc/hostname link && ln -s nowhere dangling && touch -d 2001-02-03 gone file
printf 'secret \\351' > closed/rule && chown daemon closed/rule && chmod 0400 closed/rule
chmod 0750 closed
"""
LOOK = (
    f"cd {ODD} && find . ! -type d -printf '%p %i %n %M %U %G %T@ %l\\n' | sort && sha256sum long gone file closed/rule"
)


def test_a_failed_install_by_sudo_puts_back_the_very_files_that_were_there(serving: MakeServing) -> None:
    # Given files of an administrator's, long, no UTF-8, links, in a folder that nobody else may look into, and a unit
    application = serving(systemd={"sudo": True})
    host, settings = application.host, application.settings
    host.write("/etc/sudoers.d/all", f"{USER} ALL=(root) NOPASSWD: ALL\n", mode=0o440)
    host.run("sh", "-ec", MAKE)
    host.run("systemctl", "enable", application.unit())
    slot = env_file(application.kept, f"{application.root}/shared", application.specs[0].name)
    before = host.run("sh", "-c", LOOK).stdout
    names = ["closed/new", "closed/rule", "dangling", "link", "long", "x/y"]
    files = tuple(HostFile(f"{ODD}/{name}", "ours\n") for name in names)

    def ask(verb: Verb, **more: Any) -> Response:
        request = Request(verb, "h1", (), shared=f"{application.root}/shared", keeping=application.kept, **more)
        return application.answer(tuple(agent_of(settings, settings.hosts[0])), request, USER)

    def install(*remove: str) -> str:
        found = ask(Verb.FACTS, facts=FactsCall(str(application.root), tuple(one.path for one in files))).facts
        assert found is not None
        call = call_of(files, changes(files, found, "systemd"))
        return ask(Verb.INSTALL, install=replace(call, remove=remove)).error

    # When a user with sudo replaces them and removes some, the unit's too, and another one cannot be removed
    # Then that is said, all are the very files that they were, and the unit starts with the host as before
    assert install(f"{ODD}/gone", slot, CLOSED).startswith(f"{CLOSED}: is no file")
    assert host.run("sh", "-c", LOOK).stdout == before
    assert host.run("systemctl", "is-enabled", application.unit()).stdout == "enabled\n"
    assert host.run("test", "-f", slot, check=False).returncode == 0
    # When that is not asked for
    assert install(f"{ODD}/gone") == ""
    # Then what was to be there is, and nothing is left of what was
    there = host.run("sh", "-c", f"cd {ODD} && find . ! -type d -printf '%P '").stdout.split()
    assert sorted(there) == sorted([*names, "file"])
    assert host.run("sh", "-c", f"cd {ODD} && cat long closed/rule").stdout == "ours\nours\n"
    host.run("rm", "-r", ODD, "/etc/sudoers.d/all")
