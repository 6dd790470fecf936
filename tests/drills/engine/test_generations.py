# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations of real daemons: what becomes live, what never does, and what a killed run leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from drills.engine import stack
from drills.engine.conftest import Host
from drills.engine.stack import FQDN, MAIN, MASTER

CERTIFICATE = f"""
install -d -m 0700 /etc/sendyard/tls; chmod 755 /etc/sendyard
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN={FQDN} \
  -keyout /tmp/test-key -out /tmp/test-chain 2>/dev/null
cat /tmp/test-key /tmp/test-chain > /etc/sendyard/tls/ecdsa.pem; chmod 600 /etc/sendyard/tls/ecdsa.pem
"""
# Inode and time beside the content: a file that was written again is not the same. A process is its id and start time.
SNAPSHOT = """
d="/etc/postfix /etc/dovecot /etc/sendyard /etc/unbound /etc/sysusers.d /etc/tmpfiles.d /usr/lib/sendyard"
find $d /etc/systemd/system -type f -printf '%p %i %T@ %m %u %g\\n' | sort
find $d /var/lib/sendyard -maxdepth 3 -type f | sort | xargs sha256sum
for p in $(pgrep -x 'master|dovecot|opendkim') $(pgrep -f '[s]endyard.gate'); do cut -d' ' -f1,2,22 /proc/$p/stat; done
ls -A /run/sendyard/stage; cat /run/sendyard/probe-logins; systemctl list-units --no-legend 'sendyard-stage*'
"""


@dataclass(frozen=True)
class Stack:
    """A host on which everything is live."""

    host: Host
    dovecot: str

    def generations(self) -> list[dict[str, Any]]:
        return [stack.auth(self.dovecot), stack.signer(), stack.postfix()]

    def untouched(self) -> str:
        """What a run that changes nothing leaves as it was: files, what is remembered, processes, nothing left over."""
        return self.host.run(SNAPSHOT)


@pytest.fixture(scope="module")
def live(host: Host) -> Stack:
    """The host with Dovecot, gate, signer and Postfix live."""
    host.run(CERTIFICATE)
    version = host.run("dovecot --version")[:3]
    result = Stack(host, stack.DOVECOT[version])
    for generation in result.generations():
        outcome = host.apply(generation)
        assert outcome["ok"], outcome["message"]
    return result


def test_everything_is_live_and_a_second_run_touches_nothing(live: Stack) -> None:
    before = live.untouched()
    for generation in live.generations():
        outcome = live.host.apply(generation)
        assert outcome["ok"] and not outcome["changed"], outcome
        assert outcome["cpu"] < 0.3, f"{generation['subsystem']} took {outcome['cpu']:.2f} s of CPU time"
    assert live.untouched() == before


def test_a_check_of_a_change_says_it_and_touches_nothing(live: Stack) -> None:
    before = live.untouched()
    outcome = live.host.apply(stack.postfix(MAIN + "message_size_limit = 1000000\n"), check=True)
    assert outcome["changed"] and outcome["reloaded"], outcome
    assert "+" not in outcome["diff"][0]["before"] and "message_size_limit" in outcome["diff"][0]["after"]
    assert live.untouched() == before


# --- what never becomes live ----------------------------------------------------------------------------------------


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


def added(line: str) -> Callable[[str], str]:
    return lambda text: f"{text}{line}\n"


