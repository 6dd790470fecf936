# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Fixtures for tests on the running lab, whose senders site.yml has made."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import lab_api
import pytest
import testinfra
from cases.from_forms import LOGIN
from lab_hosts import SENDERS, Login, Sender
from lab_submission import SUBMISSION, Tunnels, tunnels
from lab_tenants import Tenant


@pytest.fixture(scope="session", params=SENDERS)
def sender(request: pytest.FixtureRequest) -> Sender:
    """Each sender in turn."""
    known = lab_api.info()
    said = known["hosts"][request.param]
    host = testinfra.get_host(f"ssh://{request.param}", ssh_config=known["ssh_config"], sudo=True)
    return Sender(request.param, said["fqdn"], said["ipv4"][0], said["ipv6"][0], host)


@pytest.fixture(scope="session")
def logins() -> tuple[Login, ...]:
    """The lab's clients, each with a domain of its own."""
    return tuple(Login(said["username"], said["password"], tuple(said["domains"])) for said in lab_api.info()["logins"])


@pytest.fixture(scope="session")
def trust() -> ssl.SSLContext:
    """What a client of the lab's senders checks: the lab's ACME root, the name, and TLS 1.2 at least."""
    context = ssl.create_default_context(cafile=lab_api.info()["ca"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.fixture(scope="module")  # a reset of the lab, which some tests are about, ends them
def stranger() -> Iterator[Tunnels]:
    """All ports of all senders, as the stranger reaches them."""
    known = lab_api.info()["hosts"]
    addresses = [address for name in SENDERS for address in (known[name]["ipv4"][0], known[name]["ipv6"][0])]
    places = [(address, port) for address in addresses for port in (25, *SUBMISSION)]
    with tunnels("stranger", places) as opened:
        yield opened


@pytest.fixture(scope="module")
def tenant(sender: Sender, logins: tuple[Login, ...], stranger: Tunnels) -> Tenant:
    """The login of the tables, on each sender in turn, as a client at the stranger's address."""
    return Tenant(sender, next(login for login in logins if login.username == LOGIN), stranger)
