# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DNS records that a server and a sending domain need, as `mail_dns` takes them. Pure: names in, records out."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

TTL = 3600  # seconds
SPF_LABEL = "_spf-sendyard"  # below a domain, where its record includes ours

Record = dict[str, Any]  # name, type, ttl, values, mode, was, credential, subject, optional, first

# What authorities are called in CAA records (RFC 8659 section 4.2), by the host of their ACME directory.
ISSUERS = {
    "acme-v02.api.letsencrypt.org": "letsencrypt.org",
    "acme-staging-v02.api.letsencrypt.org": "letsencrypt.org",
    "acme.zerossl.com": "sectigo.com",
    "api.buypass.com": "buypass.com",
    "dv.acme-v02.api.pki.goog": "pki.goog",
}


def host_records(
    fqdn: str,
    addresses: Sequence[str],
    selector: str,
    public_key: str,
    bounce_domain: str,
    *,
    subject: str,
    credential: str,
    ptr: bool = False,
    caa_issuers: Sequence[str] = (),
    dmarc_rua: str = "",
    ttl: int = TTL,
) -> list[Record]:
    """Return the records of a server: its name both ways, and its own domain, from which it bounces and alerts.

    Args:
        addresses: the public addresses that it sends from, both families.
        public_key: of the DKIM key of `fqdn`, base64 of the DER SubjectPublicKeyInfo; "" where its record is not to be
            touched, or only the names matter, as in mail_dns with state checked.
        bounce_domain: the envelope sender's domain, whose mail is bounces.
        subject: whose fault a failure is: the server's inventory name.
        caa_issuers: the authorities that may issue its certificate; what others wrote there stays. None: no CAA record.
        dmarc_rua: where the reports of its domains go, which their domain has to allow for others (RFC 9990 section 4).
        ptr: whether `credential` may change the reverse zones too; else PTR records are in mode manual.
    """
    spf = " ".join(
        ["v=spf1", *mechanisms(addresses), "-all"]
    )  # these names are wholly ours: nobody else sends for them
    own = [
        *(_record(fqdn, kind, values) for kind, values in _by_family(addresses).items()),
        _record(fqdn, "MX", [f"10 {fqdn}."]),
        _record(fqdn, "TXT", [spf]),
        _record(bounce_domain, "MX", [f"10 {fqdn}."]),
        _record(bounce_domain, "TXT", [spf]),
        _dkim(fqdn, selector, public_key),
        _record(f"_dmarc.{fqdn}", "TXT", [dmarc("reject")]),
    ]
    if caa_issuers:
        own.append(_record(fqdn, "CAA", [f'0 issue "{issuer}"' for issuer in caa_issuers], mode="member"))
    # For whoever the server serves, so that the number of its records does not grow with theirs.
    own += [{**_record(report_name(taker), "TXT", ["v=DMARC1"]), "optional": True} for taker in takers(dmarc_rua)]
    return [
        *_completed(own, subject, credential, ttl),
        *reverse_records(
            fqdn, addresses, subject=subject, credential=credential, mode="own" if ptr else "manual", ttl=ttl
        ),
    ]


def reverse_records(
    fqdn: str,
    addresses: Sequence[str],
    *,
    subject: str,
    credential: str = "",
    mode: str = "manual",
    ttl: int = TTL,
) -> list[Record]:
    """Return the PTR records that lead from addresses to a name; in mode manual somebody else sets them."""
    made = [_record(reverse_name(address), "PTR", [f"{fqdn}."], mode=mode) for address in addresses]
    return _completed(made, subject, credential, ttl)


def tlsa_records(fqdn: str, keys: Sequence[str], gone: Sequence[str], *, credential: str, ttl: int) -> list[Record]:
    """Return the TLSA record of port 25 of a host (RFC 7672 section 3.1.1): its keys, whoever certified them.

    It is a subject of its own: without it the server serves all the same.

    Args:
        keys: hex sha256 of each public key that the host serves, or is about to.
        gone: those that an earlier record of ours had.
        ttl: in seconds.
    """
    name = f"_25._tcp.{fqdn}"
    record = {**_record(name, "TLSA", _tlsa(keys)), "was": _tlsa(gone)}
    return _completed([record], name, credential, ttl)


