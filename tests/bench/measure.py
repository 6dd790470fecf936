# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Measure: `measure.py [PART …] [--full]`, to reports/bench.json and a table; docs/bench.md says what the figures mean.

Ratios are of medians taken in one go, measured in turn, so that a machine that is slow today is slow for both.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext

import backlog
import domains
import publishing
import runs
import throughput
from bed import borrowed_lab
from figures import table, write
from programs import ROOT

ON_LAB = {"runs": runs.figures, "throughput": throughput.figures, "domains": domains.figures, "queue": backlog.figures}
PARTS = {"publishing": publishing.figures, **ON_LAB}  # without the lab, what needs none
ROUNDS, FULL_ROUNDS = 3, 7


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench", description="The measured figures.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--full", action="store_true", help=f"{FULL_ROUNDS} samples of each instead of {ROUNDS}")
    options = parser.parse_args()
    rounds = FULL_ROUNDS if options.full else ROUNDS
    reports = ROOT / "reports"
    reports.mkdir(exist_ok=True)
    figures = {}
    parts = options.parts or list(PARTS)
    with borrowed_lab() if ON_LAB.keys() & set(parts) else nullcontext():
        for name in parts:
            print(f"{name}:", flush=True)
            found, raw = PARTS[name](rounds)
            write(reports / "bench.json", found, raw)
            figures |= found
    print("\n".join(table(figures)))
    print("All of it: reports/bench.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
