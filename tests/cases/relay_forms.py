# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The ways in which strangers have talked servers into relaying: envelope forms that must be refused wherever nobody
logged in.

{user}, {domain} and {theirs} (an address literal) are the victim's, {fqdn} and {address} (a literal) the server's own,
{returns} is the return path of a domain that it serves.
"""

from __future__ import annotations

from dataclasses import dataclass

OUTSIDE = "spam@stranger.example"
PLAIN = "{user}@{domain}"


@dataclass(frozen=True)
class Form:
    """What stands between the angle brackets of MAIL FROM and RCPT TO."""

    sender: str
    recipient: str


FORMS = (
    # --- who it claims to be from
    Form(OUTSIDE, PLAIN),
    Form("", PLAIN),
    Form("spam@{fqdn}", PLAIN),
    Form("postmaster@{fqdn}", PLAIN),
    Form("root@{address}", PLAIN),
    Form("spam@localhost", PLAIN),
    Form("root", PLAIN),
    Form("app@acme.example", PLAIN),
    Form("{user}@{domain}", PLAIN),
    # --- percent hack
    Form(OUTSIDE, "{user}%{domain}@{fqdn}"),
    Form(OUTSIDE, "{user}%{domain}@{address}"),
    Form(OUTSIDE, "{user}%{domain}@localhost"),
    Form(OUTSIDE, "{user}%{domain}"),
    Form("spam@{fqdn}", "{user}%{domain}@{fqdn}"),
    Form(OUTSIDE, "{user}%{domain}%{fqdn}@{fqdn}"),
    # --- quoted
    Form(OUTSIDE, '"{user}@{domain}"'),
    Form(OUTSIDE, '"{user}%{domain}"'),
    Form(OUTSIDE, '"{user}@{domain}"@{fqdn}'),
    Form(OUTSIDE, '"{user}@{domain}"@{address}'),
    Form(OUTSIDE, '"{user}%{domain}"@{fqdn}'),
    Form(OUTSIDE, '"{user}@{domain}"@{returns}'),
    Form(OUTSIDE, "{user}%{domain}@{returns}"),
    Form(OUTSIDE, "{domain}!{user}@{returns}"),
    # --- two at signs, source routes
    Form(OUTSIDE, "{user}@{domain}@{fqdn}"),
    Form(OUTSIDE, "{user}@{domain}@{address}"),
    Form(OUTSIDE, "{user}@{domain}@{returns}"),
    Form(OUTSIDE, "@{fqdn}:{user}@{domain}"),
    Form(OUTSIDE, "@{returns}:{user}@{domain}"),
    Form(OUTSIDE, "@{address}:{user}@{domain}"),
    Form("", "@{fqdn},@{domain}:{user}@{domain}"),
    # --- bang paths
    Form(OUTSIDE, "{domain}!{user}"),
    Form(OUTSIDE, "{domain}!{user}@{fqdn}"),
    Form(OUTSIDE, "{domain}!{user}@{address}"),
    Form(OUTSIDE, "{fqdn}!{domain}!{user}"),
    # --- addresses in place of domains
    Form(OUTSIDE, "{user}@{theirs}"),
    Form("spam@{fqdn}", "{user}@{theirs}"),
    Form(OUTSIDE, "{user}@{address}"),
    Form(OUTSIDE, "{user}@localhost"),
    Form(OUTSIDE, "{user}@[127.0.0.1]"),
    Form(OUTSIDE, "{user}@[IPv6:::1]"),
    Form(OUTSIDE, "{user}%{domain}@[IPv6:::1]"),
    # --- odd ends
    Form(OUTSIDE, "{user}@{domain}."),
    Form(OUTSIDE, "{user}@{domain} "),
    Form("bounces@{fqdn}", "{user}={domain}@{fqdn}"),
)
