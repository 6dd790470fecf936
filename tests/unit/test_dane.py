# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What senders that check DANE make of a host, by how its names are signed."""

from __future__ import annotations

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import dane
from ansible_collections.sendyard.mail.plugins.module_utils.dane import ABSENT, BOGUS, INSECURE, SECURE, UNKNOWN

HOST, BOUNCES = "mx1.yard.example", "bounces.mx1.yard.example"


@pytest.mark.parametrize(
    ("answers", "host", "why_not"),
    [
        ({"A": SECURE, "AAAA": SECURE, "MX": SECURE}, SECURE, ""),
        ({"A": ABSENT, "AAAA": SECURE, "MX": SECURE}, SECURE, ""),
        ({"A": INSECURE}, INSECURE, "mx1.yard.example is not signed (DNSSEC)"),
        ({"A": BOGUS}, BOGUS, "mx1.yard.example has signatures that are not valid"),
        ({"A": UNKNOWN}, UNKNOWN, "mx1.yard.example could not be found out"),
        ({"A": ABSENT, "AAAA": ABSENT}, UNKNOWN, "mx1.yard.example could not be found out"),
        ({"A": SECURE, "MX": INSECURE}, SECURE, "the MX record of bounces.mx1.yard.example is not signed"),
        ({"A": SECURE, "MX": ABSENT}, SECURE, "the MX record of bounces.mx1.yard.example is not there"),
    ],
)
def test_what_dane_rests_on(answers: dict[str, str], host: str, why_not: str) -> None:
    found = dane.trust(HOST, [BOUNCES], ask=lambda name, kind: answers[kind])
    assert found.host == host
    assert found.why_not.startswith(why_not) and bool(found.why_not) == bool(why_not)
