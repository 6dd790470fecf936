# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The fast inner loop: style, types, documentation and unit tests, in under a minute."""

from __future__ import annotations

import sys

from tools.stages import Runner, Stage, pytest_stage

MODULE_UTILS = "ansible_collections.sendyard.mail.plugins.module_utils"
PYTHON = sys.executable

# The slowest first, so that the short ones fill the gaps.
STAGES = (
    Stage("ansible-lint", (("ansible-lint", "--offline", "--nocolor"),), 300),
    pytest_stage("unit", "tests/unit", "--numprocesses=2", deadline=600),
    Stage("mypy", (("mypy", "-p", MODULE_UTILS, "-p", "sendyard", "-p", "sendyard_lab", "-p", "tools"),), 300),
    Stage("yamllint", (("yamllint", "--strict", "."),), 60),
    Stage("ruff", (("ruff", "check", "."), ("ruff", "format", "--check", ".")), 60),
    Stage("docs", ((PYTHON, "-m", "tools.docs", "--check"),), 60),
)


def main() -> int:
    runner = Runner()
    runner.run_all(STAGES, at_once=2)
    return int(runner.failed)


if __name__ == "__main__":
    sys.exit(main())
