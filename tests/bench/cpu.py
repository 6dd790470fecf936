# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""CPU time and memory of a host's processes, by the unit they belong to.

A process that has ended counts in the one that waited for it (the kernel adds its time there), and so in its unit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import lab_api

# On the host, by its python3: milliseconds of CPU time, and MB (what a process has for itself, and its share of what it
# has with others). Processes of a container's systemd are told apart by their cgroup, in the tree of either version.
READ = """
import collections, json, os
tick = 1000 / os.sysconf("SC_CLK_TCK")
cpu_ms, mb = collections.Counter(), collections.Counter()
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cgroup") as cgroup:
            times = stat.read().rpartition(")")[2].split()[11:15]
            trees = [line.strip().split(":", 2) for line in cgroup]
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            share = next((int(line.split()[1]) for line in rollup if line.startswith("Pss:")), 0)
    except (FileNotFoundError, ProcessLookupError):
        continue
    path = next(path for _, tree, path in trees if tree in ("name=systemd", ""))
    unit = next((part for part in reversed(path.split("/")) if part.endswith((".service", ".scope"))), "?")
    cpu_ms[unit] += sum(map(int, times)) * tick
    mb[unit] += share / 1024
print(json.dumps({"cpu_ms": cpu_ms, "mb": mb}))
"""
# What measures and what stands for the world outside is not the server's.
NOT_COUNTED = ("lab-sink", "session-", "ssh")


def spent(host: str) -> dict[str, float]:
    """Milliseconds of CPU time since the host's start, by unit."""
    return _read(host, "cpu_ms")


def memory(host: str) -> dict[str, float]:
    """MB by unit, those of the server."""
    return {unit: round(mb, 1) for unit, mb in _read(host, "mb").items() if not unit.startswith(NOT_COUNTED)}


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each unit of the server took between two looks; those that took nothing are left out."""
    took = {unit: after[unit] - before.get(unit, 0.0) for unit in after if not unit.startswith(NOT_COUNTED)}
    return {unit: value for unit, value in sorted(took.items(), key=lambda item: -item[1]) if value > 0}


def _read(host: str, what: str) -> dict[str, float]:
    found: dict[str, dict[str, float]] = json.loads(lab_api.root(host, "python3", "-", stdin=READ).stdout)
    return found[what]
