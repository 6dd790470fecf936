# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A lab that no run has touched: everything that a sender needs in DNS, a run must have published."""

from __future__ import annotations

import dns.reversename
import lab_api
from lab_hosts import SENDERS

OPEN_ZONES = ("yard.example.", "acme.example.", "globex.example.")


def test_fresh_zones_hold_nothing_of_the_senders() -> None:
    for zone in OPEN_ZONES:
        kinds = {kind for kind in ("A", "AAAA", "MX", "TXT", "CAA", "TLSA") if lab_api.ask("ns1", zone, kind)}
        assert kinds == set(), zone
    for host in SENDERS:
        fqdn = lab_api.info()["hosts"][host]["fqdn"]
        assert [lab_api.ask("ns1", fqdn, kind) for kind in ("A", "AAAA", "TXT", "MX")] == [[], [], [], []]
        for family in (4, 6):
            pointer = dns.reversename.from_address(lab_api.address(host, family=family))
            assert lab_api.ask("ns1", pointer.to_text(), "PTR") == []
