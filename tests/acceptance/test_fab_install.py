"""`fab karafka.install`, `uninstall`, `enable` on hosts over real SSH: plain processes and their log rotation."""

from __future__ import annotations

import json

from tests.labs.in_process import inv
from tests.labs.shop import Shop


def test_log_rotation_is_shown_installed_mended_and_removed(shop: Shop) -> None:
    rule = shop.rules / "karafka-shop"
    # When it is asked what an install would do on one host
    done = shop.fab("karafka.install", "--diff", "--hosts", "host1")
    # Then the whole diff is shown and nothing done
    assert f"+++ {rule}" in done.stdout
    assert "+    copytruncate" in done.stdout
    assert not rule.exists()
    # When it is installed, twice
    first, second = (shop.fab("karafka.install", "--hosts", "host1") for _ in range(2))
    # Then it is there, and the second one says so
    assert "host1: installed" in first.stdout
    assert "shared/log/karafka-0.log\n{" in rule.read_text()
    assert second.stdout.startswith("host1: already installed")
    # When somebody edits it
    good = rule.read_text()
    rule.write_text(good.replace("rotate 7", "rotate 70"))
    # Then the diff names it, and an install puts it right
    data = json.loads(shop.fab("karafka.install", "--dry-run", "--json", "--hosts", "host1").stdout)
    assert [one["change"] for one in data["hosts"][0]["changes"]] == [f"differs: {rule} (edited by hand)"]
    shop.fab("karafka.install", "--hosts", "host1")
    assert rule.read_text() == good
    # When it is uninstalled while the processes run
    shop.fab("karafka.start", "--hosts", "host1")
    done = shop.fab("karafka.uninstall", "--hosts", "host1")
    # Then the rule is gone, for it does not keep them
    assert f"removed: {rule}" in done.stdout
    assert not rule.exists()


def test_an_install_that_may_not_write_says_what_to_do(shop: Shop) -> None:
    # Given a place that cannot be written to
    shop.rules.parent.joinpath("file").write_text("")
    shop.settings(logrotate_d=str(shop.rules.parent / "file"))
    # When it is installed
    done = shop.fab("karafka.install", code=1)
    # Then every host says why
    assert done.stdout == "host1: failed\nhost2: failed\n"
    assert "cannot be written: File exists" in done.stderr


def test_plain_processes_start_with_no_host(shop: Shop) -> None:
    # When they are to start with their hosts
    done = shop.fab("karafka.enable", code=2)
    # Then it says who would do that
    assert "fab karafka.migrate systemd" in done.stderr


def test_the_files_are_rendered_without_a_connection(shop: Shop) -> None:
    # When a provisioning of one's own asks for the files of systemd and of logrotate
    words = ("-f", "fabric.json", "templates.render")
    (shop.folder / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    done = inv(shop.folder, *words, "systemd", "--out", "units", "--host", "host2")
    # Then they lie as a host has them
    assert "units/etc/systemd/system/karafka-shop@.service\n" in done.stdout
    own = shop.folder / "units/etc/karafka-ops/shop/karafka-0.env"
    assert 'KARAFKA_INSTANCE_ID="shop.host2.karafka.0"' in own.read_text()
    assert own.stat().st_mode & 0o777 == 0o600
    # And without a folder they are printed
    done = inv(shop.folder, *words, "logrotate")
    assert done.stdout.startswith(f"# {shop.rules}/karafka-shop (mode 0644)\n# Rendered from")
    # And what is none is refused
    assert "systemd, supervisor, logrotate" in inv(shop.folder, *words, "upstart", code=2).stderr


def test_the_doctor_is_silent_about_a_healthy_stage_and_names_what_is_not(shop: Shop) -> None:
    # Given a host that is installed and runs
    only = ("--hosts", "host1")
    shop.fab("karafka.install", *only)
    shop.fab("karafka.start", *only)
    # When the doctor comes
    done = shop.fab("karafka.doctor", *only)
    # Then there is one line
    assert done.stdout == "test: nothing is wrong with 1 host\n"
    # When somebody edits its log rotation, and `current` leads to another release
    (shop.rules / "karafka-shop").write_text("# mine\n")
    root = shop.fleet.hosts[0].files.deploy_to
    (root / "releases/2").mkdir()
    (root / "current").unlink()
    (root / "current").symlink_to(root / "releases/2")
    data = json.loads(shop.fab("karafka.doctor", *only, "--json", code=1).stdout)
    # Then each is named with what mends it
    found = {one["kind"]: one for one in data["findings"]}
    assert found["rotation"]["text"] == f"differs: {shop.rules}/karafka-shop (edited by hand)"
    assert found["rotation"]["mend"] == "fab karafka.install --hosts host1"
    assert found["zombie"]["mend"] == "fab karafka.restart --hosts host1 --processes karafka-0"
    # When its tool is gone
    shop.settings(agent_python="/nowhere/python")
    data = json.loads(shop.fab("karafka.doctor", *only, "--json", code=1).stdout)
    # Then that is the finding
    assert [(one["kind"], one["mend"]) for one in data["findings"]] == [("agent", "fab karafka.setup --hosts host1")]
    shop.settings()
    # When the other host is down
    shop.fleet.hosts[1].stop()
    done = shop.fab("karafka.doctor", code=4)
    # Then it hides nothing of the first one
    assert "host1  differs: " in done.stdout
    assert "host2" in done.stderr