REFUSED_MAIN = {
    "a misspelt parameter": (added("smtpd_helo_requierd = yes"), "smtpd_helo_requierd is no parameter"),
    "a value that is none of the list": (
        replaced("smtpd_tls_security_level = may", "smtpd_tls_security_level = maybe"),
        "main.cf line 17: smtpd_tls_security_level = maybe (one of none, may, encrypt)",
    ),
    "a boolean that is none": (added("smtpd_helo_required = ja"), "smtpd_helo_required = ja (yes or no)"),
    "a time that is none": (added("maximal_queue_lifetime = 3 days"), "maximal_queue_lifetime = 3 days (a time"),
    "a misspelt restriction": (
        replaced("smtpd_recipient_restrictions = reject_non_fqdn", "smtpd_recipient_restrictions = reject_none_fqdn"),
        "reject_none_fqdn_recipient, which is no restriction",
    ),
    "a parameter given twice": (added("smtpd_tls_auth_only = no"), "overriding earlier entry"),
    "an undefined name": (
        replaced("submission_sender_restrictions =", "submission_sender_rules ="),
        "$submission_sender_restrictions is defined nowhere",
    ),
    "a missing map": (added("virtual_alias_maps = pcre:/etc/postfix/nowhere.pcre"), "/etc/postfix/nowhere.pcre, which"),
    "a missing chain file": (
        replaced("/etc/sendyard/tls/ecdsa.pem", "/etc/sendyard/tls/gone.pem"),
        "names /etc/sendyard/tls/gone.pem, which cannot be read",
    ),
    "a trusted network": (replaced("mynetworks =", "mynetworks = 127.0.0.0/8"), "mynetworks = 127.0.0.0/8"),
    "a milter that may be absent": (
        replaced("milter_default_action = tempfail", "milter_default_action = accept"),
        "milter_default_action = accept; it must be tempfail",
    ),
    "local mail that is not signed": (
        replaced("non_smtpd_milters = unix:gate/gate.sock, ", "non_smtpd_milters = "),
        "main.cf: non_smtpd_milters",
    ),
    "an open relay": (
        replaced("smtpd_relay_restrictions = reject_unauth_destination", "smtpd_relay_restrictions = permit"),
        "reject_unauth_destination must come first",
    ),
    # No parser sees these: the staged instance does.
    "a sender map of a broken type": (
        replaced("pcre:/etc/postfix/owners.pcre", "nosuch:/etc/postfix/owners.pcre"),
        "unsupported dictionary type: nosuch",
    ),
    "a socket at which nobody answers": (
        replaced("smtpd_sasl_path = private/auth", "smtpd_sasl_path = private/nobody"),
        "private/nobody",
    ),
    "a cipher list that leaves nothing": (
        added("tls_medium_cipherlist = NOSUCHCIPHER\nsmtpd_tls_mandatory_ciphers = medium"),
        "port 587",
    ),
    "a host that takes no mail for itself": (
        replaced("mydestination = $myhostname", "mydestination ="), "this is an address of this host"),
}  # fmt: skip
REFUSED_MASTER = {
    "a listener without the gate": (
        replaced("2525 inet", "2525  inet"),
        replaced("smtpd_milters=unix:gate/gate.sock,unix:opendkim", "smtpd_milters=unix:opendkim"),
        "smtpd_milters = unix:opendkim/opendkim.sock; it must be unix:gate/gate.sock, unix:opendkim/opendkim.sock",
    ),
    "a listener that does not say whose mail it is": (
        str, replaced("  -o milter_macro_daemon_name=ORIGINATING\n", ""), "milter_macro_daemon_name = mx1"),
    "a listener without the binding": (
        str,
        replaced("smtpd_sender_restrictions=$submission_sender_restrictions", "smtpd_sender_restrictions=permit"),
        "lack reject_sender_login_mismatch",
    ),
    "a listener without TLS": (
        str, replaced("smtpd_tls_security_level=encrypt", "smtpd_tls_security_level=may"), "must be encrypt"),
    "AUTH for the world": (
        replaced("smtp inet n - y - - smtpd\n", "smtp inet n - y - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n"),
        str, "smtp (port 25): smtpd_sasl_auth_enable = yes"),
    "a missing listener": (replaced("submissions inet", "#submissions inet"), str, "no smtpd listens on port 465"),
    "a listener that nobody declared": (added("26 inet n - y - - smtpd"), str, "26 answers SMTP and is not among"),
    "a cleanup service that is missing": (
        replaced("subcleanup unix n - y - 0 cleanup\n", ""), str, "cleanup_service_name = subcleanup, and master.cf"),
    "a signer that may be absent on one port": (
        replaced("2525 inet n - y - - smtpd\n", "2525 inet n - y - - smtpd\n  -o milter_default_action=accept\n"),
        str, "2525 (port 2525): milter_default_action = accept; it must be tempfail or reject"),
    "a port whose mail passes no milter": (
        replaced("submissions inet n - y - - smtpd\n",
                 "submissions inet n - y - - smtpd\n  -o receive_override_options=no_milters\n"),
        str, "submissions (port 465): receive_override_options = no_milters"),
    "a port whose mail comes back by another way": (
        replaced("2525 inet n - y - - smtpd\n", "2525 inet n - y - - smtpd\n  -o content_filter=smtp:127.0.0.1:26\n"),
        str, "2525 (port 2525): content_filter = smtp:127.0.0.1:26"),
    "a second listener on a port": (
        added("127.0.0.2:587 inet n - y - - smtpd"), str, "127.0.0.2:587/inet (smtpd) is not among the listeners"),
    "an entrance by QMQP": (added("628 inet n - n - - qmqpd"), str, "628/inet (qmqpd) is not among the listeners"),
    "local mail that passes no milter": (
        replaced("pickup unix n - y 60 1 pickup\n",
                 "pickup unix n - y 60 1 pickup\n  -o receive_override_options=no_milters\n"),
        str, "pickup: receive_override_options = no_milters"),
    "local mail with milters of its own": (
        replaced("\ncleanup unix n - y - 0 cleanup\n", "\ncleanup unix n - y - 0 cleanup\n  -o non_smtpd_milters=\n"),
        str, "cleanup: non_smtpd_milters = (nothing)"),
    "a line that is none": (added("nonsense line"), str, "has 2 fields; a service has eight"),
}  # fmt: skip


