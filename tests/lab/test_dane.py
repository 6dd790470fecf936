# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Who sends to the server and checks DANE finds its keys in the TLSA record. New keys: drill records."""

from __future__ import annotations

import lab_api
import pytest
from lab_dane import CIPHERS, announced, judged, served
from lab_hosts import Sender


@pytest.mark.parametrize("key_type", CIPHERS)
def test_each_certificate_is_believed(sender: Sender, key_type: str) -> None:
    assert announced(sender) == served(sender)
    assert judged(sender, key_type, sender.fqdn) == "Verified"
    assert judged(sender, key_type, f"bounces.{sender.fqdn}") == "Verified", "by its MX record, as bounces come"


@pytest.mark.parametrize("sender", ["mx-trixie"], indirect=True)
def test_a_key_that_the_record_does_not_name_would_not_be(sender: Sender) -> None:
    """The control: what the tests here rest on notices a record that is wrong."""
    before = announced(sender)
    name = f"_25._tcp.{sender.fqdn}."
    try:
        lab_api.update("yard.example.", lambda message: message.replace(name, 10, "TLSA", f"3 1 1 {'ab' * 32}"))
        lab_api.until(
            lambda: judged(sender, "ecdsa", sender.fqdn) == "Untrusted", what="a connection that is not believed"
        )
    finally:
        lab_api.update("yard.example.", lambda message: message.replace(name, 5, "TLSA", *before))
    lab_api.until(
        lambda: judged(sender, "ecdsa", sender.fqdn) == "Verified", what="a connection that is believed again"
    )
