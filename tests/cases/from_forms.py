# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers that a login of OWN may try, and what must become of each: one table, for the parser and for the real ports.

A case found later is one more row. Whatever is accepted must reach the receiver signed for OWN, with a header in which
no reader finds FOREIGN as the domain of From:.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OWN = "acme.example"
FOREIGN = "globex.example"
LOGIN = f"app@{OWN}"

ACCEPT: Literal["accept"] = "accept"
REFUSE: Literal["refuse"] = "refuse"
BODY = b"\r\nHello.\r\n"


@dataclass(frozen=True)
class Case:
    """`header` is what the client sends after DATA, up to the empty line; lines end with CRLF, the last one too.

    `wire`: Postfix makes another header of it before any milter sees it, so only the wire shows what becomes of it.
    """

    name: str
    header: bytes
    expected: Literal["accept", "refuse"]
    wire: bool = False

    def content(self, foreign: str = FOREIGN) -> bytes:
        """The message with `foreign` for the other tenant's domain. (What is encoded names FOREIGN all the same.)"""
        named = self.header.replace(FOREIGN.encode(), foreign.encode())
        return named.replace(FOREIGN.upper().encode(), foreign.upper().encode()) + BODY


def _from(value: str | bytes, *, field: str = "From", end: str = "\r\n") -> bytes:
    """A header of one field. In `value`, {own} and {foreign} stand for addresses, {OWN} and {FOREIGN} for domains."""
    raw = value.encode() if isinstance(value, str) else value
    for key, text in (
        (b"{own}", f"app@{OWN}"),
        (b"{foreign}", f"ceo@{FOREIGN}"),
        (b"{OWN}", OWN),
        (b"{FOREIGN}", FOREIGN),
    ):
        raw = raw.replace(key, text.encode())
    return f"{field}: ".encode() + raw + end.encode()


DATE = b"Date: Sat, 01 Jan 2022 00:00:00 +0000\r\n"
MESSAGE_ID = b"Message-ID: <1@acme.example>\r\n"
SUBJECT = b"Subject: quarterly figures\r\n"
MULTIPART = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
FORGED_RESULTS = b"Authentication-Results: mx.rx.example; dmarc=pass header.from=globex.example\r\n"
GOOD = _from("{own}")
BAD = _from("{foreign}")
NO_VALUE = b"From:\r\n"
MANY = b"".join(b"X-Filler-%d: x\r\n" % number for number in range(1000))
LONG_LINE = b"X-Filler: " + b"z" * 1100 + b"\r\n"
HUGE = b"X-Filler: x" + b"\r\n " + b"\r\n ".join([b"h" * 900] * 122) + b"\r\n"  # 110 KB
LARGE = b"".join(b"X-Filler-%d: %s\r\n" % (number, b"y" * 900) for number in range(80))  # 73 KB


def _signature(tags: str) -> bytes:
    """A signature that is brought along, above an own From field."""
    return f"DKIM-Signature: v=1; a=rsa-sha256; h=From; {tags}\r\n".encode() + GOOD


