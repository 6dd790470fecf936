# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own resolver: Unbound, validating, and resolv.conf, which follows once it answers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .. import dns_client, systemd
from ..command import run
from .base import (
    ACTIVATE,
    COMMON_PATHS,
    PROBE,
    Change,
    Effect,
    ProbeError,
    Stage,
    Step,
    Subsystem,
    Unit,
    ValidationError,
    read_text,
)
from .postfix import postfix_unit

RESOLV_CONF = Path("/etc/resolv.conf")
_CONFIG = Path("/etc/unbound/unbound.conf")
_FRAGMENTS = Path("/etc/unbound/unbound.conf.d")
_ROOT_KEY = Path("/var/lib/unbound/root.key")
_HELPER = Path("/usr/libexec/unbound-helper")
# Those who would write resolv.conf read how not to when they start.
_WRITERS = {
    "/etc/NetworkManager/": "NetworkManager.service",
    "/etc/systemd/resolved.conf.d/": "systemd-resolved.service",
    "/etc/systemd/networkd.conf.d/": "systemd-networkd.service",
}


class Resolver(Subsystem):
    """Validated by unbound-checkconf on a tree of staged and standing fragments, probed by a question."""

    name = "resolver"
    title = "Unbound"
    owned = (
        r"/etc/unbound(/.+)?",
        r"/etc/default/unbound",
        r"/etc/(sendyard/)?resolv(conf)?\.conf",
        r"/etc/(NetworkManager|dhcp|dhcpcd|resolvconf|cloud|network)/.*sendyard[\w.-]*",
        r"/etc/systemd/(resolved|networkd)\.conf\.d/[\w.-]*sendyard[\w.-]*\.conf",
        r"/etc/systemd/system/[\w@-]+\.service\.d/[\w.-]*sendyard[\w.-]*\.conf",
        *COMMON_PATHS,
    )
    settings_known: ClassVar[Mapping[str, type | tuple[type, ...]]] = {
        "address": str,
        "probe_name": str,
        "probe_type": str,
        "expect_ad": bool,
        "deadline": (int, float),
    }

    def own_units(self) -> tuple[Unit, ...]:
        """Debian's unit."""
        return (Unit("unbound.service"),)

    def validate(self, stage: Stage) -> None:
        """unbound-checkconf over the fragments as they will be; what it warns of is refused too."""
        directory = stage.root / "config"
        directory.mkdir()
        main = stage.spec(_CONFIG)
        text = main.content.decode() if main is not None else read_text(_CONFIG)
        fragments = {path.name: read_text(path) for path in sorted(_FRAGMENTS.glob("*.conf"))}
        fragments |= {s.path.name: s.content.decode() for s in stage.wanted if s.path.parent == _FRAGMENTS}
        for name, fragment in fragments.items():
            (directory / name).write_text(stage.rewritten(fragment))
        if not _ROOT_KEY.exists() and _HELPER.exists():  # Debian's unit makes it when it first starts
            run([_HELPER, "root_trust_anchor_update"], deadline=30)
        text = stage.rewritten(text).replace(str(_FRAGMENTS), str(directory))
        (stage.root / "unbound.conf").write_text(text)
        answer = run(["unbound-checkconf", stage.root / "unbound.conf"], deadline=30)
        if not answer.ok or "warning" in answer.stderr:
            said = answer.said.replace(str(directory), str(_FRAGMENTS)).replace(str(stage.root), "")
            raise ValidationError(f"Unbound would not start with this: {said}\nThe running resolver was left as it is.")

    def steps(self, changes: Sequence[Change]) -> Iterable[Step]:
        """Unbound first; resolv.conf names it only once it answers."""
        yield from (spec for spec in self.in_order(changes) if spec.path != RESOLV_CONF)
        yield ACTIVATE
        yield PROBE
        yield from (spec for spec in self.in_order(changes) if spec.path == RESOLV_CONF)

    def effects(self, changes: Sequence[Change]) -> dict[str, Effect]:
        """Unbound restarts when a file of its own differs."""
        ours = [change for change in changes if re.match(r"/etc/(unbound|systemd/system/unbound)", str(change.path))]
        return {"unbound.service": "restart"} if ours else {}

    def probe(self) -> None:
        """Unbound answers the question of the settings, validated if the settings expect that."""
        address = str(self.settings.get("address", "127.0.0.1"))
        name, kind = str(self.settings.get("probe_name", ".")), str(self.settings.get("probe_type", "SOA"))
        deadline = float(self.settings.get("deadline", 20))
        end = time.monotonic() + deadline
        while True:
            # The first answers of a cold resolver may fail while it learns where the roots are.
            answer = dns_client.ask(address, name, kind, deadline=max(1.0, end - time.monotonic()))
            wrong = self._wrong(answer)
            if not wrong:
                return
            if time.monotonic() >= end:
                raise ProbeError(
                    f"Unbound at {address} answers {name} {kind} with {wrong} after {deadline:g} s. Can this host "
                    "reach name servers on port 53, UDP and TCP? Are root hints and trust anchors those of its network?"
                )
            time.sleep(0.5)

    def _wrong(self, answer: dns_client.Answer) -> str:
        """What is wrong with `answer`, "" if nothing."""
        if answer.rcode not in {"NOERROR", "NXDOMAIN"}:
            return answer.rcode
        if self.settings.get("expect_ad") and not answer.authenticated:
            return f"{answer.rcode}, not validated (no AD bit)"
        return ""

    def settle(self, changes: Sequence[Change]) -> list[str]:
        """Others take up how not to write resolv.conf; Postfix, whose chroot holds a copy of it, starts again."""
        restarted = []
        for prefix, unit in _WRITERS.items():
            if any(str(change.path).startswith(prefix) for change in changes):
                restarted.append(unit)
        if any(change.path == RESOLV_CONF for change in changes):
            restarted.append(postfix_unit())
        statuses = systemd.status(restarted)
        restarted = [unit for unit in restarted if statuses[unit].running]
        for unit in restarted:
            systemd.act("restart", unit)
        return restarted
