# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envelope senders that a login of OWN may try, and what must become of each.

A case found later is one more row. Whatever is accepted must reach the receiver with an envelope sender of OWN, and
signed for OWN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cases.from_forms import ACCEPT, LOGIN, OWN, REFUSE


@dataclass(frozen=True)
class Names:
    """What stands in a row as {foreign} (another tenant's domain), {fqdn} (the host), {bounces} (its bounce domain)."""

    foreign: str
    fqdn: str
    bounces: str


@dataclass(frozen=True)
class Envelope:
    """`argument` is what follows "MAIL FROM:" on the wire."""

    name: str
    argument: str
    expected: Literal["accept", "refuse"]

    def command(self, names: Names) -> str:
        """The whole command, without its line end."""
        argument = self.argument
        for key, value in (("login", LOGIN), ("own", OWN), *vars(names).items()):
            argument = argument.replace(f"{{{key}}}", value).replace(f"{{{key.upper()}}}", value.upper())
        return f"MAIL FROM:{argument}"


ENVELOPES = (
    # --- one's own
    Envelope("own address", "<{login}>", ACCEPT),
    Envelope("own address in upper case", "<{LOGIN}>", ACCEPT),
    Envelope("own domain in mixed case", "<News+tag@Acme.Example>", ACCEPT),
    Envelope("own domain, another local part", "<bounces-17=x@{own}>", ACCEPT),
    Envelope("own, quoted without need", '<"app"@{own}>', ACCEPT),
    Envelope("own, with parameters", "<{login}> BODY=8BITMIME SIZE=1000", ACCEPT),
    Envelope("own, as SMTPUTF8", "<{login}> SMTPUTF8", ACCEPT),
    # --- another's
    Envelope("another's address", "<app@{foreign}>", REFUSE),
    Envelope("another's in upper case", "<APP@{FOREIGN}>", REFUSE),
    Envelope("another's in mixed case", "<ceo@{FOREIGN}>", REFUSE),
    Envelope("another's, as SMTPUTF8", "<app@{foreign}> SMTPUTF8", REFUSE),
    Envelope("the domain above another's", "<app@globex.example>", REFUSE),
    Envelope("an unlisted domain", "<app@unlisted.example>", REFUSE),
    Envelope("a sub-domain that was not granted", "<app@mail.{own}>", REFUSE),
    Envelope("a sub-domain of another's", "<app@mail.{foreign}>", REFUSE),
    Envelope("the domain above", "<app@example>", REFUSE),
    Envelope("own domain as a prefix", "<app@{own}.{foreign}>", REFUSE),
    Envelope("own domain as an end", "<app@x{own}>", REFUSE),
    Envelope("own domain with a trailing dot", "<app@{own}.>", ACCEPT),  # which Postfix takes off
    Envelope("another's with a trailing dot", "<app@{foreign}.>", REFUSE),
    Envelope("the host's own name", "<root@{fqdn}>", REFUSE),
    Envelope("the bounces' name", "<prover@{bounces}>", REFUSE),
    Envelope("a temporary login's address at the own domain", "<probe-0123456789abcdef@{own}>", REFUSE),
    Envelope("a temporary login's address at another's", "<probe-0123456789abcdef@{foreign}>", REFUSE),
    Envelope("a temporary login's address at the host", "<probe-0123456789abcdef@{fqdn}>", REFUSE),
    Envelope("address literal", "<app@[127.0.0.1]>", REFUSE),
    # --- nobody's
    Envelope("null sender", "<>", REFUSE),
    Envelope("null sender with a blank", "< >", REFUSE),
    Envelope("null sender, quoted", '<"">', REFUSE),
    Envelope("empty local part at the own domain", "<@{own}>", REFUSE),
    Envelope("a local part only", "<app>", REFUSE),
    Envelope("the local part of bounces", "<MAILER-DAEMON>", REFUSE),
    Envelope("an at sign only", "<@>", REFUSE),
    # --- routes and hacks
    Envelope("source route to another's by own", "<@{own}:ceo@{foreign}>", REFUSE),
    Envelope("source route to own by another's", "<@{foreign}:{login}>", ACCEPT),  # a server drops the route (RFC 5321)
    Envelope("two routes to another's", "<@{own},@{fqdn}:ceo@{foreign}>", REFUSE),
    Envelope("percent hack at another's", "<app%{own}@{foreign}>", REFUSE),
    Envelope("percent hack at the host", "<app%{own}@{fqdn}>", REFUSE),
    Envelope("percent hack at own: a local part like any other", "<ceo%{foreign}@{own}>", ACCEPT),
    Envelope("bang path", "<{foreign}!ceo>", REFUSE),
    Envelope("bang path at another's", "<{own}!app@{foreign}>", REFUSE),
    Envelope("bang path at own: a local part like any other", "<{foreign}!ceo@{own}>", ACCEPT),
    Envelope("two at signs, own last: a local part like any other", "<ceo@{foreign}@{own}>", ACCEPT),
    Envelope("two at signs, another's last", "<app@{own}@{foreign}>", REFUSE),
    Envelope("quoted local part with an at sign, own domain", '<"ceo@{foreign}"@{own}>', ACCEPT),
    Envelope("quoted local part with an at sign, another's domain", '<"app@{own}"@{foreign}>', REFUSE),
    Envelope("quoted local part with an angle bracket", '<"app@{own}>"@{foreign}>', REFUSE),
    Envelope("quoted pair for the at sign", "<app\\@{own}@{foreign}>", REFUSE),
    Envelope("own, quoted whole", '<"app@{own}">', ACCEPT),  # Postfix takes the quotes off
    Envelope("another's, quoted whole", '<"ceo@{foreign}">', REFUSE),
    # --- more than one, or other than a path
    Envelope("own, then another's", "<{login}><ceo@{foreign}>", REFUSE),
    Envelope("own, then another's behind a comma", "<{login}>,<ceo@{foreign}>", REFUSE),
    Envelope("own and another's in one path", "<{login},ceo@{foreign}>", REFUSE),
    Envelope("own, then another's as a parameter", "<{login}> <ceo@{foreign}>", REFUSE),
    Envelope("a name before the path", "Acme <{login}>", REFUSE),
    Envelope("without brackets, another's", "ceo@{foreign}", REFUSE),
    Envelope("bracket not closed", "<ceo@{foreign}", REFUSE),
    Envelope("comment within", "<app@{own}(x).{foreign}>", REFUSE),
    Envelope("blank within the domain", "<app@{own} .{foreign}>", REFUSE),
    Envelope("tab before another's", "<{login}\t@{foreign}>", REFUSE),
    Envelope("NUL behind own", "<{login}\0@{foreign}>", REFUSE),
    Envelope("NUL behind another's", "<ceo@{foreign}\0@{own}>", REFUSE),
    Envelope("a bare CR", "<{login}>\rMAIL FROM:<ceo@{foreign}>", REFUSE),
    Envelope("another's as the AUTH parameter", "<{login}> AUTH=ceo@{foreign}", ACCEPT),  # RFC 4954 lets it be ignored
    Envelope("a return path for each recipient", "<{login}> XVERP", REFUSE),
    Envelope("a parameter that nobody knows", "<{login}> SENDER=<ceo@{foreign}>", REFUSE),
    # --- the same name otherwise
    Envelope("own in full-width letters", "<app@\uff41\uff43\uff4d\uff45.example> SMTPUTF8", REFUSE),
    Envelope("own in full-width letters, not said to be UTF-8", "<app@\uff41\uff43\uff4d\uff45.example>", REFUSE),
    Envelope("own with an ideographic full stop", "<app@acme\u3002example> SMTPUTF8", REFUSE),
    Envelope("own with a soft hyphen", "<app@ac\u00adme.example> SMTPUTF8", REFUSE),
    Envelope("another's in full-width letters", "<ceo@news.\uff47\uff4c\uff4fbex.example> SMTPUTF8", REFUSE),
    Envelope("another's with an ideographic full stop", "<ceo@news\u3002globex\u3002example> SMTPUTF8", REFUSE),
    Envelope("a neighbour in Unicode", "<app@acm\u00e9.example> SMTPUTF8", REFUSE),
    Envelope("the same neighbour as an A-label", "<app@xn--acm-dma.example>", REFUSE),
    Envelope("own as a made-up A-label", "<app@xn--acme-.example>", REFUSE),
    Envelope("another's as a made-up A-label", "<ceo@news.xn--globex-.example>", REFUSE),
    Envelope("overlong local part at own, another's behind", "<" + "a" * 1100 + "@{own}.{foreign}>", REFUSE),
)  # fmt: skip
