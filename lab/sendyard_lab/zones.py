# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The lab's DNS: a root of its own, and below it zones that hold nothing of the senders until a run publishes it."""

from __future__ import annotations

import base64
import hashlib
import struct
import time
from collections.abc import Iterable

from sendyard_lab.hosts import CA, NS1, NS2, RX, STRANGER
from sendyard_lab.slice import GATEWAY, Slice
from sendyard_lab.state import State, public_key

TTL = 10  # seconds; short, since a test that resets the name servers must not wait for caches
ALGORITHM = 13  # ECDSA P-256 with SHA-256 (RFC 6605)
KEY_FLAGS = 257  # zone key and secure entry point: one key signs everything (RFC 4034 section 2.1.1)
UPDATE_KEY = "sendyard."
TRANSFER_KEY = "transfer."

STATIC_ZONES = ("example.", "rx.example.", "lab.example.", "stranger.example.")
# one for each address of the receiver: strict, sink, seven-bit sink
RECEIVER_DOMAINS = ("rx.example.", "sink.rx.example.", "seven.rx.example.")
# zones that the run may change
OPEN_ZONES = ("yard.example.", "acme.example.", "globex.example.")


def zone_names(lab: Slice) -> list[str]:
    """Every zone of the lab, the root first."""
    return [".", *STATIC_ZONES, *OPEN_ZONES, *lab.reverse_zones]


def stem(zone: str) -> str:
    """What files of a zone are called."""
    return zone.removesuffix(".") or "root"


def key_file(zone: str) -> str:
    """The file in lab/.state that holds the key of a zone."""
    return f"dnssec/{stem(zone)}.pem"


def changeable(lab: Slice) -> set[str]:
    """The zones that the key of the run may change."""
    return {*OPEN_ZONES, *lab.reverse_zones}


def delegation_signer(state: State, zone: str) -> str:
    """DS record of a zone without its owner: "tag algorithm digest-type digest" (RFC 4034 sections 5 and B)."""
    point = public_key(state, key_file(zone))[-64:]  # both coordinates, as RFC 6605 section 4 wants them
    rdata = struct.pack("!HBB", KEY_FLAGS, 3, ALGORITHM) + point
    total = sum(byte << 8 if index % 2 == 0 else byte for index, byte in enumerate(rdata))
    tag = (total + (total >> 16)) & 0xFFFF
    labels = [label for label in zone.split(".") if label]
    owner = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    return f"{tag} {ALGORITHM} 2 {hashlib.sha256(owner + rdata).hexdigest().upper()}"


def zone_files(lab: Slice, state: State) -> dict[str, str]:
    """Zone file of every zone; the serial is the time: a fresh primary is newer than an old secondary's copy."""
    apex = (
        f"$TTL {TTL}\n@ SOA ns1.lab.example. hostmaster.lab.example. {int(time.time())} 30 5 86400 5\n"
        "@ NS ns1.lab.example.\n@ NS ns2.lab.example.\n"
    )
    records = {
        ".": [*_delegations(state, ["example.", *lab.reverse_zones]), *_name_servers(lab)],
        "example.": _top_level(lab, state),
        "rx.example.": _receiver(lab, state),
        "lab.example.": _infrastructure(lab),
        "stranger.example.": _stranger(lab, state),
        **{zone: [] for zone in OPEN_ZONES},
        **_reverse(lab),
    }
    return {zone: f"$ORIGIN {zone}\n{apex}" + "".join(f"{line}\n" for line in lines) for zone, lines in records.items()}


def _address_records(name: str, lab: Slice, number: int) -> list[str]:
    """A and AAAA of one name."""
    ipv4, ipv6 = lab.addresses(number)
    return [f"{name} A {ipv4}", f"{name} AAAA {ipv6}"]


def _name_servers(lab: Slice) -> list[str]:
    """Addresses of both name servers, as glue and as data."""
    return [line for host in (NS1, NS2) for line in _address_records(f"{host.fqdn}.", lab, host.number)]


def _delegations(state: State, zones: Iterable[str]) -> list[str]:
    """NS and DS of child zones."""
    lines = []
    for zone in zones:
        lines += [f"{zone} NS ns1.lab.example.", f"{zone} NS ns2.lab.example."]
        lines.append(f"{zone} DS {delegation_signer(state, zone)}")
    return lines


def _top_level(lab: Slice, state: State) -> list[str]:
    """The zone of "example.": delegations, and a sending domain without DMARC for a control."""
    children = [zone for zone in (*STATIC_ZONES, *OPEN_ZONES) if zone != "example."]
    return [
        *_delegations(state, children),
        *_name_servers(lab),
        f'nodmarc TXT "{_stranger_spf(lab)}"',
        f"control._domainkey.nodmarc TXT {_dkim_record(state)}",
    ]


def _receiver(lab: Slice, state: State) -> list[str]:
    """The receiver's three faces: strict, sink, and a sink that speaks neither 8BITMIME nor SMTPUTF8."""
    key = hashlib.sha256(public_key(state, "tls/rx.key")).hexdigest()
    lines = []
    for number, domain in zip((RX.number, *RX.extra), RECEIVER_DOMAINS, strict=True):
        lines += [f"{domain} MX 10 mx.{domain}", *_address_records(f"mx.{domain}", lab, number)]
        lines.append(f"_25._tcp.mx.{domain} TLSA 3 1 1 {key}")  # DANE: a sender that checks it logs "Verified"
    return lines


