# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What settings give up leaves the zones, whichever runs ended before their records were seen; the host remembers."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import dkim_keys, domains, records
from ansible_collections.sendyard.mail.plugins.module_utils.domains import Domain, Host
from integration.dns.conftest import Yard

KILLED, WHOLE = False, True


@dataclass
class Owner:
    """A server at the yard's `mx1` with the yard's zone as its domain, and what its host remembers."""

    yard: Yard
    where: dkim_keys.Directories

    def run(self, ends: bool, host: Host, domain: Domain, rua: str = "") -> None:
        """Publish what is pending of the server and its domain; unless it is killed, the host is told what was seen."""
        path = self.where.state.with_name("table")
        path.write_bytes(domains.compile_table(host, [domain], dmarc_rua=rua))
        table = domains.read_table(path)
        pending = dkim_keys.make(table, "s", self.where, dry=False).pending
        for name, key in pending.items():
            now = table["settings"][table["domains"][name]["record_settings"]]
            earlier = [record for said in key["earlier"] for record in self._made(name, key, {**now, **said})]
            outcome = self.yard.publish(*records.remembering(self._made(name, key, now), earlier))
            assert outcome.faults == {}
        if ends:
            seen = [{"domain": name, "digest": key["digest"]} for name, key in pending.items()]
            dkim_keys.publish(table, "s", seen, self.where, dry=False)

    def _made(self, name: str, key: Mapping[str, Any], settings: Mapping[str, Any]) -> list[records.Record]:
        said = {"selector": "s", "public_key": key["public_key"], "credential": "lab", **settings}
        if name == settings["fqdn"]:
            made = records.host_records(subject=name, **said)
            return [record for record in made if record["type"] != "PTR"]
        return records.domain_records(name, **said)


@pytest.fixture
def owner(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Owner:
    monkeypatch.setattr(dkim_keys, "BITS", 1024)
    monkeypatch.setattr(dkim_keys.files, "owner_id", lambda _: os.geteuid())
    monkeypatch.setattr(dkim_keys.files, "group_id", lambda _: os.getegid())
    return Owner(
        yard, dkim_keys.Directories(tmp_path / "pending", tmp_path / "keys", tmp_path / "state", getpass.getuser())
    )


@pytest.mark.parametrize("ends", [[WHOLE, WHOLE], [WHOLE, KILLED], [KILLED, KILLED]])
def test_after_a_whole_run_nothing_is_left_of_earlier_ones(owner: Owner, ends: list[bool]) -> None:
    zone = owner.yard.zone.removesuffix(".")
    host = Host("mx1", f"mx1.{zone}", "s", ("10.9.1.1",), f"bounces.mx1.{zone}", ("ca.example",))
    domain = Domain(zone, ("mx1",), "lab")
    before = owner.yard.foreign()
    owner.run(WHOLE, host, domain)
    after = owner.yard.foreign()
    assert len(after - before) > 8

    other = replace(
        host, public_addresses=("10.9.1.1", "10.9.1.2"), bounce_domain=f"b.{zone}", caa_issuers=("x.example",)
    )
    spf = replace(
        domain, spf_style="include", return_path="r", dmarc_policy="quarantine", dmarc_rua="mailto:o@a.example"
    )
    owner.run(ends[0], other, spf)
    owner.run(
        ends[1],
        replace(other, bounce_domain=f"c.{zone}", caa_issuers=()),
        replace(domain, return_path="q"),
        "mailto:d@a.example",
    )
    assert len(owner.yard.foreign() - after) == 8
    owner.run(WHOLE, host, domain)
    assert owner.yard.foreign() == after
