# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Tokens and what is kept of them. That Dovecot takes the form is tested with a real one (tests/integration/signer)."""

from __future__ import annotations

import base64
import hashlib

from ansible_collections.sendyard.mail.plugins.module_utils import logins


def test_a_token_has_at_least_128_random_bits_and_needs_no_quoting() -> None:
    tokens = {logins.generate_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(base64.urlsafe_b64decode(token)) >= 16 for token in tokens)
    assert all(token.isascii() and token.replace("-", "").replace("_", "").isalnum() for token in tokens)


def test_a_hash_verifies_its_token_and_no_other() -> None:
    token = logins.generate_token()
    kept = logins.hash_token(token)
    assert token not in kept
    assert logins.verify(token, kept)
    assert not logins.verify(token + "x", kept)
    assert not logins.verify("", kept)
    assert logins.is_hash(kept)


def test_two_hashes_of_a_token_differ() -> None:
    assert logins.hash_token("x") != logins.hash_token("x")


def test_the_form_is_that_of_dovecot() -> None:
    known = "{SSHA512}" + base64.b64encode(hashlib.sha512(b"secret" + b"salt").digest() + b"salt").decode()
    assert logins.verify("secret", known)


def test_what_is_no_hash_verifies_nothing() -> None:
    for kept in ("", "secret", "{PLAIN}secret", "{SSHA512}", "{SSHA512}c2hvcnQ=", "{SSHA512}no base64!"):
        assert not logins.verify("secret", kept)
        assert not logins.verify("", kept)
        assert not logins.is_hash(kept)
