# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The world of these tests, built once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.transport_policy.world import World, build


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    """Everything runs; tests that take something away bring it back."""
    # Not pytest's: it closes its directories to other users whenever it starts, and Postfix is one.
    with tempfile.TemporaryDirectory(prefix="sendyard-sts-") as directory, build(Path(directory)) as built:
        yield built
