# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from programs import ROOT, run

Run = Callable[..., CompletedProcess[str]]

SHIPPED = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "agent",
    "ansible.cfg",
    "docs",
    "explain.yml",
    "meta",
    "offboard.yml",
    "onboard.yml",
    "playbooks",
    "plugins",
    "roles",
    "site.yml",
}
EXAMPLE = ROOT / "inventory/example"
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))


def test_the_archive_holds_what_a_user_needs_and_nothing_of_the_checkout(archive: Path) -> None:
    with tarfile.open(archive) as files:
        found = {name.split("/")[0] for name in files.getnames()}
    assert found <= SHIPPED
    assert {"agent", "meta", "playbooks", "plugins", "roles"} <= found


def test_every_module_is_documented(installed: Run) -> None:
    shown = installed("ansible-doc", "--json", "--type", "module", *(f"sendyard.mail.{name}" for name in MODULES))
    assert shown.returncode == 0, shown.stderr
    documented = json.loads(shown.stdout)
    for name in MODULES:
        page = documented[f"sendyard.mail.{name}"]
        assert page["doc"]["short_description"]
        assert page["examples"], f"{name} has no example"


def test_every_role_is_documented(installed: Run) -> None:
    listed = installed("ansible-doc", "--json", "--type", "role", "--list", "sendyard.mail")
    assert listed.returncode == 0, listed.stderr
    roles = {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()}
    assert set(json.loads(listed.stdout)) == {f"sendyard.mail.{name}" for name in roles}


def test_every_playbook_is_found_by_its_full_name(installed: Run) -> None:
    names = [f"sendyard.mail.{path.stem}" for path in (ROOT / "playbooks").glob("*.yml")]
    checked = installed("ansible-playbook", "-i", EXAMPLE, "--syntax-check", *names)
    assert checked.returncode == 0, checked.stderr


def test_site_does_what_it_does_in_the_checkout(installed: Run) -> None:
    listing = ("ansible-playbook", "-i", EXAMPLE, "--list-tasks")
    as_collection, in_checkout = installed(*listing, "sendyard.mail.site"), run(*listing, "site.yml")
    assert as_collection.returncode == in_checkout.returncode == 0, as_collection.stderr + in_checkout.stderr
    tasks = in_checkout.stdout.split("\n\n", 2)[2]  # behind the playbook's name, which differs
    assert tasks.count("TAGS") > 10
    assert as_collection.stdout.endswith(tasks)


def test_a_reply_is_explained_where_only_the_collection_is(installed: Run) -> None:
    told = installed("ansible-playbook", "-i", "localhost,", "sendyard.mail.explain", "-e", "reply=421-4.7.28")
    assert told.returncode == 0, told.stderr
    assert "mail flood detected" in told.stdout
