# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What dkimpy and checkdmarc make of the same records. (pyspf is beside the evaluation of SPF.)"""

from __future__ import annotations

from dataclasses import replace

import dkim
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.checks import dkim_checks, dmarc_checks
from ansible_collections.sendyard.mail.plugins.module_utils.checks.model import Verdict
from cases import card
from checkdmarc.dmarc import DMARCError, parse_dmarc_record
from unit.checks.test_checks import Table

DOMAIN = card.subjects(((25, False),))[1]


def by_dkimpy(record: str) -> int | None:
    """The bits of the record's key, None where dkimpy takes it for none."""
    try:
        found = dkim.evaluate_pk("selector", record)
    except (dkim.KeyFormatError, dkim.UnparsableKeyError, ValueError):
        return None
    return int(found[1])


@pytest.mark.parametrize(
    "record",
    [
        f"v=DKIM1; k=rsa; p={card.public_key()}",
        f"p={card.public_key()}",
        f"v=DKIM1;p={card.public_key()};",
        f"v=DKIM1; k=rsa; t=s; s=email; n=hello; p={card.public_key(1024)}",
        f"v=DKIM1; k=rsa; p={card.public_key()[:200]}",
        "v=DKIM1; k=rsa; p=",
        "v=DKIM1; k=rsa",
        f"v=DKIM2; p={card.public_key()}",
        f"v=DKIM1; k=dsa; p={card.public_key()}",
        "hello",
    ],
)
def test_a_key_record_is_read_as_dkimpy_reads_it(record: str) -> None:
    theirs = by_dkimpy(record)
    ours = dkim_checks.key(replace(DOMAIN, key=""), Table({(card.KEY_NAME, "TXT"): [record]}))
    assert (ours.verdict is Verdict.PASS) == (theirs is not None), ours.evidence
    if theirs is not None:
        assert f"{theirs} bits" in ours.evidence


@pytest.mark.parametrize(
    "record",
    [
        "v=DMARC1; p=none",
        "v=DMARC1;p=reject;sp=quarantine;np=reject;adkim=s;aspf=r;fo=1;t=y",
        "v=DMARC1; p=Quarantine",
        "v=DMARC1; p=refuse",
        "v=DMARC1; p=reject; sp=bogus",
        "v=DMARC1; p=none; pct=50",
        "v=DMARC1; p=none; rf=afrf; ri=3600",
        "v=DMARC1; p=none; aspf=x",
        "v=DMARC1; p=none; psd=n",
        "v=DMARC1; p=none; unheard=of",
    ],
)
def test_a_dmarc_record_is_read_as_checkdmarc_reads_it(record: str) -> None:
    try:
        warnings = " ".join(parse_dmarc_record(record, card.DOMAIN)["warnings"])
    except DMARCError:
        theirs = Verdict.FAIL
    else:
        theirs = Verdict.WARN if "removed in RFC 9989" in warnings or "is not a valid" in warnings else Verdict.PASS
    ours = dmarc_checks.syntax(DOMAIN, Table({(f"_dmarc.{card.DOMAIN}", "TXT"): [record]}))
    assert ours.verdict is theirs, (ours.evidence, record)
