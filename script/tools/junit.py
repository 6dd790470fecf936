# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""JUnit XML: counting what others wrote, and one test case for a command that writes none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

# What XML 1.0 cannot hold, not even as an entity (colours of a terminal, mostly).
UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Counts:
    """Numbers of tests; one that broke before it could decide counts as failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def count(path: Path) -> Counts | None:
    """Count the test cases of one file; None if it is not there or not whole (its writer was killed, say)."""
    try:
        cases = ElementTree.parse(path).getroot().iter("testcase")  # noqa: S314  # written by our own commands
    except (FileNotFoundError, ElementTree.ParseError):
        return None
    verdicts = [_verdict(case) for case in cases]
    return Counts(verdicts.count("passed"), verdicts.count("failed"), verdicts.count("skipped"))


def write_single(path: Path, name: str, seconds: float, failure: str) -> None:
    """Write a file with one test case, which passed if `failure` is empty."""
    suite = ElementTree.Element("testsuite", name=name, tests="1", failures=str(int(bool(failure))), errors="0")
    case = ElementTree.SubElement(suite, "testcase", classname=name, name=name, time=f"{seconds:.3f}")
    if failure:
        text = UNPRINTABLE.sub("", failure)
        ElementTree.SubElement(case, "failure", message=text.splitlines()[0]).text = text
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _verdict(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"
