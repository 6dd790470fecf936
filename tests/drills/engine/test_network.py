# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter and the resolver: what could cut a host off must not become live, or not stay."""

from __future__ import annotations

import time

import pytest
from drills.engine import stack
from drills.engine.conftest import Host
from drills.engine.stack import RULES

CLOSED = RULES.replace("22, ", "")
OTHERS = 'nft "table inet others { chain c { type filter hook input priority 10; policy accept; }; }"'


@pytest.fixture
def filtered(host: Host) -> Host:
    """A host with our table live beside somebody else's."""
    host.run(OTHERS)
    outcome = host.apply(stack.firewall())
    assert outcome["ok"], outcome
    return host


def ruleset(host: Host) -> str:
    return host.run("nft list ruleset")


def timers(host: Host) -> str:
    return host.run("systemctl list-units --no-legend 'sendyard-firewall-deadman*'")


def test_our_table_is_live_others_stay_and_a_second_run_touches_nothing(filtered: Host) -> None:
    before = ruleset(filtered)
    assert "table inet others" in before and "policy drop" in before
    outcome = filtered.apply(stack.firewall())
    assert outcome["ok"] and not outcome["changed"] and outcome["cpu"] < 0.3, outcome
    assert (ruleset(filtered), timers(filtered)) == (before, "")
    assert filtered.run("systemctl is-enabled sendyard-firewall; systemctl is-active sendyard-firewall") == (
        "enabled\nactive\n"
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (CLOSED, "accepts no new TCP connections to port 22, by which this host is reached over SSH"),
        (RULES.replace("accept\n  }", "acept\n  }"), "nftables would not take this: /etc/sendyard/firewall.nft:9"),
    ],
)
def test_rules_that_shut_ssh_out_or_do_not_parse_are_never_loaded(filtered: Host, rules: str, message: str) -> None:
    before = ruleset(filtered)
    outcome = filtered.apply(stack.firewall(rules))
    assert not outcome["ok"] and message in outcome["message"], outcome
    assert (ruleset(filtered), timers(filtered)) == (before, "")


def test_changed_rules_are_loaded_in_one_transaction_and_the_timer_is_disarmed(filtered: Host) -> None:
    outcome = filtered.apply(stack.firewall(RULES.replace("25, ", "25, 8025, ")))
    assert outcome["ok"] and outcome["reloaded"] == ["sendyard-firewall.service"], outcome
    assert "8025" in ruleset(filtered)
    assert timers(filtered) == ""


def test_a_table_that_somebody_flushed_comes_back(filtered: Host) -> None:
    before = ruleset(filtered)
    filtered.run("nft delete table inet sendyard")
    outcome = filtered.apply(stack.firewall())
    assert outcome["ok"] and "does not hold what was made live" in outcome["reason"], outcome
    assert sorted(ruleset(filtered).splitlines()) == sorted(before.splitlines())


def test_if_the_run_dies_the_timer_brings_the_old_rules_back(filtered: Host) -> None:
    before = ruleset(filtered)
    filtered.apply(stack.firewall(RULES.replace("22, ", "22, 9999, ")), die_before_probe=True)
    assert "9999" in ruleset(filtered)
    assert "sendyard-firewall-deadman.timer" in timers(filtered)
    end = time.monotonic() + 75
    while "9999" in ruleset(filtered) and time.monotonic() < end:
        time.sleep(2)
    assert sorted(ruleset(filtered).splitlines()) == sorted(before.splitlines())
    assert filtered.apply(stack.firewall())["ok"]


def test_the_controller_may_confirm_instead(filtered: Host) -> None:
    rules = RULES.replace("22, ", "22, 7777, ")
    outcome = filtered.apply(stack.firewall(rules, confirm="controller"))
    assert outcome["ok"] and "deadman.timer" in timers(filtered), outcome
    outcome = filtered.apply(stack.firewall(rules, confirm="controller"))
    assert outcome["ok"] and not outcome["changed"], outcome
    assert (timers(filtered), "7777" in ruleset(filtered)) == ("", True)


def test_switched_off_it_leaves_others_alone(filtered: Host) -> None:
    outcome = filtered.apply(stack.firewall(enabled=False))
    assert outcome["ok"] and outcome["changed"], outcome
    assert "sendyard" not in ruleset(filtered) and "table inet others" in ruleset(filtered)
    assert "firewall" not in filtered.run("ls /etc/sendyard /etc/systemd/system")
    assert not filtered.apply(stack.firewall(enabled=False))["changed"]


# --- the resolver ---------------------------------------------------------------------------------------------------


@pytest.fixture
def resolving(host: Host) -> Host:
    """A host whose resolver is live."""
    outcome = host.apply(stack.resolver())
    assert outcome["ok"], outcome
    return host


def test_the_resolver_answers_and_a_second_run_touches_nothing(resolving: Host) -> None:
    assert resolving.run("cat /etc/resolv.conf").startswith("nameserver 127.0.0.1\n")
    pid = resolving.run("pgrep -x unbound")
    outcome = resolving.apply(stack.resolver())
    assert outcome["ok"] and not outcome["changed"] and outcome["cpu"] < 0.3, outcome
    assert resolving.run("pgrep -x unbound") == pid


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (stack.UNBOUND + "  nosuch-option: 1\n", {}, "Unbound would not start with this"),
        (stack.UNBOUND + '  root-hints: "/etc/unbound/nowhere"\n', {}, "/etc/unbound/nowhere"),
        (stack.UNBOUND + "  access-control: 127.0.0.0/8 refuse\n", {}, "answers probe.example A with REFUSED"),
        (stack.UNBOUND + "# validated?\n", {"expect_ad": True}, "not validated (no AD bit)"),
    ],
)  # fmt: skip
def test_a_resolver_that_does_not_answer_does_not_stay(
    resolving: Host, text: str, settings: dict[str, object], message: str
) -> None:
    before = resolving.run("cat /etc/resolv.conf /etc/unbound/unbound.conf.d/sendyard.conf")
    outcome = resolving.apply(stack.resolver(text, **settings))
    assert not outcome["ok"] and message in outcome["message"], outcome
    assert resolving.run("cat /etc/resolv.conf /etc/unbound/unbound.conf.d/sendyard.conf") == before
    assert not resolving.apply(stack.resolver())["changed"]


def test_resolv_conf_that_somebody_rewrote_is_set_right_without_a_restart(resolving: Host) -> None:
    pid = resolving.run("pgrep -x unbound")
    resolving.run("echo nameserver 10.0.0.1 > /etc/resolv.conf")
    outcome = resolving.apply(stack.resolver())
    assert outcome["ok"] and [entry["after_header"] for entry in outcome["diff"]] == ["/etc/resolv.conf"], outcome
    assert resolving.run("pgrep -x unbound") == pid