def assert_refused(live: Stack, generation: Mapping[str, Any], message: str) -> None:
    before = live.untouched()
    outcome = live.host.apply(generation)
    assert not outcome["ok"], "it became live"
    assert message in outcome["message"], outcome["message"]
    assert "running" in outcome["message"] and "/run/sendyard/stage" not in outcome["message"], outcome["message"]
    assert live.untouched() == before


@pytest.mark.parametrize("case", REFUSED_MAIN)
def test_postfix_never_runs_with(live: Stack, case: str) -> None:
    change, message = REFUSED_MAIN[case]
    assert_refused(live, stack.postfix(change(MAIN)), message)


@pytest.mark.parametrize("case", REFUSED_MASTER)
def test_postfix_never_serves_with(live: Stack, case: str) -> None:
    *changes, message = REFUSED_MASTER[case]
    master = MASTER
    for change in changes:
        master = change(master)
    assert_refused(live, stack.postfix(master=master), str(message))


@pytest.mark.parametrize(("missing", "message"), [
    (0, "a message with From: not-owned@mx1.yard.example was answered with 4"),
    (1, "@no-key.invalid was answered with 250"),
])  # fmt: skip
def test_what_is_declared_without_gate_or_signer_never_serves(live: Stack, missing: int, message: str) -> None:
    """Its master.cf is as declared, so that nothing but the canaries sees it."""
    milters = [milter for number, milter in enumerate(stack.MILTERS) if number != missing]
    main = MAIN.replace(", ".join(stack.MILTERS), milters[0])
    master = MASTER.replace(",".join(stack.MILTERS), milters[0])
    assert_refused(live, stack.postfix(main, master, milters=milters), message)


def test_a_map_that_does_not_parse_never_becomes_live(live: Stack) -> None:
    generation = stack.postfix()
    generation["files"][2]["content"] = "/([/ app@acme.example\n"
    assert_refused(live, generation, "owners.pcre")


