# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Nothing leaves under another tenant's name or unsigned, whatever stands in From:, as a receiver sees it."""

from __future__ import annotations

import lab_api
from cases.from_forms import ACCEPT, CASES, LOGIN, OWN
from lab_hosts import Login, Sender
from lab_submission import logged_in, signers, submit
from readers import author_domains

BODY = b"\r\nHello.\r\n"
IN_A_SESSION = 8  # at the tenth error in a session Postfix begins to answer slowly


def test_nothing_leaves_under_another_name_or_unsigned(sender: Sender, logins: tuple[Login, ...]) -> None:
    login = next(login for login in logins if login.username == LOGIN)
    run = lab_api.token()
    replies = {}
    for start in range(0, len(CASES), IN_A_SESSION):
        with logged_in(sender, login) as opened:
            for number, case in enumerate(CASES[start : start + IN_A_SESSION], start):
                recipient = f"{run}-{number:03d}@sink.rx.example"
                replies[recipient] = case, submit(opened, LOGIN, [recipient], case.header + BODY)
    wrong = [
        f"{case.name}: {case.expected} was expected, {reply} came"
        for case, reply in replies.values()
        if not (reply.positive if case.expected == ACCEPT else reply.permanent)
    ]
    taken = {recipient for recipient, (_, reply) in replies.items() if reply.positive}
    arrived = lab_api.until(
        lambda: mails if len(mails := lab_api.mails(run)) >= len(taken) else None,
        what="all that was taken",
        deadline=90,
    )
    assert {str(mail.parsed["X-Original-To"]) for mail in arrived} == taken
    for mail in arrived:
        name = replies[str(mail.parsed["X-Original-To"])][0].name
        if (read := author_domains(mail.wire)) != {OWN}:
            wrong.append(f"{name}: a reader finds {read}")
        if OWN not in (signed := signers(mail.wire)):
            wrong.append(f"{name}: signed by {signed}")
    assert not wrong, "\n".join(wrong)
