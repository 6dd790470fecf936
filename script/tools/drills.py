# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The slow proofs: faults, kills and whole tables of cases, on throw-away hosts in containers of their own.

Each room of tests/drills is a drill, and a stage of its own.
"""

from __future__ import annotations

import argparse
import sys

from tools.stages import ROOT, Runner, pytest_stage, summary

DEADLINE = 1800.0  # seconds for one drill


def names() -> list[str]:
    """The drills there are."""
    return sorted({path.parent.name for path in (ROOT / "tests/drills").glob("*/test_*.py")})


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/drills", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("drills", nargs="*", choices=[*names(), []], metavar="DRILL", help=", ".join(names()))
    chosen = parser.parse_args().drills or names()
    runner = Runner()
    runner.run_all(pytest_stage(f"drill-{name}", f"tests/drills/{name}", deadline=DEADLINE) for name in chosen)
    print("\n".join(summary(runner.outcomes.values())), flush=True)
    return int(runner.failed)


if __name__ == "__main__":
    sys.exit(main())
