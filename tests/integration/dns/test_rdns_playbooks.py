# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The tasks of the playbooks that ask the provider of addresses, run by ansible-playbook against the fake of Hetzner.

No name server of the world can be on another port than 53, so what is seen here is what each host is told.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.dns.fake_hetzner_addresses import HetznerAddresses
from integration.dns.servers import ADDRESS

ROOT = Path(__file__).parents[3]
HOST = {"distribution": "debian", "release": "13", "init": "systemd", "addresses_missing": [], "clock_off": 0.0}
HOST |= {"port25": "open", "occupied": {}, "main_cf": "ours", "domains_digest": ""}


def tasks(playbook: str, *names: str) -> list[dict[str, Any]]:
    """Return tasks of a playbook."""
    (play,) = yaml.safe_load((ROOT / "playbooks" / playbook).read_text())
    return [next(task for task in play["tasks"] if task["name"] == name) for name in names]


def play(directory: Path, fake: HetznerAddresses, wanted: list[dict[str, Any]], **settings: Any) -> str:
    """Run tasks for mx1, whose PTR records Hetzner sets, and mx2, whose records nobody sets; return what is said."""
    group = {
        "sendyard_admin": "postmaster@yard.example",
        "sendyard_dns_credential": "cloud",
        "sendyard_dns_credentials": {"cloud": fake.credential()},
        "sendyard_publish_resolver": [f"{ADDRESS}@{fake.port}"],  # which refuses to answer
        "sendyard_publish_deadline": 1,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        **settings,
    }
    hosts = {
        "mx1": {"sendyard_addresses": [{"public": "10.9.1.1"}], "sendyard_ptr_credential": "cloud"},
        "mx2": {"sendyard_addresses": [{"public": "10.9.1.2"}]},
    }
    for name, said in hosts.items():
        said["sendyard_fqdn"] = f"{name}.yard.example"
    (directory / "domains").mkdir(exist_ok=True)
    (directory / "hosts.yml").write_text(yaml.safe_dump({"senders": {"vars": group, "hosts": hosts}}))
    before = [
        {"ansible.builtin.import_role": {"name": "sendyard.mail.settings"}},
        {"ansible.builtin.set_fact": {"sendyard": HOST, "cacheable": True}},
    ]
    (directory / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "senders", "gather_facts": False, "tasks": [*before, *wanted]}])
    )
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"), "-i", directory / "hosts.yml", directory / "play.yml",
            "-e", '{"__inventory": {"zones": true}, "__keys": {"pending": {}}}',
            "-e", '{"__published": {"manual": {}, "unseen": {}, "cached": {}}}',
        ],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "XDG_CACHE_HOME": str(directory / "cache")},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    said = " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in said
    return said


@pytest.fixture
def fake(start: Callable[..., HetznerAddresses]) -> HetznerAddresses:
    return start(HetznerAddresses, {})


def after_publishing() -> list[dict[str, Any]]:
    """Return the tasks that end publishing: they stop a host that has no address to send from."""
    found = yaml.safe_load((ROOT / "playbooks/tasks/await_caches.yml").read_text())
    return [{**task, "vars": {**task.get("vars", {}), "__found_by": "__sending"}} for task in found]


PREFLIGHT = (
    "The zones to change are known",
    "The addresses whose PTR records we set are those of their credentials",
    "Nothing is wrong",
)
PUBLISH = (
    "Every record is computed",
    "The providers of the addresses call them by the server's name",
    "Addresses that receivers take mail from are sent from, and no others",
)


def test_preflight_names_an_address_that_is_not_the_credentials(fake: HetznerAddresses, tmp_path: Path) -> None:
    said = play(tmp_path, fake, tasks("preflight.yml", *PREFLIGHT))
    assert "mx1: sendyard_ptr_credential: 10.9.1.1 belongs to no Primary IP" in said
    assert "mx2: sendyard" not in said
    fake.hold("primary_ips", "10.9.1.1")
    fake.requests.clear()
    said = play(tmp_path, fake, tasks("preflight.yml", *PREFLIGHT))
    assert "Nothing was changed" not in said
    assert "failed=0" in said
    assert [request.method for request in fake.requests] == ["GET"]


def test_publishing_sends_from_no_address_that_was_not_seen(fake: HetznerAddresses, tmp_path: Path) -> None:
    fake.hold("primary_ips", "10.9.1.1")
    said = play(tmp_path, fake, [*tasks("publish.yml", *PUBLISH), *after_publishing()])
    assert "mx1: 10.9.1.1: the PTR record is not mx1.yard.example" in said
    assert "mx1.yard.example does not lead to it, so that its PTR record is not set" in said
    assert "There is no other address to send from" in said
    assert "mx2: 10.9.1.2" not in said
    assert {request.method for request in fake.requests} == {"GET"}


def test_nobody_is_asked_where_no_host_wants_it(fake: HetznerAddresses, tmp_path: Path) -> None:
    for names in (("preflight.yml", *PREFLIGHT), ("publish.yml", *PUBLISH)):
        wanted = [*tasks(*names), *(after_publishing() if names[1:] == PUBLISH else [])]
        for task in wanted:
            task.setdefault("vars", {})["sendyard_ptr_credential"] = ""
        said = play(tmp_path, fake, wanted)
        assert "failed=1" not in said
    assert fake.requests == []
