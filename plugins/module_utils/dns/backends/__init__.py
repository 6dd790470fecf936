# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a way to change zones must offer; one file a provider implements it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ..model import Change, DnsError, Key
from ..planner import Found

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name


class AuthError(DnsError):
    """The credential is not accepted, or may not do this."""


class ClockError(DnsError):
    """The controller's clock and the server's are too far apart for signed requests."""


class ZoneNotFound(DnsError):
    """The credential's server has no zone for a name."""


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
    """

    atomic: str
    compare_and_swap: bool


@dataclass(frozen=True)
class Zone:
    """A zone at a provider; `token` is the provider's own handle of it."""

    name: dns.name.Name
    token: str = ""


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

        Raises:
            AuthError: it may not.
        """

    def close(self) -> None:
        """Give connections back."""
