# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""All rows of all tables at every port, over IPv4 and IPv6; then what chance makes of them."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace

import lab_api
import pytest
from cases.envelopes import ENVELOPES
from cases.from_forms import BODY, CASES, LOGIN
from cases.mutations import mutated
from cases.smuggling import ENDS
from lab_hosts import Login
from lab_submission import logged_in, submit
from lab_tenants import FOREIGN, PLACES, Attempt, Place, Tenant

SEED = "SENDYARD_FUZZ_SEED"  # in the environment: the seed of a run that is to be had again
MUTATIONS = 1000

everywhere = pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.port}-ipv{place.family}")


@everywhere
def test_headers(tenant: Tenant, place: Place) -> None:
    wrong = tenant.faults((place, tenant.header(case)) for case in CASES)
    assert not wrong, "\n".join(wrong)


@everywhere
def test_envelopes(tenant: Tenant, place: Place) -> None:
    wrong = tenant.faults((place, tenant.envelope(case)) for case in ENVELOPES)
    assert not wrong, "\n".join(wrong)


@everywhere
def test_smuggling(tenant: Tenant, place: Place) -> None:
    wrong = tenant.smuggling_faults((place, end, by_bdat) for end in ENDS for by_bdat in (False, True))
    assert not wrong, "\n".join(wrong)


def test_what_chance_makes_of_the_headers(tenant: Tenant) -> None:
    """A fault that this finds becomes a row of the table."""
    seed = int(os.environ.get(SEED) or secrets.randbits(32))
    print(f"{SEED}={seed}")
    contents = [header.replace(b"globex.example", FOREIGN.encode()) + BODY for header in mutated(seed, MUTATIONS)]
    taken, wrong = tenant.taken_faults(Place(587, 4), contents)
    assert not wrong, f"{SEED}={seed}\n" + "\n".join(wrong)
    assert MUTATIONS / 20 < taken < MUTATIONS, "else hardly anything was tried"


def test_a_message_that_another_has_signed_is_handed_in_again(tenant: Tenant, logins: tuple[Login, ...]) -> None:
    other = next(login for login in logins if FOREIGN in login.domains)
    word = lab_api.token()
    content = f"From: {other.username}\r\nSubject: {word}\r\n".encode() + BODY
    with logged_in(tenant.sender, other) as opened:
        assert submit(opened, other.username, [f"{word}@sink.rx.example"], content).code == 250
    signed = lab_api.wait_for_mail(word).wire
    assert f"d={FOREIGN}".encode() in signed
    row = Attempt("another's message as it was signed", "refuse", f"MAIL FROM:<{LOGIN}>", signed)
    name = f"From: {other.username}".encode()
    own = replace(
        row, name="with one's own From", expected="accept", content=signed.replace(name, b"From: " + LOGIN.encode())
    )
    both = replace(row, name="with one's own From before it", content=b"From: " + LOGIN.encode() + b"\r\n" + signed)
    assert tenant.faults((PLACES[0], attempt) for attempt in (row, own, both)) == []