def reverse_name(address: str) -> str:
    """Return where the PTR record of an address stands (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    return ipaddress.ip_address(address).reverse_pointer


def domain_records(
    domain: str,
    selector: str,
    public_key: str,
    addresses: Sequence[str],
    *,
    dmarc_policy: str = "none",
    dmarc_rua: str = "",
    first_policy: str = "",
    spf_style: str = "merge",
    return_path: str = "",
    fqdn: str = "",
    subject: str = "",
    credential: str,
    ttl: int = TTL,
) -> list[Record]:
    """Return the records of a sending domain on one server: our addresses in its SPF, a DKIM key, DMARC.

    Args:
        selector, public_key, addresses: the server's; other servers of the domain add theirs. `public_key` as above.
        dmarc_rua: where aggregate reports go, a URI such as mailto:dmarc@example.org; "" for nowhere.
        first_policy: what a first DMARC record of a whole zone says, since others may send for it; "": the same.
        spf_style: merge, our addresses in the domain's own record; include, in one of ours, which that one includes.
        return_path: labels below the domain, by whose name its mail comes to the server `fqdn` as bounces; "" for none.
        subject: whose fault a failure is; the domain itself where it is "".
    """
    policy = _record(f"_dmarc.{domain}", "TXT", [dmarc(dmarc_policy, dmarc_rua)])
    if first_policy not in ("", dmarc_policy):
        policy["first"] = [dmarc(first_policy, dmarc_rua)]
    records = [*_spf(domain, addresses, spf_style), _dkim(domain, selector, public_key), policy]
    completed = _completed(records, subject or domain, credential, ttl)
    if return_path:
        completed += _completed(
            _return_path(f"{return_path}.{domain}", fqdn, addresses), subject or domain, credential, ttl
        )
    return completed


def remembering(records: Sequence[Record], earlier: Sequence[Record]) -> list[Record]:
    """Return `records` with what `earlier` ones at the same place had, and these do not want, as `was`.

    So an address that a server gave up leaves its A record and the SPF of its domains. Where nothing is wanted any more
    at the place of an earlier record (the PTR of that address), a record without values says that it is to go. Several
    earlier ones at one place are what different runs wrote there; where a first record would have been another, both
    were ours.
    """
    had: dict[tuple[str, str], Record] = {}
    for record in earlier:
        had[_place(record)] = _with_was(record, had.get(_place(record)))
    places = {_place(record) for record in records}
    given_up = [_with_was({**record, "values": []}, record) for place, record in had.items() if place not in places]
    return [_with_was(record, had.get(_place(record))) for record in records] + given_up


def takers(rua: str) -> list[str]:
    """Return the domains of the mailboxes in a list of mailto URIs; a URI may end in the size that it takes."""
    mailboxes = [uri.strip().removeprefix("mailto:").partition("?")[0].partition("!")[0] for uri in rua.split(",")]
    return list(dict.fromkeys(mailbox.rpartition("@")[2].lower() for mailbox in mailboxes if "@" in mailbox))


def report_name(taker: str) -> str:
    """Return where the domain `taker` allows all others to have their DMARC reports sent to it (RFC 9990 section 4)."""
    return f"*._report._dmarc.{taker}"


def issuers(acme_directory: str) -> list[str]:
    """Return the name in CAA records of the authority with this ACME directory, none where it is not known."""
    issuer = ISSUERS.get(urllib.parse.urlsplit(acme_directory).hostname or "")
    return [issuer] if issuer else []


def mechanisms(addresses: Sequence[str]) -> list[str]:
    """Return the SPF mechanisms of addresses (RFC 7208 section 5.6)."""
    return [f"ip{address.version}:{address}" for address in map(ipaddress.ip_address, addresses)]


def dkim(public_key: str) -> str:
    """Return the DKIM key record of an RSA key (RFC 6376 section 3.6.1)."""
    return f"v=DKIM1; k=rsa; p={public_key}"


def dmarc(policy: str, rua: str = "") -> str:
    """Return a DMARC record (RFC 9989 section 4.7); `rua` is a URI or ""."""
    return "; ".join(["v=DMARC1", f"p={policy}", *([f"rua={rua}"] if rua else [])])


def _spf(domain: str, addresses: Sequence[str], style: str) -> list[Record]:
    """Return the SPF records of a domain; what the other style would have put into its own one goes."""
    ours, included = mechanisms(addresses), f"include:{SPF_LABEL}.{domain}"
    if style == "merge":
        return [{**_record(domain, "TXT", ours, mode="spf"), "was": [included]}]
    return [
        _record(f"{SPF_LABEL}.{domain}", "TXT", [*ours, "-all"], mode="spf"),
        {**_record(domain, "TXT", [included], mode="spf"), "was": ours},
    ]


def _return_path(name: str, fqdn: str, addresses: Sequence[str]) -> list[Record]:
    """Return the records of a domain's return path on one server: bounces come to it, and it alone sends by that name.

    Other servers of the domain add theirs. The name is wholly ours, so that a first SPF record of it refuses the rest.
    """
    return [
        _record(name, "MX", [f"10 {fqdn}."], mode="member"),
        _record(name, "TXT", [*mechanisms(addresses), "-all"], mode="spf"),
    ]


def _tlsa(digests: Sequence[str]) -> list[str]:
    return [f"3 1 1 {digest}" for digest in digests]


def _dkim(domain: str, selector: str, public_key: str) -> Record:
    # An empty p= would mean that the key is revoked, so without a key there is no value.
    return _record(f"{selector}._domainkey.{domain}", "TXT", [dkim(public_key)] if public_key else [])


def _record(name: str, kind: str, values: Sequence[str], *, mode: str = "own") -> Record:
    return {"name": name, "type": kind, "values": list(values), "mode": mode}


def _completed(records: Sequence[Record], subject: str, credential: str, ttl: int) -> list[Record]:
    return [{"was": [], **record, "ttl": ttl, "subject": subject, "credential": credential} for record in records]


def _by_family(addresses: Sequence[str]) -> Mapping[str, list[str]]:
    parsed = [ipaddress.ip_address(address) for address in addresses]
    families = {"A": [str(a) for a in parsed if a.version == 4], "AAAA": [str(a) for a in parsed if a.version == 6]}
    return {kind: values for kind, values in families.items() if values}


def _place(record: Mapping[str, Any]) -> tuple[str, str]:
    return record["name"], record["type"]


def _with_was(record: Record, earlier: Record | None) -> Record:
    if earlier is None:
        return record
    had = [*earlier["values"], *earlier.get("first", ()), *earlier["was"]]
    gone = [value for value in had if value not in record["values"]]
    return {**record, "was": list(dict.fromkeys([*record["was"], *gone]))}
