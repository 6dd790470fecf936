# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who guesses passwords: what a failed login means for the network it came from and for the login that was tried.

A network with too many failures is blocked for a time. A login is never: whoever can fail at it from many networks
could silence it; it is told of instead. Pure: no input, no output, and the caller says what time it is (any clock, in
seconds). What is kept is bounded, whatever a flood of addresses does: the oldest goes first.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_NETWORKS = 20_000  # with failures in the window, and as many that are blocked
MAX_PAIRS = 100_000  # of a login and a network
MAX_NETWORKS_OF_LOGIN = 2_000

# Seconds in which failures still come that were under way when a block began. Those that come later show that somebody
# has let the network in.
UNDER_WAY = 10


@dataclass(frozen=True)
class Policy:
    """What is too much. Times are seconds.

    `failures` within `window` block a network for `block`; networks are as long as `prefix4` and `prefix6` say. Those
    `allowed` are never blocked. A login at which `networks` failed within `login_window` is told of.
    """

    failures: int
    window: int
    block: int
    prefix4: int
    prefix6: int
    networks: int
    login_window: int
    allowed: tuple[Network, ...] = ()

    def network(self, address: Address) -> Network:
        """The network that `address` is counted with."""
        return ip_network((address, self.prefix4 if address.version == 4 else self.prefix6), strict=False)

    def allows(self, address: Address) -> bool:
        """True if `address` is never blocked. (The packet filter lets it through a blocked network, too.)"""
        return address.is_loopback or any(address in network for network in self.allowed)


@dataclass(frozen=True)
class Failure:
    """One login that failed. `known` is True if the login exists, so that its password was wrong."""

    login: str
    known: bool
    address: Address


# Dovecot 2.3 and 2.4, by auth_verbose. What a client chose stands before the address or at the end, never in between: a
# login in which a character is not allowed has "?" there. Longer logins than 64 are cut short by 2.4.
_LINES = (
    re.compile(r"auth: (?P<what>[\w-]+)\((?P<login>[^,()\s]*),(?P<address>[0-9a-f.:]+)\): (?P<why>.*)", re.DOTALL),
    re.compile(
        r"auth\((?P<login>[^,()\s]*),(?P<address>[0-9a-f.:]+),sasl:\w+\): (?P<what>[\w-]+): (?P<why>.*)", re.DOTALL
    ),
)
_MISMATCH, _UNKNOWN, _DISALLOWED = "Password mismatch", "unknown user", "Username character disallowed"


class Attempts:
    """Makes failed logins of Dovecot's lines.

    Two passdbs are asked, one after the other, and each that does not let a client in has a line: a client that fails
    has two, one that the second lets in has one. Those of one attempt follow one another.
    """

    def __init__(self) -> None:
        self.open: tuple[str, str, str] | None = None  # login, address and verdict of a first line

    def read(self, message: str) -> Failure | None:
        """The failure that `message` completes, if any."""
        line = next((found for pattern in _LINES if (found := pattern.fullmatch(message))), None)
        if line is None:
            return None
        login, said, why = line["login"], line["address"], line["why"]
        try:
            address = ip_address(said)
        except ValueError:
            return None
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if why.startswith(_DISALLOWED):
            self.open = None
            return Failure("?", False, address)
        if why not in {_MISMATCH, _UNKNOWN}:
            return None
        first, self.open = self.open, None
        if first is None or first[:2] != (login, said):
            first = None
            self.open = (login, said, why)
        if why == _MISMATCH:
            return Failure(login, True, address)
        return Failure(login, False, address) if first is not None and first[2] == _UNKNOWN else None


@dataclass(frozen=True)
class Verdict:
    """What follows from a failure: a network to block, if any, and lines for the log."""

    block: Network | None = None
    events: tuple[str, ...] = ()


@dataclass
class _Guessed:
    """One login: networks that failed at it, the latest last, each with the time of its last failure and how many."""

    networks: OrderedDict[str, tuple[float, int]]
    told: float | None = None


