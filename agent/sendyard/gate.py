# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: a milter before the signer, so that the From: of a message belongs to the login that submitted it.

`from_header` decides; this hands it what Postfix says. Who owns a domain is one small file, `OWNERS/<domain>`, with its
logins on the first line and, where it has limits of its own, recipients per hour and day on the second; it is read for
every message, so that nothing needs a reload when a domain comes or goes.
Whatever goes wrong here means 4xx (`TEMPFAIL`): mail waits, it never leaves unjudged.

`limits` counts what passed here, whatever the signer or the queue then make of it: a message that is refused later has
cost its sender the recipients all the same, and one that is refused here has not.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import Milter

from .from_header import Header, Refused, Submitter, check, is_probe
from .limits import Allowance, Limits, OverLimit

# Seconds; libmilter's own default, written down because a shorter one defers slow clients: Postfix sends the header
# once the whole message is in, so that the milter connection is silent while a client takes its time over 25 MB.
_SILENCE = 7210

# The submission listeners say so by milter_macro_daemon_name.
_LISTENER = "ORIGINATING"

_SAVE_SECONDS = 60  # what a kill loses of the counts at most


class Gate(Milter.Base):  # type: ignore[misc]  # no types
    """One connection from Postfix: one SMTP session, or one message that the host itself made."""

    owners: Path
    own_domain: str
    limits: Limits

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
        self._recipients = 0
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    def envrcpt(self, *_: Any) -> int:
        """One more recipient, whom Postfix has accepted."""
        self._recipients += 1
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    @Milter.decode("bytes")  # type: ignore[untyped-decorator]
    def header(self, name: str, value: bytes) -> int:
        """The next field of the header."""
        self._header.add(name, value)
        return int(Milter.CONTINUE)

    def eoh(self) -> int:
        """The header is whole: let the message pass, or refuse it with a text."""
        self._of_domain: Allowance | None = None
        try:
            author = self._header.author()
            check(author, self._submitter, self.own_domain, self._owners_of)
            self._header.require_complete()
            if self._submitter.login and not is_probe(self._submitter.login):  # a proof must not fail for want of room
                self.limits.take(self._submitter.login, author.domain, self._recipients, time.time(), self._of_domain)
        except Refused as refusal:
            return self._refuse(str(refusal))
        except OverLimit as over:
            if over.event:
                print(over.event, flush=True)
            if over.lasting:
                return self._refuse(str(over))
            self.setreply("450", "4.7.1", str(over).replace("%", "%%"))
            return int(Milter.TEMPFAIL)
        return int(Milter.CONTINUE)

    def _owners_of(self, domain: str) -> list[str]:
        """The logins that own `domain`; its own limits are kept for `eoh`. Raises OSError where that cannot be known.

        Limits that nobody can read raise ValueError: mail waits.
        """
        try:
            with (self.owners / domain).open(encoding="ascii") as lines:
                logins = lines.readline().split()
                self._of_domain = Allowance.parse(lines.readline())
                return logins
        except FileNotFoundError:
            self.owners.stat()  # without the directory nobody would own anything: that is a fault, not an answer
            return []

    def _refuse(self, why: str) -> int:
        # Login and domain, never more of the message; the queue id leads to Postfix's lines about it.
        print(f"{self.getsymval('i') or '-'}: refused for {self._submitter.login or '(host)'}: {why}", flush=True)
        self.setreply("550", "5.7.1", why.replace("%", "%%"))
        return int(Milter.REJECT)


def _keep_saving(limits: Limits, path: Path, stop: threading.Event) -> None:
    """Write the counts every minute, and once more when told to stop. A disk that is full stops no mail."""
    stopped = False
    while not stopped:
        stopped = stop.wait(_SAVE_SECONDS)
        try:
            limits.save(path, time.time())
        except OSError as error:
            print(
                f"{path}: the counts of recipients cannot be written ({error}); a restart would lose them.", flush=True
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on a Unix socket until told to stop."""
    parser = argparse.ArgumentParser(prog="sendyard.gate", description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="where Postfix connects, as unix:/path")
    parser.add_argument("--owners", required=True, type=Path, help="directory with one file a domain")
    parser.add_argument("--own-domain", required=True, help="the host's fully qualified name")
    parser.add_argument("--state", required=True, type=Path, help="file that keeps the counts over a restart")
    for name, whose in (("login", "a login"), ("domain", "a domain that says nothing else")):
        of = f"recipients per hour and per day of {whose}; 0 is without a limit"
        parser.add_argument(f"--{name}-limits", default=(0, 0), nargs=2, type=int, metavar=("HOUR", "DAY"), help=of)
    options = parser.parse_args(arguments)
    Gate.limits = Limits(Allowance(*options.login_limits), Allowance(*options.domain_limits))
    if why := Gate.limits.load(options.state):
        print(why, flush=True)
    Gate.owners, Gate.own_domain = options.owners, options.own_domain.lower()
    Milter.factory = Gate
    Milter.set_flags(0)  # nothing of a message is changed
    Milter.set_exception_policy(Milter.TEMPFAIL)
    # libmilter waits for these in a thread of its own; any other would let them end us before the counts are kept.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    stop = threading.Event()
    keeper = threading.Thread(target=_keep_saving, args=(Gate.limits, options.state, stop))
    keeper.start()
    try:
        Milter.runmilter("sendyard-gate", options.socket, timeout=_SILENCE)
    finally:
        stop.set()
        keeper.join()


if __name__ == "__main__":
    main()
