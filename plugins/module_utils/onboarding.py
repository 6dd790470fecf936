# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new sending domain: what was asked for, what DNS says of it already, and the file that is written for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .dns import dmarc, spf
from .domain_files import nearest
from .domains import DOMAIN, LOGIN, PROBE_PREFIX, Domain
from .errors import SendyardError

LOGIN_NAME = "app"  # the local part of a first login
BY_HAND = "manual"  # the credential of a domain whose zone we may not change
# Who is behind an include of an SPF record, by the end of its name.
SENDERS = {
    "amazonses.com": "Amazon SES",
    "google.com": "Google Workspace",
    "mailgun.org": "Mailgun",
    "mandrillapp.com": "Mailchimp Transactional",
    "mcsv.net": "Mailchimp",
    "messagingengine.com": "Fastmail",
    "mtasv.net": "Postmark",
    "outlook.com": "Microsoft 365",
    "protonmail.ch": "Proton Mail",
    "sendgrid.net": "SendGrid",
}


class WishError(SendyardError):
    """What was asked for cannot be done; the message has a line for each reason."""


@dataclass(frozen=True)
class Wish:
    """What was asked for: `domain` in A-labels, `servers` by inventory name, `dns` a credential, `login` a username.

    "" and () stand for what was not said.
    """

    domain: str
    servers: tuple[str, ...] = ()
    dns: str = ""
    login: str = ""


def wish(said: Mapping[str, object], *, senders: Sequence[str], credentials: Sequence[str]) -> Wish:
    """Return what `said` asks for: `domain`, `host` (names, in a list or with commas), `dns` and `login`.

    Raises:
        WishError: something of it is not what it should be; everything that is wrong is told at once.
    """
    domain = _text(said, "domain").lower().removesuffix(".")
    wrong = []
    if not domain:
        wrong.append("domain: which domain is to send? Say so: -e domain=acme.example")
    elif not DOMAIN.match(domain):
        wrong.append(
            f'domain: "{domain}" is no domain name of letters a-z, digits and hyphens with a dot in it'
            + ("" if domain.isascii() else "; write it in A-labels, as its registrar does (xn--…)")
        )
    servers = _names(said.get("host"))
    wrong += [f'host: "{name}" is no host of group senders; {nearest(name, tuple(senders))}' for name in servers
              if name not in senders]  # fmt: skip
    credential = _text(said, "dns")
    if credential and credential not in credentials:
        known = nearest(credential, tuple(credentials))
        wrong.append(f'dns: "{credential}" is not in sendyard_dns_credentials; {known}')
    login = _text(said, "login").lower()
    username = login if "@" in login or not login else f"{login}@{domain}"
    if username and DOMAIN.match(domain):
        wrong += _wrong_with_login(username, domain)
    if wrong:
        raise WishError("\n".join(wrong))
    return Wish(domain, servers, credential, username)


def _wrong_with_login(username: str, domain: str) -> Iterator[str]:
    matched = LOGIN.fullmatch(username)
    if not matched:
        yield f'login: "{username}" can be no login; write it like {LOGIN_NAME}, of letters a-z, digits and . _ = + -'
    elif matched["domain"] != domain:
        yield f'login: "{username}" is another domain\'s; write {matched["local"]}, for {matched["local"]}@{domain}'
    elif matched["local"].startswith(PROBE_PREFIX):
        yield f'login: "{username}": names that begin with {PROBE_PREFIX} are for proving; choose another'


def completed(wanted: Wish, senders: Sequence[str]) -> Wish:
    """Return `wanted` with what nobody said: every server, the zone changed by hand, a login called app."""
    return Wish(
        wanted.domain,
        wanted.servers or tuple(senders),
        wanted.dns or BY_HAND,
        wanted.login or f"{LOGIN_NAME}@{wanted.domain}",
    )


def differences(wanted: Wish, there: Domain) -> list[str]:
    """Return what was asked for and is not as the domain's file has it, a sentence each; what was not said is not."""
    found = []
    if wanted.servers and set(wanted.servers) != set(there.servers):
        found.append(f"servers is [{', '.join(there.servers)}], and host asks for {', '.join(wanted.servers)}")
    if wanted.dns and wanted.dns != there.dns:
        found.append(f'dns is "{there.dns}", and "{wanted.dns}" is asked for')
    if wanted.login and wanted.login not in (login.username for login in there.logins):
        found.append(f"{wanted.login} is not among its logins (script/new-login makes one)")
    return found


