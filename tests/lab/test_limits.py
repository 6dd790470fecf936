# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A domain that sends too much is told so and waits; others go on. (Logins and restarts: drills/guard.)"""

from __future__ import annotations

from lab_hosts import Login, Sender
from lab_limits import MANY, allowance, domain_of, events, message, send
from lab_submission import logged_in, submit


def test_a_domain_over_its_limit_waits_and_another_goes_on(sender: Sender, logins: tuple[Login, ...]) -> None:
    busy, other = logins[:2]
    domain = domain_of(busy)
    with allowance(sender, domain, 4, 0):
        told = len(events(sender, domain))
        assert send(sender, busy, MANY)[0] == 250
        with logged_in(sender, busy) as session:  # recipients count, not messages
            refused = submit(session, f"app@{domain}", MANY[:2], message(busy))
            assert (refused.code, refused.text.split()[0]) == (450, "4.7.1")
            assert f"domain {domain} may have 4 recipients per hour and had 3; try again in" in refused.text
            assert submit(session, f"app@{domain}", MANY[:1], message(busy)).code == 250, "the connection goes on"
            assert submit(session, f"app@{domain}", MANY[:1], message(busy)).code == 450
        assert send(sender, other, MANY)[0] == 250
        code, text = send(sender, busy, [*MANY, "a@rx.example", "b@rx.example"])
        assert (code, text.split()[0]) == (550, "5.7.1"), "more than would ever fit"
        assert len(events(sender, domain)) == told + 1, "told once, however often it tries"
    assert send(sender, busy, MANY)[0] == 250
