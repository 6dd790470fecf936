# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A server gets another address: it is used when resolvers have forgotten the records without it."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import lab_api
from programs import run

SENDER = "mx-trixie"
DEADLINE = 400.0  # seconds for one run


def site(*words: str, playbook: str = "site.yml") -> tuple[int, str]:
    """Run a playbook for one sender; its exit code, and all it said."""
    done = run("ansible-playbook", playbook, "--limit", SENDER, *words, deadline=DEADLINE)
    return done.returncode, done.stdout + done.stderr


def give_ttl(name: str, ttl: int) -> None:
    """Write the TXT records at the apex `name` anew, with another TTL."""
    values = lab_api.ask("ns1", name, "TXT")
    assert lab_api.update(name, lambda message: message.replace(name, ttl, "TXT", *values)) == "NOERROR"


def test_a_new_address_is_used_when_caches_have_forgotten_what_stood_before() -> None:
    """The server sends over IPv4 alone, and gets an IPv6 address while a domain's SPF record has a TTL of two hours."""
    said = lab_api.info()["hosts"][SENDER]
    address, ttl = said["ipv6"][0], 7200
    alone = json.dumps({"sendyard_addresses": [{"public": said["ipv4"][0]}]})
    careful = ("-e", "sendyard_new_addresses_at_once=false")
    left_out = f"{address}: new here, and until"

    def may_send() -> bool:
        return "inet_protocols=ipv4" not in lab_api.root(SENDER, "cat", "/etc/postfix/master.cf").stdout

    def remembered(shift: float = 0) -> dict[str, Any]:
        """What the server remembers of its addresses, with `until` set back by so many seconds."""
        path = "/var/lib/sendyard/dkim.json"
        state = json.loads(lab_api.root(SENDER, "cat", path).stdout)
        for one in state["unused"].values() if shift else ():
            one["until"] -= shift
        if shift:
            lab_api.root(SENDER, "sh", "-c", f"cat >{path}", stdin=json.dumps(state))
        return dict(state["unused"])

    code, output = site("-e", alone)
    assert code == 0, output
    give_ttl("acme.example.", ttl)
    code, output = site(*careful, "--check")
    assert left_out in " ".join(output.split()), output
    assert remembered() == {}
    code, output = site(*careful)
    words = " ".join(output.split())
    assert code == 0, output
    assert left_out in words and "an older answer for acme.example. TXT" in words
    assert not may_send()
    assert f"ip6:{address}" in " ".join(lab_api.ask("ns1", "acme.example.", "TXT"))
    (until,) = remembered().values()
    assert ttl - 600 < until["seconds"] <= ttl

    code, output = site(*careful, playbook="playbooks/serve.yml")
    assert code == 0, output
    assert left_out in " ".join(output.split())
    assert not may_send()
    with socket.create_connection((address, 587), 20) as client:
        assert client.recv(512).startswith(b"220 ")

    left = float(lab_api.root(SENDER, "date", "+%s").stdout)
    remembered(shift=until["until"] - left - 20)  # as if nearly all of the time had passed
    began = time.monotonic()
    code, output = site(*careful, playbook="playbooks/serve.yml")
    assert code == 0, output
    assert "This run waits until then" in " ".join(output.split())
    assert time.monotonic() - began > 10
    assert may_send()
    give_ttl("acme.example.", 3600)
