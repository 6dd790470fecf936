# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Nobody sends to others without a login; the drill has every form on every port from everywhere, and the control."""

from __future__ import annotations

import lab_api
import pytest
from lab_hosts import Sender
from lab_relay import PORTS, taken
from lab_submission import Tunnels


@pytest.mark.parametrize(("sender", "family"), [("mx-trixie", 4), ("mx-bookworm", 6)], indirect=["sender"])
def test_no_form_of_an_address_is_relayed_for_a_stranger(sender: Sender, family: int, stranger: Tunnels) -> None:
    word = lab_api.token()
    assert [line for port in PORTS for line in taken(sender, word, port, family, stranger)] == []
    assert lab_api.mails(word) == []