def _infrastructure(lab: Slice) -> list[str]:
    """Names of the lab's own hosts; the alignment control sends as an address of this domain."""
    return [
        *_name_servers(lab),
        *_address_records(f"{CA.fqdn}.", lab, CA.number),
        *_address_records(f"{STRANGER.fqdn}.", lab, STRANGER.number),
        *_address_records("controller", lab, GATEWAY),
        '_dmarc TXT "v=DMARC1; p=reject"',
    ]


def _stranger_spf(lab: Slice) -> str:
    """SPF of the controls: every address of the stranger, so that a control fails for one reason only."""
    addresses = [f"ip4:{address}" for address in STRANGER.ipv4(lab)]
    addresses += [f"ip6:{address}" for address in STRANGER.ipv6(lab)]
    return f"v=spf1 {' '.join(addresses)} -all"


def _dkim_record(state: State) -> str:
    """The key record of the controls as character-strings of at most 255 bytes (RFC 6376 section 3.6.2.2)."""
    text = "v=DKIM1; k=rsa; p=" + base64.b64encode(public_key(state, "control-dkim.pem")).decode()
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))


def _stranger(lab: Slice, state: State) -> list[str]:
    """A domain that does everything right from .68, and what is wrong with it in one place each."""
    proper = STRANGER.extra[1]
    return [
        f'@ TXT "{_stranger_spf(lab)}"',
        '_dmarc TXT "v=DMARC1; p=reject"',
        f"control._domainkey TXT {_dkim_record(state)}",
        *_address_records("sender", lab, proper),
        *_address_records("mismatch", lab, proper),  # PTR of .67, whose address it is not
        "@ MX 10 sender",
        # signed and aligned like its parent, but no address may send for it
        'nospf TXT "v=spf1 -all"',
        f"control._domainkey.nospf TXT {_dkim_record(state)}",
    ]


def _reverse(lab: Slice) -> dict[str, list[str]]:
    """PTR records of both networks; the senders' and the stranger's main address have none."""
    mismatched, proper = STRANGER.extra
    names = {
        GATEWAY: "controller.lab.example.",
        **{host.number: f"{host.fqdn}." for host in (NS1, NS2, CA)},
        **{number: f"mx.{domain}" for number, domain in zip((RX.number, *RX.extra), RECEIVER_DOMAINS, strict=True)},
        mismatched: "mismatch.stranger.example.",
        proper: "sender.stranger.example.",
    }
    ipv4_zone, ipv6_zone = lab.reverse_zones
    return {
        ipv4_zone: [f"{number} PTR {name}" for number, name in names.items()],
        ipv6_zone: [f"{_nibbles(number)} PTR {name}" for number, name in names.items()],
    }


def _nibbles(number: int) -> str:
    """Owner of an IPv6 PTR record, relative to the zone of the /64 (RFC 3596 section 2.5)."""
    digits = f"{int(str(number), 16):016x}"
    return ".".join(reversed(digits))


def knot_configuration(lab: Slice, state: State) -> str:
    """knot.conf of the primary: signs every zone, takes updates with the run's key, transfers to the secondary."""
    ipv4, ipv6 = lab.addresses(NS1.number)
    secondary = lab.addresses(NS2.number)[0]
    zones = "".join(
        f'  - domain: "{zone}"\n    file: "{stem(zone)}.zone"\n'
        f"    acl: [{'transfer, update' if zone in changeable(lab) else 'transfer'}]\n"
        for zone in zone_names(lab)
    )
    return f"""server:
  listen: [{ipv4}@53, "{ipv6}@53"]
  rundir: /run/knot
log:
  - target: syslog
    any: info
database:
  storage: /var/lib/knot
key:
  - id: {UPDATE_KEY}
    algorithm: hmac-sha256
    secret: {state.text("tsig")}
  - id: {TRANSFER_KEY}
    algorithm: hmac-sha256
    secret: {state.text("transfer.tsig")}
remote:
  - id: ns2
    address: {secondary}
    key: {TRANSFER_KEY}
acl:
  - id: update
    key: {UPDATE_KEY}
    action: update
  - id: transfer
    key: {TRANSFER_KEY}
    action: transfer
policy:
  - id: lab
    manual: on
    single-type-signing: on
    algorithm: ecdsap256sha256
    dnskey-ttl: {TTL}
    rrsig-lifetime: 60d
    rrsig-refresh: 20d
template:
  # The zone file is read at the start only and written after every change: updates survive a restart.
  - id: default
    storage: /var/lib/knot
    notify: ns2
    dnssec-signing: on
    dnssec-policy: lab
    serial-policy: unixtime
    semantic-checks: on
zone:
{zones}"""


def bind_configuration(lab: Slice, state: State) -> str:
    """named.conf of the secondary: every zone by NOTIFY and transfer with TSIG, answers from what it got."""
    ipv4, ipv6 = lab.addresses(NS2.number)
    zones = "".join(
        f'zone "{zone}" {{ type secondary; primaries {{ ns1; }}; file "/var/cache/bind/{stem(zone)}.zone"; }};\n'
        for zone in zone_names(lab)
    )
    return f"""key "{TRANSFER_KEY}" {{ algorithm hmac-sha256; secret "{state.text("transfer.tsig")}"; }};
primaries ns1 {{ {lab.addresses(NS1.number)[0]} key "{TRANSFER_KEY}"; }};
options {{
  directory "/var/cache/bind";
  listen-on {{ {ipv4}; }};
  listen-on-v6 {{ {ipv6}; }};
  recursion no;
  dnssec-validation no;
  allow-transfer {{ none; }};
  // a transfer that was held back is tried again within seconds
  min-refresh-time 5; max-refresh-time 30; min-retry-time 2; max-retry-time 5;
  notify no;
  transfers-in 20; transfers-per-ns 20;
  serial-query-rate 100;
}};
{zones}"""
