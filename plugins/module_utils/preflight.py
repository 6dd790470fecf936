# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with settings and host, decided from what was read; every fault begins with the variable to blame."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .certificates import CertificateError, check_pair, parse_pair
from .dns import NEED_NO_ENTRY, PTR_PROVIDERS
from .domains import DOMAIN, LABELS
from .host.command import CommandError
from .inspection import RELEASES

SECONDS_OFF = 60  # time synchronisation, which the run sets up, mends less; more breaks TSIG, ACME and DKIM dates
MAIL_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")


def _is_domain(value: Any) -> bool:
    return DOMAIN.match(str(value)) is not None


def _is_label(value: Any) -> bool:
    return _is_domain(f"{value}.x")


def _are_labels(value: Any) -> bool:
    return LABELS.match(str(value)) is not None


def _is_mail_address(value: Any) -> bool:
    return MAIL_ADDRESS.fullmatch(str(value)) is not None and _is_domain(str(value).rpartition("@")[2].lower())


def _is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return False
    return True


def _is_root_hint(value: Any) -> bool:
    words = str(value).split()
    return len(words) == 2 and _is_domain(words[0].lower().removesuffix(".")) and _is_address(words[1])


def _is_positive(value: Any) -> bool:
    return int(value) > 0


def _is_network(value: Any) -> bool:
    try:
        return ipaddress.ip_network(str(value)).prefixlen > 0
    except ValueError:
        return False


def _is_limit(value: Any) -> bool:
    return int(value) >= 0


def _is_port(value: Any) -> bool:
    return 0 < int(value) < 65536


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: re.fullmatch(pattern, str(value)) is not None


Rule = tuple[Callable[[Any], bool], str]  # what holds for a value, and what is said of one for which it does not

_NAME: Rule = (_is_domain, "is no fully qualified name in lower case")
_MAIL: Rule = (_is_mail_address, "is no mail address such as you@example.com")
_SIZE: Rule = (_matches(r"\d+[KMG]?"), "is no size: a number of bytes, or one with K, M or G behind it")
_TIME: Rule = (_matches(r"\d+[smhdw]?"), "is no time such as 30s, 5m, 3h or 1d")
_NUMBER: Rule = (_is_positive, "is too small: 1 is the least")
_LIMIT: Rule = (_is_limit, "is no limit: write a number, or 0 for none")
_ADDRESS: Rule = (_is_address, "is no IP address")

VALUES: Mapping[str, Rule] = {
    "fqdn": _NAME,
    "bounce_domain": _NAME,
    "selector": (_is_label, "is no DNS label in lower case"),
    "admin": _MAIL,
    "publish_deadline": _NUMBER,
    "return_path": (_are_labels, 'is not of DNS labels in lower case; "bounces" stands for bounces below each domain'),
    "cache_wait": (_is_limit, "is no number of seconds: write 0 to wait for nothing"),
    "dmarc_rua": (_matches(r"mailto:\S+"), "is no mailto: URI"),
    "acme_directory": (_matches(r"https://\S+"), "is no https:// URL"),
    "tlsa_ttl": _NUMBER,
    "message_size_limit": _NUMBER,
    "queue_lifetime": _TIME,
    "bounce_queue_lifetime": _TIME,
    "delay_warning_time": _TIME,
    "mail_retention_days": _NUMBER,
    "mail_max_size": _SIZE,
    "log_retention_days": _NUMBER,
    "log_max_size": _SIZE,
    "prove_recipient": _MAIL,
    **dict.fromkeys(("guard_failures", "guard_window", "guard_block", "guard_login_networks"), _NUMBER),
    "guard_login_window": _NUMBER,
    "guard_prefix4": (_matches(r"[1-9]|[12]\d|3[0-2]"), "is no length of an IPv4 network (1 to 32)"),
    "guard_prefix6": (_matches(r"[1-9]|[1-9]\d|1[01]\d|12[0-8]"), "is no length of an IPv6 network (1 to 128)"),
    "login_hourly_limit": _LIMIT,
    "login_daily_limit": _LIMIT,
    "domain_hourly_limit": _LIMIT,
    "domain_daily_limit": _LIMIT,
}
ELEMENTS: Mapping[str, Rule] = {  # of lists
    "caa_issuers": _NAME,
    "publish_resolver": _ADDRESS,
    "guard_allow": (
        _is_network,
        "is no address or network such as 198.51.100.0/24 (0.0.0.0/0: set sendyard_guard to false)",
    ),
    "firewall_extra_tcp_ports": (_is_port, "is no TCP port (1 to 65535)"),
    "resolver_root_hints": (_is_root_hint, 'is no "name address" such as "a.root.example. 192.0.2.1"'),
}
NEEDED = ("fqdn", "selector", "bounce_domain", "admin")


