# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PTR records at whoever an address belongs to: one file a provider, each of them a credential at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..dns import PTR_PROVIDERS
from ..dns import credentials as dns_credentials
from ..dns.backends import AuthError
from ..dns.model import DnsError


class NotHeld(DnsError):
    """The address is none of the credential's."""


class Unsettable(DnsError):
    """The provider has no way to set the PTR record of this address; somebody else may have."""


@dataclass(frozen=True)
class Standing:
    """What a provider says of an address.

    Attributes:
        name: that it has or will have, in the provider's spelling; None where there is none.
        failure: why the provider could not do the last change, "" where it did not fail.
    """

    name: str | None
    failure: str = ""


class Provider(Protocol):
    """A credential at work. Addresses are as RFC 5952 writes them. Methods raise only `DnsError`s."""

    def names(self, addresses: Sequence[str]) -> Mapping[str, Standing | DnsError]:
        """Return what each address is called, or why it cannot be told: `NotHeld`, `Unsettable`."""

    def set(self, address: str, name: str) -> None:
        """Have `address` called `name`; `names` was asked for it before. The world may see it later."""

    def close(self) -> None:
        """Give connections back."""


def provider(name: str) -> Any:
    """Return the module of the provider `name` of credentials; one import statement each, as in dns.credentials."""
    if name == "hetzner":
        from . import hetzner  # noqa: PLC0415

        return hetzner
    from . import ec2  # noqa: PLC0415

    return ec2


def secret_of(name: str, credentials: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Return the secret of the credential `name`, "" where it needs none.

    Raises:
        AuthError: there is no such credential, its provider sets no PTR records, or its secret cannot be had.
    """
    said = credentials.get(name)
    if not isinstance(said, Mapping):
        raise AuthError(
            f'there is no DNS credential "{name}"; known: {", ".join(sorted(credentials)) or "none"} '
            "(sendyard_dns_credentials)."
        )
    if said.get("provider") not in PTR_PROVIDERS:
        raise AuthError(
            f'DNS credential "{name}": provider {said.get("provider")} sets no PTR records of addresses; '
            f"{' and '.join(PTR_PROVIDERS)} do. For reverse zones of your own: sendyard_publish_ptr."
        )
    given = any(said.get(option) for option in dns_credentials.SECRETS)
    if not given and not provider(said["provider"]).NEEDS_SECRET:
        return ""
    return dns_credentials.secret_of(name, said, environ)


def connect(name: str, credentials: Mapping[str, Any], secret: str) -> Provider:
    """Return the credential `name`, of which `secret_of` has told the secret, at work.

    Raises:
        AuthError: it says something that its provider does not understand, or is not accepted.
    """
    said = credentials[name]
    options = {option: value for option, value in said.items() if option not in dns_credentials.SECRETS}
    made: Provider = provider(said["provider"]).make(name, options, secret)
    return made