class Guesses:
    """Everything that is known of failures, blocks and guessed logins."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._sources: OrderedDict[str, list[float]] = OrderedDict()
        self._blocked: OrderedDict[str, float] = OrderedDict()  # until when
        self._logins: OrderedDict[str, _Guessed] = OrderedDict()
        self._pairs = 0

    def fail(self, failure: Failure, now: float) -> Verdict:
        """Take one failure. What comes from an allowed address is nobody's guessing."""
        if self.policy.allows(failure.address):
            return Verdict()
        network = self.policy.network(failure.address)
        events = self._guessed(failure.login, str(network), now) if failure.known else ()
        if now < self._blocked.get(str(network), 0) - self.policy.block + UNDER_WAY:
            return Verdict(None, events)
        times = self._sources.setdefault(str(network), [])
        self._sources.move_to_end(str(network))
        times.append(now)
        while times[0] <= now - self.policy.window:
            del times[0]
        if len(times) < self.policy.failures:
            if len(self._sources) > MAX_NETWORKS:
                self._sources.popitem(last=False)
            return Verdict(None, events)
        said = (
            f"event guessing-blocked network={network} failures={len(times)} window={self.policy.window}s "
            f"for={self.policy.block}s"
        )
        del self._sources[str(network)]
        self._blocked.pop(str(network), None)
        self._blocked[str(network)] = now + self.policy.block
        if len(self._blocked) > MAX_NETWORKS:
            self._blocked.popitem(last=False)
        return Verdict(network, (*events, said))

    def _guessed(self, login: str, network: str, now: float) -> tuple[str, ...]:
        """Count a failure at a login that exists; returns what is to be told, once in a window."""
        guessed = self._logins.setdefault(login, _Guessed(OrderedDict()))
        self._logins.move_to_end(login)
        failures = guessed.networks.pop(network, (now, 0))[1]
        self._pairs += not failures
        guessed.networks[network] = (now, failures + 1)
        oldest = now - self.policy.login_window
        while next(iter(guessed.networks.values()))[0] <= oldest or len(guessed.networks) > MAX_NETWORKS_OF_LOGIN:
            guessed.networks.popitem(last=False)
            self._pairs -= 1
        while self._pairs > MAX_PAIRS and len(self._logins) > 1:
            forgotten = self._logins.popitem(last=False)[1]
            self._pairs -= len(forgotten.networks)
        many = len(guessed.networks) >= self.policy.networks
        if not many or (guessed.told is not None and now - guessed.told < self.policy.login_window):
            return ()
        guessed.told = now
        failures = sum(network[1] for network in guessed.networks.values())
        return (
            f"event login-guessed login={login} networks={len(guessed.networks)} failures={failures} "
            f"window={self.policy.login_window}s",
        )

    def blocked(self, now: float) -> dict[Network, int]:
        """The networks that are blocked now, and for how many seconds more."""
        for network, until in list(self._blocked.items()):
            if until <= now:
                del self._blocked[network]
        return {ip_network(network): max(1, round(until - now)) for network, until in self._blocked.items()}

    def release(self, standing: Collection[Network]) -> None:
        """Forget the blocks that are not among those `standing`: somebody has let the network in."""
        for network in list(self._blocked):
            if ip_network(network) not in standing:
                del self._blocked[network]

    # --- over a restart

    def kept(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "sources": {network: list(times) for network, times in self._sources.items()},
            "blocked": dict(self._blocked),
            "logins": {
                login: {"networks": dict(guessed.networks), "told": guessed.told}
                for login, guessed in self._logins.items()
            },
        }

    def take_up(self, kept: Mapping[str, Any]) -> None:
        """What `kept` returned, of before. Raises ValueError, TypeError, KeyError, AttributeError."""
        sources = {str(ip_network(network)): list(map(float, times)) for network, times in kept["sources"].items()}
        blocked = {str(ip_network(network)): float(until) for network, until in kept["blocked"].items()}
        logins = {
            login: _Guessed(
                OrderedDict(
                    (network, (float(last), int(number))) for network, (last, number) in said["networks"].items()
                ),
                None if said["told"] is None else float(said["told"]),
            )
            for login, said in kept["logins"].items()
        }
        self._sources, self._blocked, self._logins = OrderedDict(sources), OrderedDict(blocked), OrderedDict(logins)
        self._pairs = sum(len(guessed.networks) for guessed in logins.values())
