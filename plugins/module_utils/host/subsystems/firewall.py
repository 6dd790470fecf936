# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nftables: one table of our own, replaced in one transaction; no other table is touched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .. import files, systemd
from ..command import run
from ..files import FileSpec
from ..fingerprints import FIREWALL_BEFORE, FIREWALL_TABLE
from .base import COMMON_PATHS, Change, Effect, ProbeError, SettingsError, Stage, Subsystem, Unit, ValidationError

RULES = Path("/etc/sendyard/firewall.nft")
_UNIT = "sendyard-firewall.service"
_DEADMAN = "sendyard-firewall-deadman"
_DEADMAN_SECONDS = 60


class Firewall(Subsystem):
    """Validated by loading it into an empty network namespace; applied with a dead man's switch.

    A rule set that shuts SSH out would leave nobody to mend it. So the ports of `ssh_ports` must be accepted before it
    is applied, and a timer brings the old table back after 60 s unless it is disarmed. With `confirm: host` (the
    default) the module disarms it once the live table is seen to accept them: the timer then covers a module that
    died or hung in between. With `confirm: controller` it stays armed, and the next call that finds nothing to
    change disarms it: made over a new connection (`meta: reset_connection`), that call is the proof from outside.
    """

    name = "firewall"
    title = "nftables"
    owned = (
        r"/etc/sendyard/firewall\.nft",
        r"/etc/systemd/system/nftables\.service\.d(/[\w.-]+\.conf)?",
        *COMMON_PATHS,
    )
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {"ssh_ports": list, "confirm": str}

    def own_units(self) -> tuple[Unit, ...]:
        """The unit that loads the table at boot."""
        return (Unit(_UNIT),)

    @property
    def ssh_ports(self) -> list[int]:
        """The TCP ports that must stay open. Raises SettingsError where there is none."""
        ports = [int(port) for port in self.required("ssh_ports")]
        if not ports:
            raise SettingsError("settings of firewall: ssh_ports is empty; that would lock everybody out.")
        return ports

    def validate(self, stage: Stage) -> None:
        """Check the syntax against the host, then load the rules where they do no harm and look for the SSH ports."""
        rules = stage.at(RULES)
        stage.text(RULES)
        answer = run(["nft", "--check", "--file", rules], deadline=20)
        if not answer.ok:
            said = answer.said.replace(str(stage.root), "")
            raise ValidationError(f"nftables would not take this: {said}\nThe rules in force were left as they are.")
        # A network namespace that ends with the process: nothing of it reaches the host.
        load = 'nft --file "$0"; exec nft --json list table inet sendyard'
        loaded = run(["unshare", "--net", "sh", "-ec", load, rules], deadline=20)
        if loaded.ok:  # a container may not be allowed to make one; then the probe looks, with the timer armed
            self._refuse_closed(json.loads(loaded.stdout), ValidationError)

    def _refuse_closed(self, listing: dict[str, Any], error: type[ValidationError | ProbeError]) -> None:
        """Raise `error` unless the listed table accepts new connections to every SSH port."""
        closed = [port for port in self.ssh_ports if not accepts(listing, port)]
        if closed:
            raise error(
                f"{RULES} accepts no new TCP connections to port {', '.join(map(str, closed))}, by which this host "
                "is reached over SSH: it would be cut off. Add the port to the rules; those in force before stay."
            )

    def effects(self, changes: Sequence[Change]) -> dict[str, Effect]:
        """Changed rules are loaded; a changed unit takes effect at the next boot."""
        return {_UNIT: "reload"} if any(change.path == RULES for change in changes) else {}

    def before_activation(self) -> None:
        """Arm the timer that brings the table of now back."""
        there = run(["nft", "list", "table", *FIREWALL_TABLE], deadline=20)
        table = f"table {' '.join(FIREWALL_TABLE)}"
        undo = f"{table}\ndelete {table}\n" + (there.stdout if there.ok else "")
        files.write(FileSpec(FIREWALL_BEFORE, undo.encode(), 0o600))
        systemd.after(_DEADMAN, _DEADMAN_SECONDS, ["nft", "--file", str(FIREWALL_BEFORE)])

    def take_up(self, effects: Mapping[str, Effect]) -> None:
        """Load the rules. Not by the unit: stopping it deletes the table, and for a moment everything is open."""
        if effects:
            run(["nft", "--file", RULES], deadline=20).require("Loading the packet filter's rules")

    def probe(self) -> None:
        """The live table accepts SSH. Then the timer is disarmed, unless the controller is to confirm."""
        listing = run(["nft", "--json", "list", "table", *FIREWALL_TABLE], deadline=20)
        if not listing.ok:
            raise ProbeError(f"The table inet sendyard is not there after {RULES} was loaded: {listing.said}")
        self._refuse_closed(json.loads(listing.stdout), ProbeError)
        if self.settings.get("confirm", "host") == "host":
            self.confirm()

    def confirm(self) -> None:
        """Disarm the timer: the new rules stay."""
        systemd.stop_transient(f"{_DEADMAN}.timer")
        files.remove(FIREWALL_BEFORE)

    def unchanged(self) -> None:
        """This call came through: if the timer still runs, that is the confirmation it waits for."""
        if FIREWALL_BEFORE.exists():
            self.confirm()

    def withdraw(self) -> None:
        """Delete our table."""
        systemd.stop_transient(f"{_DEADMAN}.timer")
        script = f"table {' '.join(FIREWALL_TABLE)}\ndelete table {' '.join(FIREWALL_TABLE)}\n"
        run(["nft", "--file", "-"], stdin=script, deadline=20).require("Deleting the table inet sendyard")
        files.remove(FIREWALL_BEFORE)


def accepts(listing: dict[str, Any], port: int) -> bool:
    """True if a rule of `listing` (nft --json) accepts TCP to `port`, named there or in a set that it looks up."""
    objects = [item for item in listing.get("nftables", []) if isinstance(item, dict)]
    sets = {item["set"]["name"]: item["set"].get("elem", []) for item in objects if "set" in item}
    for rule in (item["rule"] for item in objects if "rule" in item):
        expressions = rule.get("expr", [])
        if any("accept" in one for one in expressions) and any(_matches(one, port, sets) for one in expressions):
            return True
    return any(_open_policy(item["chain"]) for item in objects if "chain" in item)


def _open_policy(chain: dict[str, Any]) -> bool:
    """True if what no rule of an input chain decides is accepted."""
    return chain.get("hook") == "input" and chain.get("policy") == "accept"


def _matches(expression: dict[str, Any], port: int, sets: Mapping[str, Sequence[Any]]) -> bool:
    """True if `expression` compares the TCP destination port with something that `port` is among."""
    match = expression.get("match", {})
    if match.get("left") != {"payload": {"protocol": "tcp", "field": "dport"}} or match.get("op") not in {"==", "in"}:
        return False
    right = match.get("right")
    if isinstance(right, str) and right.startswith("@"):
        right = {"set": sets.get(right[1:], [])}
    values = right["set"] if isinstance(right, dict) and "set" in right else [right]
    return any(_among(value, port) for value in values)


def _among(value: Any, port: int) -> bool:
    """True if `port` is `value`, or within the range that `value` is."""
    if isinstance(value, dict) and "range" in value:
        low, high = value["range"]
        return bool(low <= port <= high)
    return bool(value == port)
