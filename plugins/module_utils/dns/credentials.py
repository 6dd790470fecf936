# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner's named credentials: where their secrets are, and which backend each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .backends import AuthError, Backend
from .model import DnsError
from .verify import Directory

SECRETS = ("secret", "secret_file", "secret_env")
PROVIDERS = ("cloudflare", "digitalocean", "gandi", "hetzner", "manual", "powerdns", "rfc2136", "route53")


def provider(name: str) -> Any:
    """Return the module of the provider `name`: its `make` makes a backend, `NEEDS_SECRET` says what it must be given.

    One import statement each: Ansible packs what it sees imported, and a run loads only what it uses.
    """
    module: Any
    if name == "cloudflare":
        from .backends import cloudflare  # noqa: PLC0415

        module = cloudflare
    elif name == "digitalocean":
        from .backends import digitalocean  # noqa: PLC0415

        module = digitalocean
    elif name == "gandi":
        from .backends import gandi  # noqa: PLC0415

        module = gandi
    elif name == "hetzner":
        from .backends import hetzner  # noqa: PLC0415

        module = hetzner
    elif name == "manual":
        from .backends import manual  # noqa: PLC0415

        module = manual
    elif name == "powerdns":
        from .backends import powerdns  # noqa: PLC0415

        module = powerdns
    elif name == "rfc2136":
        from .backends import rfc2136  # noqa: PLC0415

        module = rfc2136
    else:
        from .backends import route53  # noqa: PLC0415

        module = route53
    return module


def secret_of(name: str, said: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Return the secret of the credential `name`, without surrounding white space; "" where it needs none.

    Raises:
        AuthError: it has none, or two, or it cannot be read.
    """
    given = [option for option in SECRETS if said.get(option)]
    if not given and said.get("provider") in PROVIDERS and not provider(said["provider"]).NEEDS_SECRET:
        return ""
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
    name: str, credentials: Mapping[str, Any], secrets: Mapping[str, str | DnsError], directory: Directory
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
    made: Backend = provider(said["provider"]).make(name, options, secret, directory)
    return made


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
