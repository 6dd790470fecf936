# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with settings and host, decided from what was read; every fault names host and variable."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from .domains import DOMAIN
from .inspection import RELEASES

SECONDS_OFF = 60  # time synchronisation, which the run sets up, mends less; more breaks TSIG, ACME and DKIM dates


def setting_faults(said: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with settings that are of the right type, without their prefix."""
    for name in ("fqdn", "bounce_domain"):
        if said.get(name) and not DOMAIN.match(str(said[name])):
            yield f'sendyard_{name}: "{said[name]}" is no fully qualified name in lower case'
    if said.get("selector") and not DOMAIN.match(f"{said['selector']}.x"):
        yield f'sendyard_selector: "{said["selector"]}" is no DNS label in lower case'
    if not said.get("addresses"):
        yield "sendyard_addresses: at least one address is needed"
    for number, address in enumerate(said.get("addresses") or (), 1):
        yield from _address_faults(number, address)
    credentials = said.get("dns_credentials") or {}
    credential = said.get("dns_credential")
    if not credential:
        yield "sendyard_dns_credential: no credential is named for the server's own names"
    elif credential not in credentials:
        yield (
            f'sendyard_dns_credential: "{credential}" is not in sendyard_dns_credentials '
            f"({', '.join(credentials) or 'which is empty'})"
        )
    if said.get("certificate_source") == "provided" and not said.get("certificate_provided"):
        yield "sendyard_certificate_provided: sendyard_certificate_source is provided, but no certificate is named"


def _address_faults(number: int, address: Mapping[str, Any]) -> Iterator[str]:
    for name in ("public", "bind"):
        value = address.get(name)
        if value is None:
            continue
        try:
            ipaddress.ip_address(str(value))
        except ValueError:
            yield f'sendyard_addresses: entry {number}: {name}: "{value}" is no IP address'


def host_faults(found: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a host.

    Args:
        found: what `inspection.inspect` returned, and `clock_off`, the seconds between its clock and ours.
        said: the owner's settings without their prefix.
    """
    if found["distribution"] != "debian" or found["release"] not in RELEASES:
        yield (
            f"the host runs {found['distribution']} {found['release']}; supported are Debian "
            f"{' and '.join(RELEASES)}. Reinstall it with one of them"
        )
    if found["init"] != "systemd":
        yield f"the host's init is {found['init']}; systemd is needed"
    for address in found["addresses_missing"]:
        yield (
            f"sendyard_addresses: the host does not hold {address}. Add it to the host, or, behind a 1:1 NAT, "
            'name the address that it does hold as "bind"'
        )
    if abs(found["clock_off"]) > SECONDS_OFF:
        yield (
            f"the host's clock is off by {found['clock_off']:.0f} s; more than {SECONDS_OFF} s breaks ACME, TSIG and "
            "DKIM. Set it (its provider's time source), then run again"
        )
    if found["port25"] == "blocked":
        yield (
            "outbound port 25 is blocked: none of sendyard_preflight_port25_targets "
            f"({', '.join(said.get('preflight_port25_targets', []))}) answered. Ask the provider to open it"
        )
    for port, process in found["occupied"].items():
        if port == "80" and said.get("certificate_source") != "acme":
            continue
        yield f"port {port} is taken by {process}. Stop and disable it; a sending server has the port for itself"
    if found["main_cf"] == "foreign" and not said.get("takeover"):
        yield (
            "sendyard_takeover: /etc/postfix/main.cf exists and is not ours. To replace that configuration, say "
            "sendyard_takeover: true; a copy is kept on the host"
        )
