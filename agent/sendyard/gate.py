# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: a milter before the signer, so that the From: of a message belongs to the login that submitted it.

`from_header` decides; this hands it what Postfix says. Who owns a domain is one small file, `OWNERS/<domain>`, with its
logins on the first line; it is read for every message, so that nothing needs a reload when a domain comes or goes.
Whatever goes wrong here means 4xx (`TEMPFAIL`): mail waits, it never leaves unjudged.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import Milter

from .from_header import Header, Refused, Submitter, check

# Seconds; libmilter's own default, written down because a shorter one defers slow clients: Postfix sends the header
# once the whole message is in, so that the milter connection is silent while a client takes its time over 25 MB.
_SILENCE = 7210

# The submission listeners say so by milter_macro_daemon_name.
_LISTENER = "ORIGINATING"


class Gate(Milter.Base):  # type: ignore[misc]  # no types
    """One connection from Postfix: one SMTP session, or one message that the host itself made."""

    owners: Path
    own_domain: str

    @Milter.noreply  # type: ignore[untyped-decorator]
    def connect(self, *_: Any) -> int:
        """Learn which service took the connection."""
        self._listener = self.getsymval("{daemon_name}") == _LISTENER
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    def envfrom(self, sender: str, *_: Any) -> int:
        """A message begins: by whom it is submitted."""
        self._submitter = Submitter(self.getsymval("{auth_authen}") or "", self._listener, sender)
        self._header = Header()
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    @Milter.decode("bytes")  # type: ignore[untyped-decorator]
    def header(self, name: str, value: bytes) -> int:
        """The next field of the header."""
        self._header.add(name, value)
        return int(Milter.CONTINUE)

    def eoh(self) -> int:
        """The header is whole: let the message pass, or refuse it with a text."""
        try:
            check(self._header.author(), self._submitter, self.own_domain, self._owners_of)
            self._header.require_complete()
        except Refused as refusal:
            return self._refuse(str(refusal))
        return int(Milter.CONTINUE)

    def _owners_of(self, domain: str) -> list[str]:
        """The logins that own `domain`. Raises OSError where that cannot be known."""
        try:
            with (self.owners / domain).open(encoding="ascii") as lines:
                return lines.readline().split()
        except FileNotFoundError:
            self.owners.stat()  # without the directory nobody would own anything: that is a fault, not an answer
            return []

    def _refuse(self, why: str) -> int:
        # Login and domain, never more of the message; the queue id leads to Postfix's lines about it.
        print(f"{self.getsymval('i') or '-'}: refused for {self._submitter.login or '(host)'}: {why}", flush=True)
        self.setreply("550", "5.7.1", why.replace("%", "%%"))
        return int(Milter.REJECT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on a Unix socket until told to stop."""
    parser = argparse.ArgumentParser(prog="sendyard.gate", description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="where Postfix connects, as unix:/path")
    parser.add_argument("--owners", required=True, type=Path, help="directory with one file a domain")
    parser.add_argument("--own-domain", required=True, help="the host's fully qualified name")
    options = parser.parse_args(arguments)
    Gate.owners, Gate.own_domain = options.owners, options.own_domain.lower()
    Milter.factory = Gate
    Milter.set_flags(0)  # nothing of a message is changed
    Milter.set_exception_policy(Milter.TEMPFAIL)
    Milter.runmilter("sendyard-gate", options.socket, timeout=_SILENCE)


if __name__ == "__main__":
    main()
