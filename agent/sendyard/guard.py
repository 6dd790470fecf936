# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard: whoever guesses passwords is refused at the submission ports for a time. `guessing` decides.

It follows what Dovecot logs of failed logins; right ones cost nothing. Blocks are elements with a timeout in a table of
nftables of its own, so they stand, and end, without it. What it knows is kept in a file together with how far it had
read: lines that came while it was away are read when it is back, and none twice.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from .guessing import Attempts, Guesses, Network, Policy

FORMAT = 1
TABLE = "inet sendyard_guard"
_UNIT = "dovecot.service"
_TICK = 0.5  # seconds between a failure and the block that follows from it, at most
_LOOK_SECONDS = 5  # how long the blocks are gone where somebody flushed all tables, and what a kill must read again
_SECONDS = 20  # for nft
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def table(policy: Policy, ports: Sequence[int], blocked: Mapping[Network, int]) -> str:
    """The whole table as nft reads it, replaced in one transaction, with the seconds that networks stay `blocked`."""
    lines = [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
    rules = []
    for version, kind, family, prefix in (
        (4, "ipv4_addr", "ip", policy.prefix4),
        (6, "ipv6_addr", "ip6", policy.prefix6),
    ):
        allowed = [str(network) for network in policy.allowed if network.version == version]
        lines += [f"set allowed{version} {{ type {kind}; flags interval; auto-merge; {_elements(allowed)} }}"]
        timed = [f"{one.network_address} timeout {left}s" for one, left in blocked.items() if one.version == version]
        lines += [f"set blocked{version} {{ type {kind}; flags timeout; size 65535; {_elements(timed)} }}"]
        mask = ip_network(("0.0.0.0" if version == 4 else "::", prefix)).netmask
        rules += [
            f"{family} saddr @allowed{version} return",
            f"{family} saddr & {mask} @blocked{version} counter reject with tcp reset",
        ]
    return "\n".join([
        *lines,
        "chain guessers {", *rules, "}",
        # Before the filter of role firewall, which accepts what is established.
        "chain input { type filter hook input priority filter - 10; policy accept;",
        f"tcp dport {{ {', '.join(map(str, ports))} }} jump guessers", "}",
        "}", "",
    ])  # fmt: skip


def connections(policy: Policy, ports: Sequence[int], blocked: Collection[Network]) -> str:
    """The connections of `blocked` networks as a filter of ss(8): those that are allowed are not among them."""
    guessers = []
    for network in blocked:
        allowed = [one for one in policy.allowed if one.version == network.version and one.subnet_of(network)]  # type: ignore[arg-type]
        guessers.append(" and ".join([f"dst {network}", *(f"not dst {one}" for one in allowed)]))
    listed = " or ".join(f"sport = :{port}" for port in ports)
    return f"( {listed} ) and ( {' or '.join(f'( {one} )' for one in guessers)} )"


def _elements(said: Iterable[str]) -> str:
    joined = ", ".join(said)
    return f"elements = {{ {joined} }}" if joined else ""


def _nft(script: str) -> str:
    """Run nft; returns what it complained of, "" where it did not."""
    try:
        done = subprocess.run(
            ["nft", "--file", "-"], input=script, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"nft did not end within {_SECONDS} s"
    return done.stderr.strip() or "nft failed" if done.returncode else ""


def _standing(policy: Policy) -> set[Network] | None:
    """The networks that are blocked in the kernel, None where there is no table."""
    command = ["nft", "--json", "list", "table", *TABLE.split()]
    done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
    if done.returncode:
        return None
    sets = [item["set"] for item in json.loads(done.stdout)["nftables"] if "set" in item]
    blocked = [one for found in sets if found["name"].startswith("blocked") for one in found.get("elem", ())]
    return {policy.network(ip_address(one["elem"]["val"])) for one in blocked}


def _table_stands() -> bool:
    command = ["nft", "--terse", "list", "table", *TABLE.split()]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return True  # a machine that slow is looked at again


class Guard:
    """The daemon: lines in, blocks and events out."""

    def __init__(self, policy: Policy, ports: Sequence[int], state: Path) -> None:
        self.policy, self.ports, self.path = policy, ports, state
        self.guesses, self.attempts = Guesses(policy), Attempts()
        self.boot = _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")
        self.cursor = ""
        self.last = 0  # microseconds since boot of the last line that was read
        self.changed = False
        self.waiting: dict[Network, float] = {}  # to be blocked with the next tick
        self.stopping = False

    # --- what is kept

    def load(self) -> None:
        """Take up what was known. Times count from boot: another boot starts at nothing, as a broken file does."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            if kept["format"] != FORMAT:
                raise ValueError(f"format {kept['format']}")
            if kept["boot"] != self.boot:
                return
            self.guesses.take_up(kept["guesses"])
            self.cursor, self.last = str(kept["cursor"]), int(kept["last"])
            self.attempts.open = tuple(kept["open"]) if kept["open"] else None
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self.guesses = Guesses(self.policy)
            print(
                f"{self.path}: what was known of guessing cannot be read ({error}); counting starts at 0.", flush=True
            )

    def save(self) -> None:
        """Keep everything, all or nothing. A disk that is full stops no block."""
        kept = {
            "format": FORMAT, "boot": self.boot, "cursor": self.cursor, "last": self.last,
            "open": self.attempts.open, "guesses": self.guesses.kept(),
        }  # fmt: skip
        temporary = self.path.with_name(f".{self.path.name}")
        try:
            temporary.write_text(json.dumps(kept, separators=(",", ":")), encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            print(f"{self.path}: what is known of guessing cannot be written ({error}).", flush=True)
        self.changed = False

    # --- lines

    def journal(self) -> subprocess.Popen[bytes]:
        """Follow Dovecot's lines from where we were, at first from boot. Nobody else can write lines of that unit."""
        where = ["--after-cursor", self.cursor] if self.cursor else ["--boot"]
        fields = "--output-fields=MESSAGE"
        command = [
            "journalctl",
            "--quiet",
            "--follow",
            "--no-tail",
            "--output=json",
            fields,
            *where,
            f"_SYSTEMD_UNIT={_UNIT}",
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def take(self, line: bytes) -> None:
        """Take one entry of the journal, if it was not taken before."""
        entry = json.loads(line)
        at = int(entry["__MONOTONIC_TIMESTAMP"])
        if entry["_BOOT_ID"] != self.boot or at <= self.last:
            return
        self.cursor, self.last, self.changed = entry["__CURSOR"], at, True
        message = entry.get("MESSAGE")
        failure = self.attempts.read(message) if isinstance(message, str) else None  # bytes come as a list
        if failure is None:
            return
        verdict = self.guesses.fail(failure, at / 1e6)
        for event in verdict.events:
            print(event, flush=True)
        if verdict.block is not None:
            self.waiting[verdict.block] = at / 1e6 + self.policy.block

    # --- blocks

    def build(self) -> None:
        """Make the table, with what is blocked. Raises RuntimeError with nft's words."""
        if said := _nft(table(self.policy, self.ports, self.guesses.blocked(time.monotonic()))):
            raise RuntimeError(f"nftables did not take the table {TABLE}: {said}")
        self.waiting.clear()

    def block(self) -> None:
        """Add what waits to the sets; where that fails, the table is made anew."""
        now, blocked = time.monotonic(), set(self.waiting)
        script = "".join(
            f"add element {TABLE} blocked{network.version} "
            f"{{ {network.network_address} timeout {round(until - now)}s }}\n"
            for network, until in self.waiting.items()
            if until - now >= 1  # read late
        )
        if script and _nft(script):
            self.build()
        # The kernel tells both sides. Else a guesser would hear of it with its next word, and our side never.
        command = ["ss", "--kill", "--tcp", connections(self.policy, self.ports, blocked)]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
        self.waiting.clear()

    # --- the loop

    def run(self) -> int:
        """Work until told to stop; returns the exit status. The unit starts us anew where the journal ends."""
        self.load()
        # What is kept as blocked stood in the kernel by then. Where it does not any more, somebody let the network in.
        standing = _standing(self.policy)
        if standing is not None:
            self.guesses.release(standing)
        self.build()
        child = self.journal()
        assert child.stdout is not None  # noqa: S101  # for mypy: it is a pipe
        descriptor = child.stdout.fileno()
        os.set_blocking(descriptor, False)
        rest, looked, ended = b"", time.monotonic(), False
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not (self.stopping or ended):
                if selector.select(_TICK):
                    data = os.read(descriptor, 1 << 16)
                    ended = not data and not self.stopping
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self.take(line)
                if self.waiting:
                    self.block()
                if time.monotonic() - looked >= _LOOK_SECONDS:
                    looked = time.monotonic()
                    if not _table_stands():
                        print(f"table {TABLE} was gone; it is back with what is blocked.", flush=True)
                        self.build()
                    if self.changed:
                        self.save()
        if ended:
            print("the journal cannot be followed any more; starting anew from boot.", flush=True)
            self.cursor = ""  # what was read before is known by its time
        child.terminate()
        self.save()
        return int(ended)


def networks(path: Path) -> list[Network]:
    """The networks of a file, one a line, with comments from # on. Raises ValueError naming the line."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if said := line.partition("#")[0].strip():
            try:
                found.append(ip_network(said, strict=False))
            except ValueError as error:
                raise ValueError(f"{path} line {number}: {error}") from None
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Guard until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="sendyard.guard", description=__doc__.splitlines()[0])
    numbers = {
        "failures": "that block a network", "window": "seconds in which they count",
        "block": "seconds that a block lasts",
        "prefix4": "bits of an IPv4 network", "prefix6": "bits of an IPv6 network",
        "networks": "that fail at one login until that is told", "login-window": "seconds in which they count",
    }  # fmt: skip
    for name, what in numbers.items():
        parser.add_argument(f"--{name}", type=int, required=True, help=what)
    parser.add_argument("--ports", type=int, nargs="+", required=True, help="where guessers are refused")
    parser.add_argument(
        "--allow", type=Path, action="append", default=[], help="file of networks that are never blocked"
    )
    parser.add_argument("--state", type=Path, required=True, help="file that keeps what is known over a restart")
    parser.add_argument("--print", action="store_true", help="print the table as nft reads it, and end")
    options: Any = parser.parse_args(arguments)
    policy = Policy(
        options.failures, options.window, options.block, options.prefix4, options.prefix6, options.networks,
        options.login_window, tuple(network for path in options.allow for network in networks(path)),
    )  # fmt: skip
    if options.print:
        print(table(policy, options.ports, {}), end="")
        return 0
    guard = Guard(policy, options.ports, options.state)

    def stop(*_: Any) -> None:
        guard.stopping = True

    signal.signal(signal.SIGTERM, stop)
    return guard.run()


if __name__ == "__main__":
    sys.exit(main())