SIGNER_REFUSED = {
    "a gate that does not compile": ({"gate": "def broken(:\n"}, "SyntaxError"),
    "a gate that lacks a module": ({"gate": "import nosuchmodule\n"}, "nosuchmodule"),
    "a gate that lets everything pass": (
        {"gate": stack.GATE.replace("return self._refuse(str(refusal))", "pass")}, "550 was expected"),
    "an option that OpenDKIM does not know": ({"opendkim": stack.OPENDKIM + "Selectr x\n"}, "Selectr"),
    "a signer that signs nothing": (
        {"opendkim": stack.OPENDKIM.replace("Mode s\n", "Mode v\n")}, "without a signature"),
    "another selector than the declared one": (
        {"key_table": "all %:other:/etc/opendkim/keys/%.pem\n"}, "without a signature of selector s1"),
    "a unit that systemd does not understand": (
        {"gate_unit": stack.GATE_UNIT.replace("Type=exec", "Type=exek")}, "sendyard-gate.service"),
}  # fmt: skip


@pytest.mark.parametrize("case", SIGNER_REFUSED)
def test_no_gate_and_signer_run_with(live: Stack, case: str) -> None:
    changes, message = SIGNER_REFUSED[case]
    assert_refused(live, stack.signer(**changes), message)


def test_a_dovecot_that_does_not_parse_never_runs(live: Stack) -> None:
    assert_refused(live, stack.auth(live.dovecot + "nosuch_setting = 1\n"), "nosuch_setting")


# --- what does, and how much it touches -----------------------------------------------------------------------------


def restore(live: Stack, generation: Mapping[str, Any]) -> None:
    outcome = live.host.apply(generation)
    assert outcome["ok"], outcome["message"]


def test_a_changed_value_is_a_reload(live: Stack) -> None:
    master = live.host.run("pgrep -x master")
    outcome = live.host.apply(stack.postfix(MAIN + "message_size_limit = 1000000\n"))
    assert outcome["ok"] and outcome["reloaded"] and not outcome["restarted"], outcome
    assert live.host.run("pgrep -x master") == master
    ask = "import smtplib; s = smtplib.SMTP('127.0.0.1', 25, timeout=20); s.ehlo(); print(s.esmtp_features['size'])"
    assert live.host.run(f'python3 -c "{ask}"') == "1000000\n"
    restore(live, stack.postfix())


def test_a_listener_less_is_a_restart(live: Stack) -> None:
    lines = MASTER.split("2525 inet")[0]
    outcome = live.host.apply(stack.postfix(master=lines, listeners=[25, 587, 465]))
    assert outcome["ok"] and len(outcome["restarted"]) == 1, outcome
    assert ":2525 " not in live.host.run("ss -Htln")
    restore(live, stack.postfix())


def test_a_changed_table_of_the_signer_is_a_signal_and_a_changed_gate_restarts_the_gate_alone(live: Stack) -> None:
    outcome = live.host.apply(stack.signer(key_table="# one\nall %:s1:/etc/opendkim/keys/%.pem\n"))
    assert (outcome["reloaded"], outcome["restarted"]) == (["sendyard-opendkim.service"], []), outcome
    outcome = live.host.apply(stack.signer(gate=stack.GATE + "# changed\n"))
    assert (outcome["reloaded"], outcome["restarted"]) == (
        ["sendyard-opendkim.service"],
        ["sendyard-gate.service"],
    ), outcome
    restore(live, stack.signer())


def test_a_removed_map_goes_and_its_compiled_half_with_it(live: Stack) -> None:
    extra = (("/etc/postfix/transport", "globex.example discard:\n"),)
    assert live.host.apply(stack.postfix(MAIN + "transport_maps = lmdb:/etc/postfix/transport\n", extra=extra))["ok"]
    assert live.host.run("postmap -q globex.example lmdb:/etc/postfix/transport") == "discard:\n"
    restore(live, stack.postfix())
    assert "transport" not in live.host.run("ls /etc/postfix")


