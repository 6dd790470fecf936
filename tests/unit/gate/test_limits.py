# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""How many recipients a login and a domain may have: never more than the limit in any span, and room again in time."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sendyard.limits import Allowance, Limits, OverLimit

HOUR, DAY = 3600, 86400
NOW = 1_790_000_123.0
LOGIN, DOMAIN = "app@acme.example", "acme.example"


def limits(hour: int = 0, day: int = 0, *, domain: Allowance | None = None) -> Limits:
    """Limits of each login, and none of domains unless said."""
    return Limits(Allowance(hour, day), domain or Allowance())


def refused(counted: Limits, recipients: int, now: float, login: str = LOGIN) -> OverLimit:
    """What is said of a message that may not leave."""
    with pytest.raises(OverLimit) as caught:
        counted.take(login, DOMAIN, recipients, now)
    return caught.value


def test_recipients_are_counted_not_messages() -> None:
    counted = limits(hour=10)
    counted.take(LOGIN, DOMAIN, 9, NOW)
    assert not refused(counted, 2, NOW).lasting
    counted.take(LOGIN, DOMAIN, 1, NOW)  # what was refused was not counted
    refused(counted, 1, NOW)


def test_another_login_is_not_concerned() -> None:
    counted = limits(hour=1)
    counted.take(LOGIN, DOMAIN, 1, NOW)
    refused(counted, 1, NOW)
    counted.take("other@acme.example", DOMAIN, 1, NOW)


def test_the_logins_of_a_domain_share_its_limit() -> None:
    counted = limits(domain=Allowance(hour=2))
    counted.take(LOGIN, DOMAIN, 1, NOW)
    counted.take("second@acme.example", DOMAIN, 1, NOW)
    assert str(refused(counted, 1, NOW)).startswith("domain acme.example may have 2 recipients per hour and had 2;")
    counted.take(LOGIN, "globex.example", 1, NOW)


def test_a_domain_may_have_limits_of_its_own() -> None:
    counted = limits(domain=Allowance(hour=1))
    counted.take(LOGIN, DOMAIN, 5, NOW, Allowance(hour=5))
    with pytest.raises(OverLimit, match="may have 5"):
        counted.take(LOGIN, DOMAIN, 1, NOW, Allowance(hour=5))
    counted.take(LOGIN, DOMAIN, 1000, NOW, Allowance())  # none at all


def test_without_a_limit_nothing_is_kept(tmp_path: Path) -> None:
    counted = limits()
    counted.take(LOGIN, DOMAIN, 10**6, NOW)
    counted.save(tmp_path / "sent.json", NOW)
    assert json.loads((tmp_path / "sent.json").read_text())["counts"] == []


def test_the_text_names_login_limit_and_when_to_come_again() -> None:
    counted = limits(hour=2)
    counted.take(LOGIN, DOMAIN, 2, NOW)
    over = refused(counted, 1, NOW + 600)
    [minutes] = [int(word) for word in str(over).split() if word.isdigit()][-1:]
    assert str(over).startswith("login app@acme.example may have 2 recipients per hour and had 2; try again in")
    refused(counted, 1, NOW + 600 + minutes * 60 - 61)
    counted.take(LOGIN, DOMAIN, 1, NOW + 600 + minutes * 60)
    assert 50 <= minutes <= 55


def test_the_day_counts_when_the_hour_is_over() -> None:
    counted = limits(hour=5, day=8)
    counted.take(LOGIN, DOMAIN, 5, NOW)
    counted.take(LOGIN, DOMAIN, 3, NOW + 2 * HOUR)
    assert "per day" in str(refused(counted, 1, NOW + 4 * HOUR))
    counted.take(LOGIN, DOMAIN, 5, NOW + DAY + HOUR)


def test_a_message_with_more_recipients_than_the_limit_never_fits() -> None:
    over = refused(limits(hour=5), 6, NOW)
    assert over.lasting
    assert str(over) == "login app@acme.example may have 5 recipients per hour, and this message has 6"


