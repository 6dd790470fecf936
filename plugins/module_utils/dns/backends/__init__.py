# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a way to change zones must offer; one file a provider implements it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from ..model import Change, DnsError, Key, RRset
from ..planner import Found

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name
    import dns.rdatatype


class AuthError(DnsError):
    """The credential is not accepted, or may not do this."""


class ClockError(DnsError):
    """The controller's clock and the server's are too far apart for signed requests."""


class ZoneNotFound(DnsError):
    """The credential's server has no zone for a name."""


class AmbiguousZone(ZoneNotFound):
    """The credential sees several zones of one name, and nothing says which of them the world asks."""


class Delegated(DnsError):
    """The name belongs to a zone below, which another credential must change."""


class Conflict(DnsError):
    """Somebody changed a record set since it was read; nothing of the batch was written."""


class Unsupported(DnsError):
    """The provider cannot store this."""


class Transient(DnsError):
    """No answer, or one that says to try again; whether the batch was written is unknown."""


@dataclass(frozen=True)
class Caps:
    """What a provider can do.

    Attributes:
        atomic: what is written wholly or not at all: "batch", "rrset" or "record".
        compare_and_swap: whether a write fails when the record set changed since it was read.
        value_level: whether a write holds our values alone, so that it cannot lose those of others.
        keeps_what_it_takes: whether what it took stands, so that it need not be read again to know.
        writes: whether it can change anything; else a person must.
        sees_delegations: whether reading tells that a name belongs to a zone below; else the name servers are asked.
    """

    atomic: str
    compare_and_swap: bool
    value_level: bool
    sees_delegations: bool
    keeps_what_it_takes: bool = False
    writes: bool = True


@dataclass(frozen=True)
class Zone:
    """A zone at a provider; `token` is the provider's own handle of it."""

    name: dns.name.Name
    token: str = ""


MIN_SECRET = 8  # characters; a shorter one is no secret, and to hide it would blacken half of what is said


def check_options(name: str, provider: str, said: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise AuthError for an option of the credential `name` that `provider` does not know."""
    known = sorted({"provider", *known})
    if unknown := sorted(set(said) - set(known)):
        raise AuthError(
            f'DNS credential "{name}": {", ".join(map(str, unknown))} is no option of provider {provider}; it has '
            f"{', '.join(known)}."
        )


def check_secret(name: str, secret: str) -> str:
    """Return the secret of the credential `name`. Raises AuthError where it is too short to be one."""
    if len(secret) < MIN_SECRET:
        raise AuthError(f'DNS credential "{name}": the secret has fewer than {MIN_SECRET} characters.')
    return secret


def portions(changes: Sequence[Change], size: Callable[[Change], int], most: int) -> list[list[Change]]:
    """Return `changes` in their order, in portions of at most `most` by `size`; one that is larger is alone."""
    found: list[list[Change]] = []
    room = 0
    for change in changes:
        if size(change) > room or not found:
            found.append([])
            room = most
        found[-1].append(change)
        room -= size(change)
    return found


def refuse_if_changed(found: Found, change: Change, state: Callable[[RRset | None], Any]) -> None:
    """Raise Conflict where what a provider without conditions has now, `found`, is not what `change` was made of.

    `state` returns what tells a record set from another one.
    """
    key = change.key
    if key in found.faults or state(found.rrsets[key]) != state(change.before):
        raise Conflict(f"{key} was changed by somebody else since it was read; nothing of it was written.")
    if key.type != dns.rdatatype.CNAME and key.name in found.aliases:
        raise Conflict(f"{key}: the name became a CNAME since it was read; nothing of it was written.")


def longest_zones(
    names: Iterable[dns.name.Name], zones: Mapping[dns.name.Name, Sequence[Zone]], where: str
) -> dict[dns.name.Name, Zone | DnsError]:
    """Return for each of `names` the one of `zones` that holds it, label by label, or why there is none.

    Args:
        zones: by their names; several of one name are refused, with their handles.
        where: who was asked, for errors.
    """
    found: dict[dns.name.Name, Zone | DnsError] = {}
    for name in names:
        zone = name
        while zone not in zones and zone != dns.name.root:
            zone = zone.parent()
        found[name] = _the_one(name, zones.get(zone, ()), where)
    return found


def _the_one(name: dns.name.Name, zones: Sequence[Zone], where: str) -> Zone | DnsError:
    if not zones:
        return ZoneNotFound(
            f"{where} has no zone that holds {name}. Create the zone there, allow the credential to see it, or name "
            "the credential of the provider that has it."
        )
    if len(zones) > 1:
        tokens = ", ".join(zone.token for zone in zones)
        return AmbiguousZone(
            f"{where} has {len(zones)} zones named {zones[0].name} ({tokens}), and only one of them can be what the "
            "world asks. Remove the others, or let the credential see only that one."
        )
    return zones[0]


class Backend(Protocol):
    """A credential at work. Every method may be called from several threads, and raises only `DnsError`s."""

    caps: Caps

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the zone that holds each name, or why there is none."""

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return the names of the servers that the world asks for `zone`."""

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key, and CNAMEs at their names."""

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return `changes` in portions that `apply` takes at once."""

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Write `changes`, if everything they touch is still as it was read.

        Raises:
            Conflict: it is not, and nothing was written.
            AuthError, Unsupported: the provider refuses, and nothing was written.
            Transient: nobody knows; read again.
        """

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Find out, without changing anything, whether the credential may write at `keys`.

        Where a provider has no way to tell, what can be told is that the zone can be read.

        Raises:
            AuthError: it may not.
        """

    def settled(self, seconds: float) -> None:
        """Return when the provider says that its name servers have all that was written.

        Raises:
            Transient: they have not within `seconds`.
        """

    def close(self) -> None:
        """Give connections back."""