def test_a_stopped_daemon_is_started(live: Stack) -> None:
    for generation, unit in zip(live.generations(), ("dovecot", "sendyard-gate", "postfix"), strict=True):
        live.host.run(f"systemctl stop {unit}; systemctl disable -q {unit}")
        outcome = live.host.apply(generation)
        assert outcome["ok"] and outcome["started"] and outcome["enabled"], outcome
        assert not live.host.apply(generation)["changed"]


# --- what a probe on the wire finds ---------------------------------------------------------------------------------


def contents(live: Stack) -> str:
    """The configuration on the host, without what says that it was written again."""
    return live.host.run("find /etc/postfix /etc/systemd/system -type f | sort | xargs sha256sum")


def test_what_only_the_live_one_shows_brings_the_old_one_back(live: Stack) -> None:
    """An absolute socket path works outside a chroot, as in the stage, and not within."""
    milters = ["unix:/var/spool/postfix/gate/gate.sock", "unix:opendkim/opendkim.sock"]
    change = replaced("unix:gate/gate.sock", milters[0])
    files = contents(live)
    outcome = live.host.apply(stack.postfix(change(MAIN), change(MASTER), milters=milters))
    assert not outcome["ok"]
    assert "port 587: " in outcome["message"] and "The previous configuration is back" in outcome["message"], outcome
    assert contents(live) == files
    assert not live.host.apply(stack.postfix())["changed"]


def test_a_taken_port_brings_the_old_one_back(live: Stack) -> None:
    thief = "import signal, socket; held = socket.create_server(('127.0.0.1', 2526)); signal.pause()"
    live.host.run(f'systemd-run -q --unit test-thief python3 -c "{thief}"; sleep 0.5')
    try:
        master = MASTER.replace("2525 inet", "2526 inet")
        outcome = live.host.apply(stack.postfix(master=master, listeners=[25, 587, 465, 2526]))
    finally:
        live.host.run("systemctl stop test-thief")
    assert not outcome["ok"] and "The previous configuration is back" in outcome["message"], outcome
    assert not live.host.apply(stack.postfix())["changed"]


# --- dying ----------------------------------------------------------------------------------------------------------

# main.cf loses a name that the old master.cf refers to: the order alone cannot save this.
RENAMED = (
    MAIN.replace("submission_sender_restrictions", "senders_of_clients"),
    MASTER.replace("$submission_sender_restrictions", "$senders_of_clients").replace("submission_sender", "x"),
)


@pytest.mark.parametrize("moment", range(1, 5))
def test_a_killed_run_leaves_a_valid_prefix_and_the_next_one_finishes(live: Stack, moment: int) -> None:
    main, master = RENAMED
    generation = stack.postfix(main, master)
    options = {"die_after": moment, "die_below": "/etc/postfix/"} if moment < 4 else {"die_before_probe": True}
    try:
        live.host.apply(generation, **options)
        said = live.host.run("for o in -n -M -P; do postconf $o 2>&1 >/dev/null; done")
        assert "undefined" not in said, said
        for service in ("submission/inet", "submissions/inet", "2525/inet"):
            bound = live.host.run(f"postconf -Px {service}/smtpd_sender_restrictions")
            assert "reject_sender_login_mismatch" in bound, bound
        outcome = live.host.apply(generation)
        assert outcome["ok"] and outcome["changed"], outcome
        assert not live.host.apply(generation)["changed"]
    finally:
        restore(live, stack.postfix())


def test_after_a_kill_a_generation_that_does_not_answer_leads_back_to_the_one_before(live: Stack) -> None:
    good = contents(live)
    live.host.apply(stack.postfix(MAIN + "message_size_limit = 1000000\n"), die_before_probe=True)
    milters = ["unix:/var/spool/postfix/gate/gate.sock", "unix:opendkim/opendkim.sock"]
    change = replaced("unix:gate/gate.sock", milters[0])
    outcome = live.host.apply(stack.postfix(change(MAIN), change(MASTER), milters=milters))
    assert not outcome["ok"] and "The previous configuration is back" in outcome["message"], outcome
    assert contents(live) == good
    restore(live, stack.postfix())