CASES = (
    # --- what an honest client sends
    Case("plain address", GOOD, ACCEPT),
    Case("address in angle brackets", _from("<{own}>"), ACCEPT),
    Case("name and address", _from("Acme Sales <{own}>"), ACCEPT),
    Case("name with dots", _from("John Q. Public <{own}>"), ACCEPT),
    Case("name that ends with a dot", _from("Acme Inc. <{own}>"), ACCEPT),
    # Python's parser fails on these two.
    Case("name that ends with a dot right before the address", _from("Acme Inc.<{own}>"), REFUSE),
    Case("name that begins with a dot", _from(". Acme <{own}>"), REFUSE),
    Case("quoted name", _from('"Sales, Acme (EU)" <{own}>'), ACCEPT),
    Case("quoted name without a space", _from('"Acme"<{own}>'), ACCEPT),
    Case("name in UTF-8", _from("Jürgen Größe <{own}>"), ACCEPT),
    Case("quoted name in UTF-8", _from('"Größe, Jürgen" <{own}>'), ACCEPT),
    Case("encoded word", _from("=?utf-8?q?J=C3=BCrgen?= <{own}>"), ACCEPT),
    Case("two encoded words, folded", _from("=?utf-8?q?J=C3=BC?=\r\n =?utf-8?q?rgen?= <{own}>"), ACCEPT),
    Case("folded before the address", _from("Acme Sales\r\n <{own}>"), ACCEPT),
    Case("folded at once", _from("\r\n {own}"), ACCEPT),
    Case("folded with a tab", _from("Acme\r\n\t<{own}>"), ACCEPT),
    Case("domain in upper case", _from("App@ACME.example"), ACCEPT),
    Case("field name in upper case", _from("{own}", field="FROM"), ACCEPT),
    Case("no space after the colon", b"From:app@acme.example\r\n", ACCEPT),
    Case("plus and equals in the local part", _from("app+x=y@{OWN}"), ACCEPT),
    Case("blanks around", _from("   {own}  "), ACCEPT),
    Case("From after a thousand fields", MANY + GOOD, ACCEPT),
    # --- another's name
    Case("another's address", BAD, REFUSE),
    Case("another's address with a name", _from("Acme <{foreign}>"), REFUSE),
    Case("another's domain in upper case", _from("CEO@GLOBEX.EXAMPLE"), REFUSE),
    Case("another's domain after a thousand fields", MANY + BAD, REFUSE),
    Case("another's domain after 70 KB", LARGE + BAD, REFUSE),
    Case("a sub-domain that was not granted", _from("app@mail.{OWN}"), REFUSE),
    Case("the domain above", _from("app@example"), REFUSE),
    Case("a domain that is nobody's", _from("app@nowhere.example"), REFUSE),
    Case("own domain as a prefix of another", _from("app@{OWN}.{FOREIGN}"), REFUSE),
    Case("own domain as the end of another", _from("app@x{OWN}"), REFUSE),
    Case("xn-- spelling of nothing of ours", _from("app@xn--acme-xyz.example"), REFUSE),
    Case("own domain with a trailing dot", _from("app@{OWN}."), REFUSE),
    Case("domain in Unicode", _from("app@acmé.example"), REFUSE),
    Case("full-width letters for the own domain", _from("app@\uff41\uff43\uff4d\uff45.example"), REFUSE),
    Case("address literal", _from("app@[10.0.0.1]"), REFUSE),
    Case("path out of the owners' directory", _from("app@../owners/{OWN}"), REFUSE),
    # --- several fields
    Case("own first, another's second", GOOD + BAD, REFUSE),
    Case("another's first, own second", BAD + GOOD, REFUSE),
    Case("own twice", GOOD + GOOD, REFUSE),
    Case("own, subject, another's", GOOD + SUBJECT + BAD, REFUSE),
    Case("upper case for the second", GOOD + _from("{foreign}", field="FROM"), REFUSE),
    Case("another's first, own after a thousand fields", BAD + MANY + GOOD, REFUSE),
    Case("own, then another's after 70 KB", GOOD + LARGE + BAD, REFUSE),
    Case("empty before another's", NO_VALUE + BAD, REFUSE),
    Case("empty before own", NO_VALUE + GOOD, REFUSE),
    Case("own before an empty one", GOOD + NO_VALUE, REFUSE),
    Case("unparsable before another's", _from("{own} (x") + BAD, REFUSE),
    Case("unparsable behind own", GOOD + _from("{foreign} (x"), REFUSE),
    Case("own three times, another's in the middle", GOOD + BAD + GOOD, REFUSE),
    Case("line of blanks between own and another's", GOOD + b" \r\n" + BAD, REFUSE),
    Case("another's first, own behind a line of blanks", BAD + b"\t\r\n" + GOOD, REFUSE),
    Case("own and another's around a field of 110 KB", GOOD + HUGE + BAD, REFUSE),
    # --- none, or nothing in it
    Case("none, but another's Sender", SUBJECT + _from("{foreign}", field="Sender"), ACCEPT, wire=True),
    Case("none, but another's Reply-To", SUBJECT + _from("{foreign}", field="Reply-To"), ACCEPT, wire=True),
    Case("none, but own Resent-From", SUBJECT + _from("{own}", field="Resent-From"), REFUSE, wire=True),
    Case("none, but another's Resent-From", SUBJECT + _from("{foreign}", field="Resent-From"), REFUSE, wire=True),
    Case("empty", NO_VALUE, REFUSE),
    Case("blanks only", b"From:   \r\n", REFUSE),
    Case("empty angle brackets", _from("<>"), REFUSE),
    Case("a name only", _from("Acme Sales"), REFUSE),
    Case("a local part only", _from("app"), REFUSE),
    Case("an at sign only", _from("@"), REFUSE),
    # --- spelt oddly
    Case("blank before the colon, another's", SUBJECT + b"From : ceo@globex.example\r\n", REFUSE, wire=True),
    Case("blank before the colon, own first", GOOD + b"From : ceo@globex.example\r\n", REFUSE, wire=True),
    Case("blank before the colon, own second", b"From : ceo@globex.example\r\n" + GOOD, REFUSE, wire=True),
    Case("tab before the colon", GOOD + b"From\t: ceo@globex.example\r\n", REFUSE, wire=True),
    Case("blank before the colon on the first line", b"From : ceo@globex.example\r\n", REFUSE, wire=True),
    Case("mbox line first", b"From ceo@globex.example Sat Jan  1 00:00:00 2022\r\n" + GOOD, REFUSE, wire=True),
    Case("X-Mailbox-Line of one's own", b"X-Mailbox-Line: From : ceo@globex.example\r\n" + GOOD, REFUSE),
    Case("quoted mbox line first", b">From: ceo@globex.example\r\n" + GOOD, REFUSE, wire=True),
    Case("two blanks and a tab before the colon", GOOD + b"From \t : ceo@globex.example\r\n", REFUSE, wire=True),
    Case("fold before the colon", GOOD + b"From\r\n : ceo@globex.example\r\n", ACCEPT, wire=True),
    Case("no-break space before the colon", GOOD + "From\u00a0: ceo@globex.example\r\n".encode(), ACCEPT, wire=True),
    Case("byte-order mark before the first field", "\ufeff".encode() + BAD, ACCEPT, wire=True),
    Case("full-width colon", GOOD + "From\uff1a ceo@globex.example\r\n".encode(), ACCEPT, wire=True),
    Case("control character in the field name", GOOD + b"From\x08: ceo@globex.example\r\n", ACCEPT, wire=True),
    Case("dash in the field name", GOOD + b"From-: ceo@globex.example\r\n", REFUSE, wire=True),
    Case("no colon", GOOD + b"From ceo@globex.example\r\n", ACCEPT, wire=True),
    # --- more than one address, or less
    Case("own first in a list", _from("{own}, {foreign}"), REFUSE),
    Case("another's first in a list", _from("{foreign}, {own}"), REFUSE),
    Case("two own addresses", _from("{own}, second@{OWN}"), REFUSE),
    Case("list with names", _from("Acme <{own}>, Globex <{foreign}>"), REFUSE),
    Case("list with a semicolon", _from("{own}; {foreign}"), REFUSE),
    Case("list with blanks", _from("{own} {foreign}"), REFUSE),
    Case("two angle addresses", _from("<{own}> <{foreign}>"), REFUSE),
    Case("two angle addresses, another's first", _from("<{foreign}> <{own}>"), REFUSE),
    Case("two angle addresses without a blank", _from("<{foreign}><{own}>"), REFUSE),
    Case("angle in angle", _from("<<{foreign}>{own}>"), REFUSE),
    Case("address before the angle address", _from("{foreign} <{own}>"), REFUSE),
    Case("address behind the angle address", _from("<{own}> {foreign}"), REFUSE),
    Case("address behind the angle address, no blank", _from("<{own}>{foreign}"), REFUSE),
    Case("trailing comma", _from("{own},"), REFUSE),
    Case("leading comma", _from(",{own}"), REFUSE),
    Case("group", _from("Board: {own};"), REFUSE),
    Case("group with another's", _from("Board: {foreign}, {own};"), REFUSE),
    Case("empty group before own", _from("undisclosed:; {own}"), REFUSE),
    Case("empty group", _from("undisclosed-recipients:;"), REFUSE),
    Case("group whose name is another's address", _from('"{foreign}": {own};'), REFUSE),
    Case("source route", _from("<@{FOREIGN}:{own}>"), REFUSE),
    Case("source route to another's", _from("<@{OWN}:{foreign}>"), REFUSE),
    Case("two at signs", _from("ceo@{FOREIGN}@{OWN}"), REFUSE),
    Case("two at signs, own first", _from("app@{OWN}@{FOREIGN}"), REFUSE),
    # --- quotes and comments
    Case("name that is another's address", _from('"{foreign}" <{own}>'), ACCEPT),
    Case("name with another's address in angle brackets", _from('"Globex <{foreign}>" <{own}>'), REFUSE),
    Case("quoted name with a quoted pair", _from('"x\\" <{foreign}>, \\"" <{own}>'), REFUSE),
    Case("quote not closed", _from('"x <{foreign}>'), REFUSE),
    Case("quote not closed, own", _from('"x <{own}>'), REFUSE),
    Case("fold within a quoted name", _from('"Sales,\r\n Acme" <{own}>'), REFUSE),
    # Python's parseaddr takes the CR for the end of the quoted string, and what stands before it for the address.
    Case("fold within a quoted name behind another's address", _from('"{foreign}\r\n x" <{own}>'), REFUSE),
    Case("fold behind a quoted name", _from('"Sales, Acme"\r\n <{own}>'), ACCEPT),
    Case("quote opened before the second address", _from('{own} " , {foreign}'), REFUSE),
    Case("quote inside a name", _from('a"b" <{foreign}>, "c <{own}>'), REFUSE),
    Case("comment not closed", _from("{foreign} (x"), REFUSE),
    Case("comment not closed, own", _from("{own} (x"), REFUSE),
    Case("comment behind", _from("{own} (Acme)"), REFUSE),
    Case("comment before", _from("(Acme) {own}"), REFUSE),
    Case("comment with another's address", _from("({foreign}) {own}"), REFUSE),
    Case("comment within the domain", _from("app@{OWN}(x).{FOREIGN}"), REFUSE),
    Case("comment before the at sign", _from("app(x)@{OWN}"), REFUSE),
    Case("nested comment", _from("((x) {foreign}) {own}"), REFUSE),
    Case("quoted local part with an at sign", _from('"ceo@{FOREIGN}"@{OWN}'), REFUSE),
    Case("quoted local part", _from('"app"@{OWN}'), REFUSE),
    Case("quoted local part that closes an address", _from('"a>, <{foreign}"@{OWN}'), REFUSE),
    Case("blank within the address", _from("app @ {OWN}"), REFUSE),
    Case("blank within the angle address", _from("< {own} >"), REFUSE),
    Case("fold within the domain", _from("app@\r\n {OWN}"), REFUSE),
    Case("fold within another's domain", _from("ceo@globex\r\n .example"), REFUSE),
    Case("fold before another's", _from("{own}\r\n ,{foreign}"), REFUSE),
    Case("line of blanks within", _from("Acme\r\n \r\n <{own}>"), REFUSE),
    Case("line of blanks first", _from("\r\n \r\n {own}"), REFUSE),
    # --- encodings
    # Who decodes first and parses then would find another's address. (A comma alone, as in "Größe, J", is no harm.)
    Case("encoded word that decodes to a name with a comma", _from("=?utf-8?q?Gr=C3=B6=C3=9Fe=2C_J?= <{own}>"), ACCEPT),
    Case("encoded word in base64", _from("=?UTF-8?B?SsO8cmdlbg==?= <{own}>"), ACCEPT),
    Case("encoded word in ISO-2022-JP", _from("=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?= <{own}>"), ACCEPT),
    Case("encoded word within quotes", _from('"=?utf-8?q?J=C3=BCrgen?=" <{own}>'), ACCEPT),
    Case("encoded word that decodes to another's address", _from("=?utf-8?q?ceo=40globex=2Eexample?= <{own}>"), REFUSE),
    Case("encoded word that decodes to a list", _from("=?utf-8?q?ceo=40globex=2Eexample=2C?= <{own}>"), REFUSE),
    Case("base64 that decodes to a list", _from("=?utf-8?b?Y2VvQGdsb2JleC5leGFtcGxlLA==?= <{own}>"), REFUSE),
    Case(
        "two encoded words that make an address", _from("=?utf-8?q?ceo=40?= =?utf-8?q?globex.example?= <{own}>"), REFUSE
    ),
    Case("encoded quote before another's address", _from('"=?utf-8?q?=22?= {foreign}, " <{own}>'), REFUSE),
    Case("encoded word beside another's address in quotes", _from('"=?utf-8?q?x?= {foreign}" <{own}>'), REFUSE),
    Case("base64 with a character that some leave out", _from("=?utf-8?b?SsO8-cmdlbg==?= <{own}>"), REFUSE),
    Case("encoded word that decodes to a line end", _from("=?utf-8?q?x=0D=0AFrom:_y?= <{own}>"), REFUSE),
    Case("encoded word in UTF-7", _from("=?utf-7?q?ceo+AEA-globex.example,?= <{own}>"), REFUSE),
    Case("encoded word that is not closed", _from("=?utf-8?q?x <{own}>"), REFUSE),
    Case("encoded word that is no base64", _from("=?utf-8?b?SsO8cmdlb?= <{own}>"), REFUSE),
    Case("encoded word as the local part", _from("=?utf-8?q?ceo=40globex.example?=@{OWN}"), REFUSE),
    Case("encoded word that closes an address", _from("=?utf-8?q?ceo=40globex.example=3E?=@{OWN}"), REFUSE),
    Case("encoded word for the whole address", _from("=?utf-8?q?app=40acme=2Eexample?="), REFUSE),
    Case("name in Latin-1", _from(b"J\xfcrgen <{own}>"), REFUSE),
    Case("C1 control character in the name", _from("Acme\x85Sales <{own}>"), REFUSE),
    Case("line separator in the name", _from("Acme\u2028Sales <{own}>"), REFUSE),
    Case("8-bit local part", _from("äpp@{OWN}"), REFUSE),
    Case("overlong UTF-8 for a less-than sign", _from(b"x \xc0\xbcceo@globex.example> <{own}>"), REFUSE),
    Case("control character in the name", _from(b"Acme\x01 <{own}>"), REFUSE),
    Case("delete character in the name", _from(b"Acme\x7f <{own}>"), REFUSE),
    Case("control character in the domain", _from(b"app@acme.example\x01"), REFUSE),
    Case("NUL behind the address", _from(b"{own}\x00, {foreign}"), REFUSE, wire=True),
    Case("NUL before another's", _from(b"{foreign}\x00{own}"), REFUSE, wire=True),
    Case("NUL in the field name", GOOD + b"Fr\x00om: ceo@globex.example\r\n", REFUSE, wire=True),
    Case("NUL in another field", GOOD + b"Subject: x\x00y\r\n", REFUSE, wire=True),
    # --- too long
    Case("name of 900", _from("a" * 900 + " <{own}>"), ACCEPT),
    Case("line of 1 100", _from("a" * 1100 + " <{own}>"), REFUSE),
    Case("1 100 in folded lines", _from("a\r\n " * 550 + "<{own}>"), REFUSE),
    Case("local part of 65", _from("a" * 65 + "@{OWN}"), REFUSE),
    Case("70 KB of name before another's", _from("a\r\n " * 14000 + "<{foreign}>"), REFUSE),
    Case("a line of 1 100 in another field before another's", LONG_LINE + BAD, REFUSE),
    Case("a line of 1 100 in another field before own", LONG_LINE + GOOD, ACCEPT),
    # Postfix takes a line in pieces of line_length_limit (2 048) bytes.
    Case("another's as the second piece of a line", GOOD + b"X-A: " + b"a" * 2043 + BAD, ACCEPT, wire=True),
    Case("another's as the second piece, with own behind", b"X-A: " + b"a" * 2043 + BAD + GOOD, ACCEPT, wire=True),
    Case("another's as the piece behind a fold", GOOD + b"X-A: b\r\n " + b"a" * 2047 + BAD, ACCEPT, wire=True),
    # header_size_limit (102 400) cuts a field.
    Case("another's after a field of 110 KB", HUGE + BAD, REFUSE),
    Case("address cut off by 110 KB of name", _from("a\r\n " * 22000 + "<{own}>"), REFUSE),
    # --- what is no field
    Case("leading blank before the first field", b" " + BAD, ACCEPT, wire=True),
    Case("leading blank, then another's From", b" x\r\n" + BAD, ACCEPT, wire=True),
    Case("line that is no field before another's", b"hello\r\n" + BAD, ACCEPT, wire=True),
    Case("line that is no field after own", GOOD + b"hello\r\n" + BAD, ACCEPT, wire=True),
    # Postfix makes a blank of a bare CR (cleanup_replace_stray_cr_lf) before any milter sees it.
    Case("bare CR before another's", GOOD + b"X-A: b\rFrom: ceo@globex.example\r\n", ACCEPT, wire=True),
    Case("bare CR first", b"\rFrom: ceo@globex.example\r\n" + GOOD, ACCEPT, wire=True),
    Case("bare LF before another's", GOOD + b"X-A: b\nFrom: ceo@globex.example\r\n", REFUSE, wire=True),
    Case("bare LF first", b"\nFrom: ceo@globex.example\r\n", REFUSE, wire=True),
    Case("bare CR within the address", _from(b"{own}\r, {foreign}"), REFUSE, wire=True),
    Case("CR CR LF before another's", GOOD + b"X-A: b\r\r\nFrom: ceo@globex.example\r\n", REFUSE, wire=True),
    Case("vertical tab before another's", GOOD + b"X-A: b\x0bFrom: ceo@globex.example\r\n", REFUSE),
    Case("form feed before another's", GOOD + b"X-A: b\x0cFrom: ceo@globex.example\r\n", REFUSE),
    Case("empty field name", GOOD + b": ceo@globex.example\r\n", ACCEPT, wire=True),
    Case("8-bit field name", GOOD + "Fr\u043em: ceo@globex.example\r\n".encode(), ACCEPT, wire=True),
    # --- fields that are not From
    Case("another's Sender", GOOD + _from("{foreign}", field="Sender"), ACCEPT),
    Case("another's Reply-To", GOOD + _from("{foreign}", field="Reply-To"), ACCEPT),
    # Postfix adds Resent-Date and Resent-Message-ID instead of Date and Message-ID then.
    Case("another's Resent-From, no Date", GOOD + _from("{foreign}", field="Resent-From"), REFUSE, wire=True),
    Case(
        "another's Resent-From, no Message-ID", GOOD + DATE + _from("{foreign}", field="Resent-From"), REFUSE, wire=True
    ),
    Case("another's Resent-From", GOOD + DATE + MESSAGE_ID + _from("{foreign}", field="Resent-From"), ACCEPT),
    Case("own Sender, another's From", _from("{own}", field="Sender") + BAD, REFUSE),
    Case("own Resent-From, another's From", _from("{own}", field="Resent-From") + DATE + MESSAGE_ID + BAD, REFUSE),
    Case("another's Return-Path", b"Return-Path: <ceo@globex.example>\r\n" + GOOD, ACCEPT, wire=True),
    Case("another's Apparently-From", GOOD + _from("{foreign}", field="Apparently-From"), ACCEPT),
    Case("another's X-From", GOOD + _from("{foreign}", field="X-From"), ACCEPT),
    Case(
        "another's signature brought along",
        GOOD + b"DKIM-Signature: v=1; a=rsa-sha256; d=globex.example; s=x; h=From; bh=AA==; b=AA==\r\n",
        ACCEPT,
    ),
    Case(
        "own signature of another's brought along",
        GOOD
        + b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; i=ceo@globex.example; s=x; h=From; bh=AA==; b=AA==\r\n",
        ACCEPT,
    ),
    Case(
        "another's signature before another's From",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=globex.example; s=x; h=From; bh=AA==; b=AA==\r\n" + BAD,
        REFUSE,
    ),
    # OpenDKIM reads such a field when it signs, too, and by default signs nothing where it cannot.
    Case(
        "a signature whose domain is none", _signature("d=globex.exam=40ple; s=x; bh=AA==; b=AA=="), REFUSE, wire=True
    ),
    Case("a signature with a tag that is none", _signature("d=acme.example; s=x;; bh=AA==; b=AA=="), REFUSE, wire=True),
    Case("a signature of nothing", _signature(""), REFUSE, wire=True),
    Case("an empty signature", b"DKIM-Signature:\r\n" + GOOD, REFUSE, wire=True),
    Case("a signature that is text", b"DKIM-Signature: hello\r\n" + GOOD, REFUSE, wire=True),
    Case("a signature without values", b"DKIM-Signature: v=; a=; d=; s=; h=; bh=; b=\r\n" + GOOD, ACCEPT),
    Case("a signature given twice a tag", _signature("d=acme.example; d=globex.example; s=x; b=AA=="), ACCEPT),
    Case("a signature with 8-bit text", _signature("d=acm\u00e9.example; s=x; bh=AA==; b=AA=="), REFUSE, wire=True),
    Case(
        "a signature of a later version", b"DKIM-Signature: v=2; a=x; d=acme.example; s=x\r\n" + GOOD, REFUSE, wire=True
    ),
    Case("a folded signature that breaks off", _signature("d=acme.example; s=x;\r\n bh=AA=="), REFUSE, wire=True),
    Case("a judgement in the receiver's name", FORGED_RESULTS + GOOD, ACCEPT),
    # --- what is a header within the message
    Case(
        "another's From in an attached message", GOOD + b"Content-Type: message/rfc822\r\n\r\n" + BAD, ACCEPT, wire=True
    ),
    Case(
        "another's From in a part", GOOD + MULTIPART + b"\r\n--b\r\n" + BAD + b"\r\nx\r\n--b--\r\n", ACCEPT, wire=True
    ),
    Case(
        "another's From in the preamble",
        GOOD + MULTIPART + b"\r\n" + BAD + b"--b\r\n\r\nx\r\n--b--\r\n",
        ACCEPT,
        wire=True,
    ),
    Case(
        "another's From as a parameter",
        GOOD + b'Content-Type: text/plain; charset="us-ascii\r\n From: ceo@globex.example"\r\n',
        ACCEPT,
    ),
    Case(
        "a boundary that is a From field", GOOD + MULTIPART.replace(b"=b", b'="\r\n From: ceo@globex.example"'), ACCEPT
    ),
    Case(
        "a part of a message",
        GOOD + b'Content-Type: message/partial; id="x"; number=1; total=2\r\n\r\n' + BAD,
        ACCEPT,
        wire=True,
    ),
    Case("no From: Postfix adds the envelope sender", SUBJECT, ACCEPT, wire=True),
    Case("another's From in the body", GOOD + b"\r\n" + BAD, ACCEPT, wire=True),
)
