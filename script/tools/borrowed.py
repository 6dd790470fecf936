# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The lab of this checkout for those who need a bare one: what is there is set aside, and brought back afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.stages import ROOT

Words = tuple[str, ...]


@dataclass(frozen=True)
class Loan:
    """What to tell lab/lab, in this order: for a lab with bare hosts and empty zones, and to leave what was there."""

    take: tuple[Words, ...]
    give_back: tuple[Words, ...]

    @property
    def take_commands(self) -> tuple[Words, ...]:
        """The commands that take the lab."""
        return tuple(("lab/lab", *words) for words in self.take)

    @property
    def give_back_commands(self) -> tuple[Words, ...]:
        """The commands that leave what was there."""
        return tuple(("lab/lab", *words) for words in self.give_back)


def loan(name: str, *, made: str = "", state: Path = ROOT / "lab/.state") -> Loan:
    """Look whether a lab is there, running or not.

    Args:
        name: what its state is called while it is set aside.
        made: what a state is called that the borrower keeps meanwhile; it goes.
    """
    if not state.exists():
        return Loan(take=(("up",),), give_back=(("down",),))
    keep: tuple[Words, ...] = (("up",), ("save", "--name", name))
    if (state / "saved" / name).exists():  # by a run that was killed: that is the lab to bring back, not what it left
        keep = ()
    forget = tuple(("forget", "--name", one) for one in (name, made) if one)
    return Loan(take=(*keep, ("reset", "--name", "fresh")), give_back=(("reset", "--name", name), *forget))
