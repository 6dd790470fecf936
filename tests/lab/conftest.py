# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Fixtures for tests on the running lab, whose senders site.yml has made."""

from __future__ import annotations

import ssl

import lab_api
import pytest
import testinfra
from lab_hosts import SENDERS, Login, Sender


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