def setting_faults(said: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the values of settings, without their prefix; those of another type are not in `said`.

    What is said of one setting does not hang on another one's being right.
    """
    for name, value in said.items():
        if name in VALUES and value not in ("", None):
            holds, otherwise = VALUES[name]
            if not holds(value):
                yield f'sendyard_{name}: "{value}" {otherwise}'
        elif name in ELEMENTS:
            holds, otherwise = ELEMENTS[name]
            yield from (f'sendyard_{name}: "{one}" {otherwise}' for one in value or () if not holds(one))
        elif name in NEEDED:
            yield f"sendyard_{name}: it is empty"
    if "addresses" in said and not said["addresses"]:
        yield "sendyard_addresses: at least one address is needed"
    for number, address in enumerate(said.get("addresses") or (), 1):
        yield from _address_faults(number, address)
    yield from _credential_faults(said)
    if said.get("certificate_source") == "provided":
        if "certificate_provided" in said and not said["certificate_provided"]:
            yield "sendyard_certificate_provided: sendyard_certificate_source is provided, but no certificate is named"
    elif "certificate_key_types" in said and not said["certificate_key_types"]:
        yield "sendyard_certificate_key_types: at least one type of key is needed"


def _address_faults(number: int, address: Mapping[str, Any]) -> Iterator[str]:
    for name in ("public", "bind"):
        value = address.get(name)
        if value is not None and not _is_address(value):
            yield f'sendyard_addresses: entry {number}: {name}: "{value}" is no IP address'


def _credential_faults(said: Mapping[str, Any]) -> Iterator[str]:
    credentials = said.get("dns_credentials")
    for name, credential in (credentials or {}).items():
        if not isinstance(credential, Mapping):
            yield f'sendyard_dns_credentials: "{name}" must be a mapping of provider, server and so on, not a text'
    yield from _ptr_faults(said)
    if "dns_credential" not in said:
        return
    if not said["dns_credential"]:
        yield "sendyard_dns_credential: no credential is named for the server's own names"
    elif credentials is not None and said["dns_credential"] not in {**NEED_NO_ENTRY, **credentials}:
        yield (
            f'sendyard_dns_credential: "{said["dns_credential"]}" is not in sendyard_dns_credentials '
            f"({', '.join(credentials) or 'which is empty'})"
        )


def _ptr_faults(said: Mapping[str, Any]) -> Iterator[str]:
    name = said.get("ptr_credential")
    if not name:
        return
    if said.get("publish_ptr"):
        yield (
            "sendyard_ptr_credential: sendyard_publish_ptr is true too. PTR records stand either in reverse zones of "
            "yours (sendyard_publish_ptr) or at the provider of the addresses; set one of the two"
        )
    credentials = said.get("dns_credentials")
    if credentials is None:
        return  # told already
    if name not in credentials:
        yield (
            f'sendyard_ptr_credential: "{name}" is not in sendyard_dns_credentials '
            f"({', '.join(credentials) or 'which is empty'})"
        )
    elif isinstance(credentials[name], Mapping) and credentials[name].get("provider") not in PTR_PROVIDERS:
        yield (
            f'sendyard_ptr_credential: "{name}" is of provider {credentials[name].get("provider")}, which sets no PTR '
            f"records of addresses; {' and '.join(PTR_PROVIDERS)} do. Leave it empty, and set them in the panel of "
            "whom the addresses come from"
        )


def sound_addresses(said: Mapping[str, Any]) -> list[str]:
    """Return the addresses that the host should hold, without entries that are at fault."""
    entries = said.get("addresses") or ()
    values = [str(entry.get("bind") or entry["public"]) for entry in entries]
    return [str(ipaddress.ip_address(value)) for value in values if _is_address(value)]


def file_faults(said: Mapping[str, Any], read: Callable[[str], str], now: datetime) -> Iterator[str]:
    """Yield what is wrong with files and programs of the controller that settings name.

    Args:
        said: the settings that are of the right type, without their prefix.
        read: returns the text of a file as the certificate role will find it; raises OSError where there is none.
        now: the time at which certificates must be valid.
    """
    if said.get("certificate_source") == "provided" and said.get("certificate_provided") and said.get("fqdn"):
        yield from _provided_faults(said, read, now)
    if said.get("prove_tls_ca"):
        path = Path(os.path.expandvars(said["prove_tls_ca"])).expanduser()  # as a module's argument of type path
        try:
            ssl.create_default_context(cafile=path)
        except ssl.SSLError:
            yield f"sendyard_prove_tls_ca: {path} holds no PEM certificate"
        except OSError as error:
            yield f"sendyard_prove_tls_ca: {path} cannot be read on the controller: {error.strerror}"
    command = said.get("prove_fetch_command")
    if command and not shutil.which(command[0]):
        yield f'sendyard_prove_fetch_command: "{command[0]}" is no program of the controller'


def _provided_faults(said: Mapping[str, Any], read: Callable[[str], str], now: datetime) -> Iterator[str]:
    types: list[str] = []
    for number, entry in enumerate(said["certificate_provided"], 1):
        name = entry["certificate_file"]
        place = f"sendyard_certificate_provided: entry {number}"
        try:
            pair = parse_pair(read(name), read(entry["key_file"]), name)
            leaf = check_pair(pair, fqdn=said["fqdn"], now=now, origin=name)
        except CommandError:
            return  # no openssl here: the host, which has it, will tell
        except (CertificateError, OSError) as error:
            yield f"{place}: {error}"
            continue
        if leaf.key_type in types:
            yield f"{place}: {name}: a second certificate with an {leaf.key_type} key; one can serve"
        types.append(leaf.key_type)
    wanted = said.get("certificate_key_types")
    if len(types) == len(said["certificate_provided"]) and wanted is not None and set(wanted) != set(types):
        yield (
            f"sendyard_certificate_key_types: {', '.join(wanted) or 'nothing'} is said, but the certificates of "
            f"sendyard_certificate_provided have keys of type {', '.join(types)}. Say [{', '.join(types)}]"
        )


@dataclass(frozen=True)
class Identity:
    """What a server is known by and no other may share; "" or empty where it is not known."""

    name: str  # in the inventory
    fqdn: str = ""
    selector: str = ""
    addresses: tuple[str, ...] = ()  # public


def identity_faults(own: Identity, others: Iterable[Identity]) -> Iterator[str]:
    """Yield what `own` shares with another server of the inventory."""
    held = {_canonical(address): address for address in own.addresses}
    for other in others:
        if own.fqdn and own.fqdn == other.fqdn:
            yield f'sendyard_fqdn: "{own.fqdn}" is the name of {other.name} too; each server has a name of its own'
        if own.selector and own.selector == other.selector:
            yield (
                f'sendyard_selector: "{own.selector}" is the selector of {other.name} too. Keys never leave a host, so '
                "each server needs a selector of its own"
            )
        for address in other.addresses:
            if _canonical(address) in held:
                yield (
                    f'sendyard_addresses: "{held[_canonical(address)]}" is an address of {other.name} too; the world '
                    "sees one server behind an address"
                )


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address)) if _is_address(address) else address


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
