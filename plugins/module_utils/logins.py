# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The passwords of logins: generated tokens, kept as a salted SHA-512.

A slow hash would protect a password that somebody chose. It adds nothing to 192 random bits, and costs every client
that logs in per message: measured, Argon2id held a whole host at 8 messages a second.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

SCHEME = "{SSHA512}"  # Dovecot's name for base64(sha512(password + salt) + salt)
_TOKEN_BYTES = 24
_SALT_BYTES = 16
_DIGEST_BYTES = hashlib.sha512().digest_size


def generate_token() -> str:
    """A new password: 192 random bits as 32 characters that need no quoting in a shell, a URL or a header."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What is kept of `token`, as Dovecot's passwd-file takes it. Salted: another string for every call."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return SCHEME + base64.b64encode(_digest(token, salt) + salt).decode()


def is_hash(kept: str) -> bool:
    """True if `kept` is what `hash_token` makes: the scheme, a whole digest, and a salt."""
    return len(_decoded(kept)) > _DIGEST_BYTES


def verify(token: str, kept: str) -> bool:
    """True if `kept` was made of `token`; False too where `kept` is no such hash."""
    raw = _decoded(kept)
    digest, salt = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    return hmac.compare_digest(digest, _digest(token, salt))


def _decoded(kept: str) -> bytes:
    """The digest and salt of `kept`, b"" where it is no hash of ours."""
    try:
        return base64.b64decode(kept.removeprefix(SCHEME), validate=True) if kept.startswith(SCHEME) else b""
    except ValueError:
        return b""


def _digest(token: str, salt: bytes) -> bytes:
    return hashlib.sha512(token.encode() + salt).digest()
