# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner's named credentials: where their secrets are, and which backend each of them is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .backends import AuthError, Backend, rfc2136
from .model import DnsError

SECRETS = ("secret", "secret_file", "secret_env")

Maker = Callable[[str, Mapping[str, Any], str, Sequence[str]], Backend]


def _rfc2136(name: str, options: Mapping[str, Any], secret: str, resolvers: Sequence[str]) -> Backend:
    return rfc2136.Rfc2136(rfc2136.options(name, options, secret), resolvers)


PROVIDERS: Mapping[str, Maker] = {"rfc2136": _rfc2136}


def secret_of(name: str, said: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Return the secret of the credential `name`, without surrounding white space.

    Raises:
        AuthError: it has none, or two, or it cannot be read.
    """
    given = [option for option in SECRETS if said.get(option)]
    if len(given) != 1:
        what = f"has {' and '.join(given)}" if given else "has no secret"
        raise AuthError(f'DNS credential "{name}" {what}; give one of {", ".join(SECRETS)}.')
    value = str(said[given[0]])
    if given[0] == "secret":
        return value.strip()
    if given[0] == "secret_env":
        if not environ.get(value):
            raise AuthError(f'DNS credential "{name}": the environment variable {value} (secret_env) is not set.')
        return environ[value].strip()
    try:
        return Path(value).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RuntimeError) as error:  # no text, no path, nobody's home
        raise AuthError(f'DNS credential "{name}": {value} (secret_file) cannot be read: {error}.') from error


def backend(
    name: str, credentials: Mapping[str, Any], secrets: Mapping[str, str | DnsError], resolvers: Sequence[str]
) -> Backend:
    """Return the backend of the credential `name`.

    Raises:
        AuthError: there is no such credential, or it says something that its provider does not understand.
    """
    if name not in credentials:
        known = ", ".join(sorted(credentials)) or "none"
        raise AuthError(f'there is no DNS credential "{name}"; known: {known} (sendyard_dns_credentials).')
    said = credentials[name]
    if not isinstance(said, Mapping) or str(said.get("provider")) not in PROVIDERS:
        raise AuthError(f'DNS credential "{name}" needs a provider, one of: {", ".join(sorted(PROVIDERS))}.')
    secret = secrets[name]
    if isinstance(secret, DnsError):
        raise secret
    options = {option: value for option, value in said.items() if option not in SECRETS}
    return PROVIDERS[said["provider"]](name, options, secret, resolvers)


def secrets(
    names: Iterable[str], credentials: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, str | DnsError]:
    """Return the secret of every one of `names` that is a credential, or why it cannot be had."""
    found: dict[str, str | DnsError] = {}
    for name in names:
        said = credentials.get(name)
        if isinstance(said, Mapping):
            try:
                found[name] = secret_of(name, said, environ)
            except DnsError as error:
                found[name] = error
    return found
