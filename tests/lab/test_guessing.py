# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Whoever guesses passwords is refused, by address and by /64; a right password from elsewhere still works."""

from __future__ import annotations

import lab_api
from lab_guessing import PORTS, blocked, doors, events, guess, let_everybody_in, threshold
from lab_hosts import Login, Sender
from lab_submission import logged_in


def stranger(index: int, family: int = 4) -> str:
    return lab_api.address("stranger", index, family=family)


def test_guessing_is_ended_and_nobody_else_is_concerned(sender: Sender, logins: tuple[Login, ...]) -> None:
    many = threshold(sender)
    guesser, guesser6 = stranger(1), stranger(1, 6)
    told = len(events(sender, "guessing-blocked"))
    try:
        # The control: one guess less than that, and the door is open.
        assert guess((sender.ipv4, guesser, "nobody@acme.example", many - 1)) == [many - 1]
        assert set(doors(sender.ipv4, guesser).values()) == {"open"}
        # A login that exists, and by IPv6; connections that are open end too, so not every guess is heard.
        guess((sender.ipv4, guesser, logins[0].username, 8), (sender.ipv6, guesser6, logins[0].username, 2 * many))
        lab_api.until(lambda: len(blocked(sender)) == 2, what="two blocks")
        refused = {**dict.fromkeys(PORTS, "refused"), 25: "open"}
        assert doors(sender.ipv4, guesser) == refused
        assert doors(sender.ipv6, stranger(2, 6)) == refused, "another address of the same /64"
        assert doors(sender.ipv4, stranger(2)) == dict.fromkeys(refused, "open")
        said = events(sender, "guessing-blocked")[told:]
        assert sorted(line.split()[2] for line in said) == sorted(
            [f"network={guesser}/32", f"network={guesser6.rpartition('::')[0]}::/64"]
        )
        # The same login with its password: from another address, and from within that /64, where the controller is.
        login = (logins[0].username, logins[0].password)
        answer = lab_api.smtp(
            sender.ipv4,
            port=587,
            source=stranger(0),
            login=login,
            sender=logins[0].username,
            recipients=["a@rx.example"],
        )
        assert answer.last.code == 250
        with logged_in(sender, logins[0]):
            pass
    finally:
        let_everybody_in(sender)
    assert doors(sender.ipv4, guesser, [587]) == doors(sender.ipv6, guesser6, [587]) == {587: "open"}


def test_the_controller_is_never_refused(sender: Sender) -> None:
    """Each run tries wrong passwords. What is refused here is known by its address alone: SSH told the host of it."""
    kept = lab_api.root(sender.name, "cat", "/etc/sendyard/guard-controllers.conf").stdout.splitlines()[1:]
    client = lab_api.ssh(sender.name, "sh", "-c", "echo $SSH_CONNECTION").stdout.split()[0]
    assert client in kept
    assert any(":" in address for address in kept), "the IPv6 address that a run comes by is not in the SSH session"
    assert not set(kept) & {stranger(index, family) for index in range(3) for family in (4, 6)}