def file_text(wanted: Wish, password_hash: str) -> str:
    """Return the file of a new domain, of which everything is known (`completed`)."""
    by_hand = "a person changes the zone" if wanted.dns == BY_HAND else "an entry of sendyard_dns_credentials"
    return f"""---
# Written once by playbooks/onboard.yml, yours from then on. Safe to commit: it holds hashes of tokens, never a token.
domain: {wanted.domain}
servers: [{", ".join(wanted.servers)}]
dns: {wanted.dns}  # {by_hand}
logins:
  - username: {wanted.login}
    password_hash: "{password_hash}"
# limits: {{hourly: 5000, daily: 50000}}  # recipients of its mail, where it is to have others than the server's
# dmarc_policy: none      # none until the reports show that all its mail passes
# dmarc_rua: mailto:dmarc@{wanted.domain}
# return_path: bounces    # mail may return to bounces.{wanted.domain}, and is stored on the server
"""


@contextmanager
def new_file(path: Path, text: str) -> Iterator[None]:
    """Let `text` stand at `path` when the body has ended well; it is written before, where nobody looks for it.

    Raises:
        OSError: it cannot be written, or (FileExistsError) somebody else wrote one meanwhile, which stays.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with staged.open("x", encoding="utf-8") as file:
            file.write(text)
            os.fsync(file.fileno())
        yield
        os.link(staged, path)  # a rename would replace what another run wrote
    finally:
        with suppress(OSError):
            staged.unlink()


def findings(
    domain: str,
    zone: str,
    *,
    texts: Sequence[str],
    policies: Sequence[str],
    policy_of: str,
    exchanges: Sequence[str],
) -> list[str]:
    """Return what is to be said of a domain before it sends through us, a sentence each. Nothing of it is a fault.

    Args:
        zone: which zone holds its names.
        texts: its TXT records.
        policies: those at _dmarc below `policy_of`, which is the domain or, where it has none, its zone.
        exchanges: its MX records ("10 mx.acme.example.").
    """
    return [
        f"Zone: {domain} is a zone of its own" if zone == domain else f"Zone: {zone} holds {domain}",
        _spf_finding([text for text in texts if spf.is_spf(text)]),
        _dmarc_finding(
            [text for text in policies if dmarc.tags(text)], "" if policy_of == domain else f" of {policy_of}"
        ),
        _mx_finding(exchanges),
    ]


def _spf_finding(records: Sequence[str]) -> str:
    if not records:
        return "SPF: there is no record; the first one will allow these servers, and end in ~all"
    if len(records) > 1:
        count = len(records)
        return (
            f"SPF: there are {count} records, and receivers take two for none (RFC 7208 section 4.5); make one of them"
        )
    try:
        terms = spf.parse(records[0])
    except spf.SpfError as error:
        return f"SPF: {error}. Mend it: nothing can be added to it"
    others = [_sender(term.text, term.value) for term in terms if term.name != "all" and term.name in spf.MECHANISMS]
    who = f"others may send for it: {', '.join(others)}. That stays" if others else "nobody else may send for it"
    return f'SPF: "{records[0]}": {who}'


def _sender(text: str, value: str) -> str:
    host = value.removeprefix(":").lower().removesuffix(".")
    known = next((who for end, who in SENDERS.items() if host == end or host.endswith(f".{end}")), "")
    return f"{known} ({text})" if known else text


def _dmarc_finding(records: Sequence[str], of: str) -> str:
    if not records:
        return "DMARC: there is no record; the first one will ask for nothing (p=none)"
    policy = dmarc.policy(records[0]) or "none that counts"
    strict = ", and what others send must be aligned too" if policy in ("quarantine", "reject") else ""
    return f'DMARC{of}: "{records[0]}" stands (policy {policy}{strict}), and stays'


def _mx_finding(exchanges: Sequence[str]) -> str:
    hosts = [re.sub(r"\A\d+ ", "", exchange).removesuffix(".") for exchange in sorted(exchanges)]
    if not any(hosts):
        return "MX: nobody takes mail to its addresses; replies to them will not arrive"
    return f"MX: {', '.join(hosts)} takes its mail, and goes on doing so"


def _text(said: Mapping[str, object], key: str) -> str:
    value = said.get(key)
    return "" if value is None else str(value).strip()


def _names(said: object) -> tuple[str, ...]:
    names = said if isinstance(said, (list, tuple)) else str(said or "").split(",")
    return tuple(dict.fromkeys(name for one in names if (name := str(one).strip())))