def test_it_is_told_once_a_window_and_login() -> None:
    counted = limits(hour=1)
    counted.take(LOGIN, DOMAIN, 1, NOW)
    events = [refused(counted, 1, NOW + second).event for second in range(0, 3000, 300)]
    assert events == ["event login-over-limit login=app@acme.example limit=1 window=3600s sent=1", *[""] * 9]
    counted.take("other@acme.example", DOMAIN, 1, NOW)
    assert refused(counted, 1, NOW, "other@acme.example").event
    counted.take(LOGIN, DOMAIN, 1, NOW + 2 * HOUR)
    assert refused(counted, 1, NOW + 2 * HOUR).event


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1500), st.integers(1, 4)), max_size=60),
    st.integers(1, 12),
)
def test_no_hour_has_more_than_the_limit_and_the_promised_time_is_kept(
    messages: list[tuple[int, int]], limit: int
) -> None:
    """Whatever is sent when: as a plain list of all messages would have it."""
    counted, passed, now = limits(hour=limit), list[tuple[float, int]](), NOW
    for pause, recipients in messages:
        now += pause
        try:
            counted.take(LOGIN, DOMAIN, recipients, now)
        except OverLimit as over:
            within = sum(number for when, number in passed if when > now - HOUR - 300)
            assert within + recipients > limit, "refused, though there was room for over an hour"
            if not over.lasting:
                now += 60 * int(str(over).split()[-2])
                counted.take(LOGIN, DOMAIN, recipients, now)
                passed.append((now, recipients))
        else:
            passed.append((now, recipients))
        assert sum(number for when, number in passed if now - HOUR < when <= now) <= limit


def test_a_clock_that_is_set_back_frees_nobody_and_one_far_ahead_does_no_lasting_harm() -> None:
    counted = limits(hour=1)
    counted.take(LOGIN, DOMAIN, 1, NOW)
    refused(counted, 1, NOW - 1800)
    refused(counted, 1, NOW)
    counted.take(LOGIN, DOMAIN, 1, NOW + 30 * DAY)  # it was ahead by a month …
    counted.take(LOGIN, DOMAIN, 1, NOW + HOUR * 2)  # … and is right again


def test_counts_outlive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "sent.json"
    first = limits(hour=3, day=4)
    first.take(LOGIN, DOMAIN, 2, NOW)
    first.save(path, NOW)
    second = limits(hour=3, day=4)
    assert second.load(path) == ""
    refused(second, 2, NOW + 60)
    second.take(LOGIN, DOMAIN, 1, NOW + 60)
    assert "per day" in str(refused(second, 2, NOW + 2 * HOUR))


def test_no_file_is_a_first_start(tmp_path: Path) -> None:
    assert limits(hour=1).load(tmp_path / "sent.json") == ""


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"format":2,"counts":[]}', '{"format":1}', '{"format":1,"counts":[[1]]}',
        '{"format":1,"counts":[["login","week","a",1,[0]]]}', '{"format":1,"counts":[["login","hour","a",1,[0]]]}',
        '{"format":1,"counts":[["host","hour","a",1,[0,0,0,0,0,0,0,0,0,0,0,0,0]]]}',
        '{"format":1,"counts":[["login","hour","a","x",[0,0,0,0,0,0,0,0,0,0,0,0,0]]]}',
        '{"format":1,"counts":[["login","hour","a",1,[-1,0,0,0,0,0,0,0,0,0,0,0,0]]]}',
        '{"format":1,"counts":[["login","hour","a",1,["x",0,0,0,0,0,0,0,0,0,0,0,0]]]}',
    ],
)  # fmt: skip
def test_a_broken_file_starts_at_nothing_and_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sent.json"
    path.write_text(text)
    counted = limits(hour=1)
    said = counted.load(path)
    assert str(path) in said
    assert "counting starts at 0" in said
    counted.take(LOGIN, DOMAIN, 1, NOW)


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "sent.json"
    counted = limits(hour=1)
    counted.save(path, NOW)
    before = path.read_bytes()
    (tmp_path / ".sent.json").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        counted.save(path, NOW)
    assert path.read_bytes() == before


def test_ten_thousand_domains_take_a_few_megabytes_and_those_that_stopped_none(tmp_path: Path) -> None:
    path = tmp_path / "sent.json"
    counted = Limits(Allowance(10, 10), Allowance(10, 10))
    tracemalloc.start()
    for number in range(10_000):
        counted.take(f"app@d{number}.example", f"d{number}.example", 1, NOW)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 30_000_000
    counted.save(path, NOW + 2 * DAY)
    assert json.loads(path.read_text())["counts"] == []


def test_threads_count_every_recipient() -> None:
    counted = limits(hour=4000)

    def send() -> None:
        for _ in range(1000):
            counted.take(LOGIN, DOMAIN, 1, NOW)

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "had 4000" in str(refused(counted, 1, NOW))


@pytest.mark.parametrize(("text", "said"), [("", None), ("\n", None), ("5 0\n", Allowance(5, 0)), ("0 0", Allowance())])
def test_a_domains_own_limits_are_two_numbers(text: str, said: Allowance | None) -> None:
    assert Allowance.parse(text) == said


@pytest.mark.parametrize("text", ["5", "5 x", "5 6 7", "-1 5"])
def test_limits_that_nobody_can_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Allowance.parse(text)
