# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whether daemons grow with the messages that they handle: memory of their own and descriptors, process by process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import lab_api

# On the host, by its python3: of each process what is its own (that it has written to: no page that others share), and
# how many descriptors it has. Its start time tells it from a later one of the same number.
READ = """
import json, os, re
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup, open(f"/proc/{pid}/stat") as stat:
            own = re.search(r"^Anonymous: *([0-9]+)", rollup.read(), re.MULTILINE)
            name, _, columns = stat.read().partition("(")[2].rpartition(") ")
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        found.append([f"{name}:{pid}:{columns.split()[19]}", int(own[1]) if own else 0, descriptors])
    except (FileNotFoundError, ProcessLookupError):
        continue
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Sample:
    """One look at a host: after how many messages, and by process its own memory in bytes and its descriptors."""

    messages: int
    memory: Mapping[str, int]
    descriptors: Mapping[str, int]


def look(host: str, messages: int) -> Sample:
    """A look at a host, of which `messages` have been handled by now."""
    found = json.loads(lab_api.root(host, "python3", "-", stdin=READ).stdout)
    memory = {name: kilobytes * 1024 for name, kilobytes, _ in found}
    return Sample(messages, memory, {name: descriptors for name, _, descriptors in found})


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between any two points (Theil and Sen): a step or an outlier does not move it."""
    return median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in itertools.combinations(points, 2))


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Bytes a message by which each process grows that was there all the time."""
    lasting = set.intersection(*(set(sample.memory) for sample in samples))
    return {name: slope([(one.messages, one.memory[name]) for one in samples]) for name in sorted(lasting)}


def more_descriptors(samples: Sequence[Sample], allowed: int) -> Iterator[str]:
    """The processes that have more descriptors in the end than they ever had in the first half, by over `allowed`."""
    half = len(samples) // 2
    for name in samples[-1].descriptors.keys() & samples[0].descriptors.keys():
        before = max(sample.descriptors.get(name, 0) for sample in samples[:half])
        after = min(sample.descriptors.get(name, 0) for sample in samples[half:])
        if after > before + allowed:
            yield f"{name}: {before} descriptors at first, {after} in the end"
