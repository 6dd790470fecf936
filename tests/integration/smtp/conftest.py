# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The senders and the sink of the Postfix tests: what is proven here is the configuration that users get."""

from __future__ import annotations

from integration.postfix.conftest import image, network, receiver, sender

__all__ = ["image", "network", "receiver", "sender"]
