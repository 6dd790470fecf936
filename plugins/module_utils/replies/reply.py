# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a reply as people paste it: bare, of several lines, from Postfix's log, from a bounce or its DSN."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 8192  # characters that are looked at; RFC 5321 section 4.5.3.1.5 has 512 octets a line

# Every repetition has a limit and nothing overlaps, so that no input takes more than linear time.
STATUS = r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![.0-9])"
QUOTED = re.compile(r"\bhost ([^\s\[\]]{1,255})\[[0-9A-Fa-f.:]{2,45}\] (?:said|refused to talk to me): ")
SAID = re.compile(r"\bsaid: {0,8}")  # of other MTAs: "Remote host said: 550 …"
LOGGED = re.compile(r"\bstatus=(\w{1,16})(?:, [\w ]{1,40}| \()")
RELAY = re.compile(r"\brelay=([^\s\[\],]{1,255})\[")
REMOTE_MTA = re.compile(r"\bRemote-MTA: {0,8}dns; {0,8}([^\s;]{1,255})", re.IGNORECASE)
DSN_STATUS = re.compile(r"(?:\bdsn=|\bStatus: {0,8})" + STATUS, re.IGNORECASE)
DIAGNOSTIC = re.compile(
    r"^[\s\W]{0,8}(?:Diagnostic-Code: {0,8})?(?:smtp|x-postfix|x-[\w-]{1,32}); {0,8}", re.IGNORECASE
)
CODE_AT_START = re.compile(r"[^0-9A-Za-z]{0,8}([2-5][0-9]{2})(?![0-9.])")
CODE_AND_STATUS = re.compile(r"(?<![\w.:=-])([245][0-5][0-9])[ -][(#]{0,2}" + STATUS)
CODE_IN_TEXT = re.compile(r"(?<![\w.:=/\[-])([245][0-5][0-9])[ -](?=[A-Za-z<\[])")
STATUS_AT_START = re.compile(r"[^0-9A-Za-z]{0,8}" + STATUS)
STATUS_IN_TEXT = re.compile(r"(?<![0-9.])" + STATUS)


# Whose servers they are, by the end of their names. The first that fits counts.
RECEIVERS: tuple[tuple[str, str], ...] = (
    (".google.com", "Gmail"),
    (".googlemail.com", "Gmail"),
    (".yahoodns.net", "Yahoo"),
    (".olc.protection.outlook.com", "Outlook.com"),
    (".protection.outlook.com", "Microsoft 365"),
    (".mx.microsoft", "Microsoft 365"),
    (".icloud.com", "iCloud"),
    (".me.com", "iCloud"),
    (".gmx.net", "GMX and web.de"),
    (".web.de", "GMX and web.de"),
    (".mail.com", "GMX and web.de"),
    (".kundenserver.de", "IONOS"),
    (".ionos.de", "IONOS"),
    (".t-online.de", "T-Online"),
    (".orange.fr", "Orange"),
    (".laposte.net", "La Poste"),
    (".free.fr", "Free"),
    (".sfr.fr", "SFR"),
    (".comcast.net", "Comcast"),
    (".charter.net", "Spectrum"),
    (".mimecast.com", "Mimecast"),
    (".mimecast.co.za", "Mimecast"),
    (".pphosted.com", "Proofpoint"),
    (".ppe-hosted.com", "Proofpoint"),
    (".barracudanetworks.com", "Barracuda"),
    (".iphmx.com", "Cisco"),
    (".messagelabs.com", "Symantec"),
    (".qq.com", "QQ"),
    (".163.com", "NetEase"),
    (".netease.com", "NetEase"),
    (".mail.ru", "Mail.ru"),
    (".yandex.ru", "Yandex"),
    (".yandex.net", "Yandex"),
    (".emailsrvr.com", "Rackspace"),
    (".mx.cloudflare.net", "Cloudflare"),
)


