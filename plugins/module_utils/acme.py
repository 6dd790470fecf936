# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates from an ACME server (RFC 8555), by Debian's certbot: http-01, answered by certbot itself on port 80.

certbot's own timer renews them. A run calls certbot only where there is nothing to renew yet, or nothing good.
Standard library only, since it runs on hosts.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .certificates import read_certificate
from .deploy_certificate import Layout, lineage_name, lineage_pair
from .errors import SendyardError
from .host import files
from .host.command import Result, run

_KEY_OPTIONS: Mapping[str, Sequence[str]] = {
    "ecdsa": ("--key-type", "ecdsa", "--elliptic-curve", "secp256r1"),
    "rsa": ("--key-type", "rsa", "--rsa-key-size", "2048"),
}

_BUSY = "Another instance of Certbot is already running"  # its timer, or somebody by hand
_PAUSE = 2.0  # seconds until it is tried again

_PROBLEM = re.compile(r'\{[^{}]*"type":\s*"urn:ietf:params:acme:error:[^{}]*\}')
_UNPROVEN = ("dns:", "connection:", "unauthorized:")  # the server did not find the proof that the host is the name's


class AcmeError(SendyardError):
    """The ACME server gave no certificate. The message quotes its reason."""


@dataclass(frozen=True)
class Account:
    """Whom to ask, and as whom."""

    directory: str  # URL of the server's directory resource (RFC 8555 section 7.1.1)
    email: str
    ca_file: str = ""  # roots for the server's own TLS certificate, "" for the system's
    deadline: float = 90.0  # seconds for one certificate
    options: tuple[str, ...] = ()  # further options of certbot; tests give it other directories and another port


def why_request(key_type: str, *, fqdn: str, account: Account, now: datetime, layout: Layout) -> str:
    """Why certbot must be asked for the certificate of `fqdn` with this type of key; "" where it need not."""
    pair = lineage_pair(key_type, layout)
    conf = layout.letsencrypt / "renewal" / f"{lineage_name(key_type)}.conf"
    if pair is None or not conf.is_file():
        return "there is none yet"
    server = renewal_server(conf.read_text(encoding="utf-8"))
    if server != account.directory:
        return f"the one there is from {server}"
    leaf = read_certificate(pair.chain[0], str(layout.lineage(key_type)))
    if leaf.names != (fqdn.lower(),):
        return f"the one there is for {', '.join(leaf.names)}"
    if leaf.due(now):
        return f"the one there ends on {leaf.not_after:%Y-%m-%d}, and nothing has renewed it"
    return ""


def renewal_server(conf: str) -> str:
    """The ACME directory that a renewal configuration of certbot names, "" where it names none."""
    found = re.search(r"^server\s*=\s*(\S+)", conf, re.MULTILINE)
    return found.group(1) if found else ""


def request(key_type: str, *, fqdn: str, account: Account, layout: Layout) -> None:
    """Have certbot get a certificate for `fqdn`. Its key stays the same over all renewals.

    Another certbot that runs is waited for, within `account.deadline`.

    Raises:
        AcmeError: the server refused, or cannot be reached. What certbot made for it is gone again, except for an
            account at the server: those are limited, and the next try uses it.
        CommandError: certbot is not installed, or did not end within `account.deadline` seconds.
    """
    command = [
        "certbot", "certonly", "--non-interactive", "--standalone", "--preferred-challenges", "http",
        "--cert-name", lineage_name(key_type), "--domain", fqdn, *_KEY_OPTIONS[key_type],
        "--reuse-key", "--force-renewal",  # it was decided that one is needed
        "--server", account.directory, "--agree-tos", "--email", account.email, "--no-eff-email",
        "--logs-dir", str(layout.logs),
        "--no-directory-hooks",  # the caller deploys, under the lock that the hook would wait for
        *account.options,
    ]  # fmt: skip
    end = time.monotonic() + account.deadline
    while True:
        before = _entries(key_type, layout)
        try:
            answer = run(command, deadline=max(end - time.monotonic(), _PAUSE), env=trust(account.ca_file))
        except SendyardError:
            _forget(key_type, layout, before)
            raise
        if answer.ok:
            return
        if _BUSY not in answer.stdout + answer.stderr:
            _forget(key_type, layout, before)
            raise AcmeError(_refusal(answer, fqdn, account, layout))
        if time.monotonic() + _PAUSE > end:  # what appeared meanwhile is the other's
            raise AcmeError(
                f"certbot was not asked for a certificate for {fqdn}: another one ran for {account.deadline:.0f} s. "
                "The one in use was left as it is. See what it does (ps -C certbot u), and run again."
            )
        time.sleep(_PAUSE)


def trust(ca_file: str) -> dict[str, str]:
    """The environment in which certbot trusts the roots in `ca_file` instead of the system's."""
    return {"REQUESTS_CA_BUNDLE": ca_file} if ca_file else {}


def _refusal(answer: Result, fqdn: str, account: Account, layout: Layout) -> str:
    """The message of an AcmeError."""
    log = files.read(layout.logs / "letsencrypt.log")
    said = problem(log.content.decode(errors="replace") if log else "") or _printed(answer.stdout + answer.stderr)
    advice = f"More is in {layout.logs}/letsencrypt.log."
    if said.startswith(_UNPROVEN):
        advice = (
            f"It looks for the proof at http://{fqdn}/: that name must lead to this host, and port 80 must be open."
        )
    return f"{account.directory} gave no certificate for {fqdn}: {said} The one in use was left as it is. {advice}"


def problem(log: str) -> str:
    """What the server refused for: the last problem document (RFC 8555 section 6.7) in certbot's log, "" without one.

    Not what certbot prints: Debian 12's prints "AttributeError: can't set attribute" where an order is refused.
    """
    found = [json.loads(match.group()) for match in _PROBLEM.finditer(log)]
    # badNonce is no refusal: the client asks again (section 6.5).
    kinds = [(item["type"].rpartition(":")[2], str(item.get("detail", "")).rstrip(".")) for item in found]
    last = [f"{kind}: {detail}." for kind, detail in kinds if kind != "badNonce"][-1:]
    return "".join(last)


def _printed(output: str) -> str:
    """What certbot printed, without what it says every time; for where it never came to ask."""
    found = re.search(r"An unexpected error occurred:\n((?:.+\n?)+)", output)
    lines = (found.group(1) if found else output).splitlines()
    kept = [line for line in lines if not re.match(r"Ask for help|See the logfile|Saving debug log", line)]
    return (" ".join(" ".join(kept).split())[-1000:] or "certbot said nothing").rstrip(".") + "."


def _entries(key_type: str, layout: Layout) -> set[Path]:
    """What certbot may have made for our certificate with this type of key: of other lineages nothing."""
    name, root = lineage_name(key_type), layout.letsencrypt
    lineage = (root / "renewal" / f"{name}.conf", root / "live" / name, root / "archive" / name)
    found = {inner for path in lineage for inner in (path, *path.rglob("*")) if inner.exists() or inner.is_symlink()}
    # Copies without a lineage's name; nothing ever reads them.
    return found.union(*((root / directory).glob("*.pem") for directory in ("keys", "csr")))


def _forget(key_type: str, layout: Layout, before: set[Path]) -> None:
    """Remove what appeared since `before`."""
    for path in sorted(_entries(key_type, layout) - before, reverse=True):  # what is in a directory before that
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
