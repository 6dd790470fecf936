# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is told about its domains: one table, compiled on the controller, read on the host."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import SendyardError
from .host import files

FORMAT = 1
TABLE = Path("/var/lib/sendyard/domains.json.gz")  # where a host keeps its table

# An A-label host name of at least two labels (RFC 5890 section 2.3.1, RFC 1123 section 2.1), lower-case.
DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")

# Labels of the same form that stand below a domain, one at least.
LABELS = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")

# A login, of what can end neither a line nor a field in any file that a daemon reads it from. Lower case.
LOGIN = re.compile(r"(?P<local>[a-z0-9._=+-]+)@(?P<domain>[a-z0-9.-]+)")

# Logins of this form are made by the prover for minutes and may speak for one domain each; no customer may have one.
PROBE_PREFIX = "probe-"


class TableError(SendyardError):
    """The table of a host's domains cannot be read."""


@dataclass(frozen=True)
class Login:
    """A SASL login: `username` is an address-like name in lower case, `password_hash` a Dovecot scheme and hash."""

    username: str
    password_hash: str


@dataclass(frozen=True)
class Limits:
    """Recipients per hour and per day that mail From a domain may have; 0 is as many as it likes."""

    hourly: int
    daily: int


@dataclass(frozen=True)
class Domain:
    """One sending domain as its file says it.

    `dns` names an entry of the owner's `sendyard_dns_credentials`; `dmarc_policy`, `dmarc_rua` and `spf_style` are "",
    and `limits` and `return_path` None, where the owner's defaults hold. A `return_path` is labels below the domain, ""
    where it has none whatever the owner's default.
    """

    name: str
    servers: tuple[str, ...]
    dns: str
    logins: tuple[Login, ...] = ()
    dmarc_policy: str = ""
    dmarc_rua: str = ""
    spf_style: str = ""
    limits: Limits | None = None
    return_path: str | None = None

    def return_name(self, default: str) -> str:
        """The name below the domain that its mail may return to, "" for none. `default` are the owner's labels."""
        labels = default if self.return_path is None else self.return_path
        return f"{labels}.{self.name}" if labels else ""


@dataclass(frozen=True)
class Host:
    """The server the table is for: its inventory name, its fully qualified name and its DKIM selector.

    `public_addresses` are what the world sees, as text; they go into the SPF records of every domain. `bounce_domain`,
    `caa_issuers` and `ptr` are what `records.host_records` takes.
    """

    name: str
    fqdn: str
    selector: str
    public_addresses: tuple[str, ...] = field(default=())
    bounce_domain: str = ""
    caa_issuers: tuple[str, ...] = ()
    ptr: bool = False


def host_settings(host: Host, *, dmarc_rua: str = "") -> dict[str, Any]:
    """Return the settings that the records of a server's own names are made of, as `records.host_records` takes them.

    These are the record settings of its own domain; `domain_settings` are those of the others.
    """
    return {
        "fqdn": host.fqdn,
        "addresses": list(host.public_addresses),
        "bounce_domain": host.bounce_domain,
        "caa_issuers": list(host.caa_issuers),
        "dmarc_rua": dmarc_rua,
        "ptr": host.ptr,
    }


def domain_settings(
    host: Host,
    domain: Domain,
    *,
    dmarc_policy: str = "none",
    dmarc_rua: str = "",
    spf_style: str = "merge",
    return_path: str = "",
) -> dict[str, Any]:
    """Return the settings that the records of `domain` on `host` are made of, as `records.domain_records` takes them.

    The others are the owner's defaults for domains that say nothing. Nothing names the domain, so that those without
    settings of their own have the same.
    """
    return {
        "fqdn": host.fqdn,
        "addresses": list(host.public_addresses),
        "dmarc_policy": domain.dmarc_policy or dmarc_policy,
        "first_policy": "" if domain.dmarc_policy else "none",  # the owner's default says nothing of this domain
        "dmarc_rua": domain.dmarc_rua or dmarc_rua,
        "spf_style": domain.spf_style or spf_style,
        "return_path": return_path if domain.return_path is None else domain.return_path,
    }


def record_digest(settings: Mapping[str, Any], selector: str, dns: str = "") -> str:
    """Return a digest of everything, but the key, that records depend on: where it changed, they are published anew.

    Args:
        dns: the credential that changes the zone, "" where it is that of the server's own names.
    """
    return hashlib.sha256(json.dumps([settings, selector, dns], sort_keys=True).encode()).hexdigest()