@dataclass(frozen=True)
class Reply:
    """One reply, taken apart (RFC 5321 section 4.2, RFC 2034).

    `code` is 0 where no server replied: Postfix tells of its own trouble, or somebody pasted a status code alone.
    """

    code: int
    status: str  # the enhanced status code, "" where there is none
    text: str  # without codes, on one line
    host: str  # who said it, "" where that is not known
    outcome: str = ""  # what Postfix's log has as status (sent, deferred, bounced, expired), "" where it is no log

    @property
    def reply_class(self) -> str:
        """The first digit of code or status ("2", "4" or "5"); "" where neither is there."""
        return str(self.code)[0] if self.code else self.status[:1]

    @property
    def receiver(self) -> str:
        """Whose server `host` is, or its own name; "a receiver" where that is not known."""
        known = (name for suffix, name in RECEIVERS if f".{self.host}".endswith(suffix))
        return next(known, self.host or "a receiver")


def parse(pasted: str) -> Reply:
    """Take `pasted` apart. Whatever it is, a reply comes back; what is longer than MAX_LENGTH is cut."""
    line = _one_line(_diagnostic(pasted[:MAX_LENGTH]))
    host, text, by_itself = _quoted(line)
    host = host or _first(RELAY, line) or _first(REMOTE_MTA, _one_line(pasted[:MAX_LENGTH]))
    code, status = _codes(text, searched=not by_itself)
    status = status or _first(DSN_STATUS, line) or _first(DSN_STATUS, _one_line(pasted[:MAX_LENGTH]))
    outcome = _first(LOGGED, line)
    return Reply(code, status, _without_codes(text, code, status), host.lower().rstrip("."), outcome)


def _one_line(text: str) -> str:
    """`text` with every run of blanks, line ends and what cannot be printed as one blank."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""


def _diagnostic(text: str) -> str:
    """The field Diagnostic-Code of a DSN with its folded lines (RFC 3464 section 2.3.6); `text` where there is none."""
    found: list[str] = []
    for line in text.splitlines():
        if found and not line[:1].isspace():
            break
        if found or line.lower().startswith("diagnostic-code:"):
            found.append(line)
    return "\n".join(found) if found else text


def _quoted(line: str) -> tuple[str, str, bool]:
    """Host, reply, and whether the reply's code, if there is one, is its first word."""
    quoted = QUOTED.search(line)
    if quoted:
        return quoted[1], _without_tail(line[quoted.end() :]), True
    logged = LOGGED.search(line)
    if logged:
        text = line[logged.end() :] if line[logged.end() - 1] == "(" else line[logged.start() :]
        return "", _without_tail(text), True
    said = SAID.search(line)
    return "", _without_tail(DIAGNOSTIC.sub("", line[said.end() :] if said else line, count=1)), False


def _without_tail(text: str) -> str:
    """`text` without what Postfix puts behind a reply."""
    end = text.rfind("(in reply to ")
    text = text[:end] if end >= 0 else text
    return text.removesuffix(")") if text.count(")") > text.count("(") else text


def _codes(text: str, *, searched: bool) -> tuple[int, str]:
    """Reply code and enhanced status code; 0 and "" for what is not there."""
    match = CODE_AT_START.match(text)
    if not match and not STATUS_AT_START.match(text) and searched:
        match = CODE_AND_STATUS.search(text) or CODE_IN_TEXT.search(text)
    if not match:
        return 0, _first(STATUS_AT_START, text[:32])
    code, rest = int(match[1]), text[match.end(1) :]
    behind = STATUS_AT_START.match(rest)
    if behind:
        return code, behind[1]  # even of another class: then the code counts (RFC 2034 section 4)
    others = (found[1] for found in STATUS_IN_TEXT.finditer(rest))
    return code, next((status for status in others if status[0] == str(code)[0]), "")


def _without_codes(text: str, code: int, status: str) -> str:
    """`text` without the codes that each line of a reply begins with."""
    prefix = f"{code}-"
    kept = []
    for word in text.split():
        bare = word.removeprefix(prefix) if code else word
        if bare and bare not in (status, str(code)):
            kept.append(bare)
    return " ".join(kept)
