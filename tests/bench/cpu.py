# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""CPU time of a host's processes, by the unit they belong to.

A process that has ended counts in the one that waited for it (the kernel adds its time there), and so in its unit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import lab_api

# On the host, by its python3: milliseconds by unit. Processes of a container's systemd are told apart by their cgroup,
# in the tree of either version of cgroups.
READ = """
import collections, json, os
tick = 1000 / os.sysconf("SC_CLK_TCK")
units = collections.Counter()
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cgroup") as cgroup:
            times = stat.read().rpartition(")")[2].split()[11:15]
            trees = [line.strip().split(":", 2) for line in cgroup]
    except (FileNotFoundError, ProcessLookupError):
        continue
    path = next(path for _, tree, path in trees if tree in ("name=systemd", ""))
    unit = next((part for part in reversed(path.split("/")) if part.endswith((".service", ".scope"))), "?")
    units[unit] += sum(map(int, times)) * tick
print(json.dumps(units))
"""
# What measures and what stands for the world outside is not the server's.
NOT_COUNTED = ("bench-sink", "session-", "ssh")


def spent(host: str) -> Counter[str]:
    """Milliseconds of CPU time since the host's start, by unit."""
    return Counter(json.loads(lab_api.root(host, "python3", "-", stdin=READ).stdout))


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each unit of the server took between two looks; those that took nothing are left out."""
    took = {unit: after[unit] - before.get(unit, 0.0) for unit in after if not unit.startswith(NOT_COUNTED)}
    return {unit: value for unit, value in sorted(took.items(), key=lambda item: -item[1]) if value > 0}