def compile_table(
    host: Host,
    domains: Iterable[Domain],
    kept: Sequence[str] = (),
    *,
    dmarc_rua: str = "",
    return_path: str = "",
    publishing: str = "",
    **defaults: str,
) -> bytes:
    """Return the table of `host`: gzipped JSON, the same bytes for the same facts.

    Args:
        domains: the domains that are in order; those that do not name the host are left out.
        kept: domains whose files are at fault: what the host holds of them stays as it is.
        dmarc_rua, return_path, defaults: the owner's defaults for domains that say nothing, as in `domain_settings`.
        publishing: a digest of how and where the host's own records are published.

    The shape: {"format": 1, "host": {"name", "fqdn", "selector", "addresses"}, "publishing", "kept": [domain, …],
    "domains": {domain: {"logins": [username, …], "record_settings": digest, "limits": [hourly, daily],
    "return_path": name}}, "settings": {digest: record settings}, "logins": {username: hash}}. Only domains with limits
    of their own have "limits", and only those with a return path "return_path", its whole name.
    The host's own fully qualified name is one of the domains and has no logins.
    """
    own = host_settings(host, dmarc_rua=dmarc_rua)
    settings = {record_digest(own, host.selector): own}
    served: dict[str, dict[str, Any]] = {host.fqdn: {"logins": [], "record_settings": next(iter(settings))}}
    logins: dict[str, str] = {}
    for domain in domains:
        if host.name not in domain.servers:
            continue
        said = domain_settings(host, domain, dmarc_rua=dmarc_rua, return_path=return_path, **defaults)
        name = record_digest(said, host.selector, domain.dns)
        settings[name] = said
        served[domain.name] = {
            "logins": sorted(login.username for login in domain.logins),
            "record_settings": name,
        }
        if return_name := domain.return_name(return_path):
            served[domain.name]["return_path"] = return_name
        if domain.limits:
            served[domain.name]["limits"] = [domain.limits.hourly, domain.limits.daily]
        logins.update((login.username, login.password_hash) for login in domain.logins)
    table = {
        "format": FORMAT,
        "host": {
            "name": host.name,
            "fqdn": host.fqdn,
            "selector": host.selector,
            "addresses": list(host.public_addresses),
        },
        "publishing": publishing,
        "kept": sorted(kept),
        "domains": served,
        "settings": settings,
        "logins": logins,
    }
    return gzip.compress(json.dumps(table, sort_keys=True, separators=(",", ":")).encode(), mtime=0)


def digest(table: bytes) -> str:
    """Return the name by which controller and host speak of a compiled table."""
    return hashlib.sha256(table).hexdigest()


def read_table(path: str | Path) -> Mapping[str, Any]:
    """Return the table at `path`, in the shape of `compile_table`.

    Raises:
        TableError: there is no such file, or it is not a table of this format.
    """
    try:
        table = unpacked(Path(path).read_bytes())
    except (OSError, EOFError, ValueError) as error:
        raise TableError(
            f"{path}: the table of this host's domains cannot be read ({error}). Run the play again."
        ) from error
    if table.get("format") != FORMAT:
        raise TableError(
            f"{path}: the table of this host's domains has another format than {FORMAT}. Run the play again."
        )
    return table


def unpacked(table: bytes) -> Mapping[str, Any]:
    """Return what `compile_table` packed, {} for other JSON.

    Raises:
        OSError, EOFError, ValueError: this is no JSON in gzip.
    """
    said = json.loads(gzip.decompress(table))
    return said if isinstance(said, dict) else {}


def with_new_records(table: Mapping[str, Any], before: Mapping[str, Any]) -> set[str]:
    """Return the domains of `table` whose records, or the way to publish them, are not as the table `before` says."""
    if table["publishing"] != before.get("publishing"):
        return set(table["domains"])
    known = before["domains"]
    return {
        name
        for name, domain in table["domains"].items()
        if domain["record_settings"] != known.get(name, {}).get("record_settings")
    }


def keep_table(path: str | Path) -> None:
    """Keep the table at `path` as this host's own, so that it is sent again only when it changes."""
    if Path(path) != TABLE:
        files.write(files.FileSpec(TABLE, Path(path).read_bytes(), 0o600, "root", "root", sensitive=True))
