# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""main.cf and master.cf as data, and the rules that Postfix itself lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.host import postfix_config as config
from ansible_collections.sendyard.mail.plugins.module_utils.host import postfix_inspect, postfix_stage
from ansible_collections.sendyard.mail.plugins.module_utils.host.files import FileSpec
from ansible_collections.sendyard.mail.plugins.module_utils.host.probe_logins import Login
from ansible_collections.sendyard.mail.plugins.module_utils.host.smtp_probe import listener
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems import postfix
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.base import ACTIVATE, PROBE, Change
from ansible_collections.sendyard.mail.plugins.module_utils.host.subsystems.postfix import MAIN, MASTER, Postfix

MAIN_CF = """\
# a comment
myhostname = mx1.yard.example

mynetworks =
   # a comment within
   10.0.0.0/8,
   ::1
relay_domains =
"""
MASTER_CF = """\
smtp      inet  n       -       y       -       -       smtpd
# a comment within
  -o syslog_name=postfix/smtp
  -o { smtpd_sender_restrictions = check_sender_access inline:{{<>=REJECT no}}, reject }
  -o smtpd_milters=unix:a,unix:b -v
pickup    unix  n       -       y       60      1       pickup
"""


def test_logical_lines_keep_the_number_of_their_first_line() -> None:
    settings = config.parse_main(MAIN_CF)
    assert {name: (one.value, one.line) for name, one in settings.items()} == {
        "myhostname": ("mx1.yard.example", 2),
        "mynetworks": ("10.0.0.0/8, ::1", 4),
        "relay_domains": ("", 8),
    }


def test_a_line_without_an_equals_sign_is_named() -> None:
    with pytest.raises(config.PostfixConfigError, match=r'main.cf line 2: "nonsense" is not'):
        config.parse_main("a = b\nnonsense\n")


def test_services_have_their_overrides() -> None:
    smtp, pickup = config.parse_master(MASTER_CF)
    assert smtp.overrides == {
        "syslog_name": "postfix/smtp",
        "smtpd_sender_restrictions": "check_sender_access inline:{{<>=REJECT no}}, reject",
        "smtpd_milters": "unix:a,unix:b",
    }
    assert (smtp.label, smtp.line, pickup.line, pickup.command, pickup.overrides) == (
        "smtp/inet", 1, 6, "pickup", {},
    )  # fmt: skip


def test_a_service_with_too_few_fields_is_named() -> None:
    with pytest.raises(config.PostfixConfigError, match=r"master.cf line 1: .* has 3 fields"):
        config.parse_master("smtp inet n\n")


def test_settings_are_replaced_wherever_they_stood() -> None:
    text = config.with_settings(MAIN_CF, {"mynetworks": "", "maillog_file": "/x"})
    assert text == "myhostname = mx1.yard.example\nrelay_domains =\nmynetworks = \nmaillog_file = /x\n"


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("", []),
        ("a, b c\td", ["a", "b", "c", "d"]),
        ("check_sender_access inline:{{<>=REJECT no, really}}, reject", [
            "check_sender_access", "inline:{{<>=REJECT no, really}}", "reject"]),
    ],
)  # fmt: skip
def test_lists_are_split_outside_of_braces(value: str, elements: list[str]) -> None:
    assert config.split_list(value) == elements


@pytest.mark.parametrize(
    ("name", "value", "default", "good"),
    [
        ("smtpd_tls_security_level", "maybe", "", False),
        ("smtpd_tls_security_level", "", "", True),
        ("smtp_tls_security_level", "dane", "", True),
        ("inet_protocols", "ipv4, ipv6", "all", True),
        ("inet_protocols", "ipv5", "all", False),
        ("smtpd_helo_required", "yes", "no", True),
        ("smtpd_helo_required", "true", "no", False),
        ("maximal_queue_lifetime", "3d", "5d", True),
        ("maximal_queue_lifetime", "3", "5d", True),
        ("maximal_queue_lifetime", "3x", "5d", False),
        ("message_size_limit", "10M", "10240000", False),
        ("compatibility_level", "3.10", "0", True),
        ("smtp_destination_concurrency_negative_feedback", "1/concurrency", "1", True),
        ("myhostname", "anything", "localhost", True),
    ],
)
def test_values_are_of_their_parameter(name: str, value: str, default: str, good: bool) -> None:
    assert (config.bad_value(name, value, default) == "") is good


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("permit_mynetworks, reject_unauth_destination", ""),
        ("reject_non_fqdn_recpient, reject", "reject_non_fqdn_recpient"),
        ("check_sender_access inline:{{<>=REJECT no}}, reject", ""),
        ("check_policy_service unix:private/policy", ""),
        ("check_sender_access", "check_sender_access (what it looks up is missing)"),
        ("hash:/etc/postfix/access reject_rbl_client bl.example", ""),
        ("our_class, reject", "our_class"),
    ],
)
def test_restrictions_are_known(value: str, wrong: str) -> None:
    assert config.misspelt_restriction(value) == wrong
    if wrong == "our_class":
        assert config.misspelt_restriction(value, ["our_class"]) == ""


def test_files_that_values_name() -> None:
    def named(name: str, value: str) -> list[str]:
        return [str(path) for path in config.named_files(name, value)]

    assert named("virtual_alias_maps", "lmdb:/a, pcre:/b.pcre proxy:lmdb:/c, socketmap:unix:/d") == [
        "/a.lmdb", "/b.pcre", "/c.lmdb",
    ]  # fmt: skip
    assert named("smtpd_tls_chain_files", "/k1.pem, /k2.pem") == ["/k1.pem", "/k2.pem"]
    assert named("smtp_tls_session_cache_database", "lmdb:/var/lib/postfix/x") == []
    assert named("smtpd_sender_restrictions", "check_sender_access inline:{{a=lmdb:}}, cidr:/n") == ["/n"]


# --- the rules of a sending server's listeners ----------------------------------------------------------------------

MILTERS = ["unix:gate/gate.sock", "unix:opendkim/opendkim.sock"]
_VALUES = {
    "mynetworks": "",
    "milter_default_action": "tempfail",
    "smtpd_tls_auth_only": "yes",
    "smtpd_sasl_auth_enable": "no",
    "smtpd_tls_wrappermode": "no",
    "smtpd_sender_login_maps": "lmdb:/x",
    "smtpd_relay_restrictions": "reject_unauth_destination",
    "non_smtpd_milters": ", ".join(MILTERS),
}
_CLIENTS = {
    "smtpd_milters": ",".join(MILTERS),
    "milter_macro_daemon_name": "ORIGINATING",
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_tls_security_level": "encrypt",
    "smtpd_sender_restrictions": "check_sender_access inline:{{<>=REJECT}}, reject_sender_login_mismatch",
    "smtpd_relay_restrictions": "permit_sasl_authenticated,reject",
    "cleanup_service_name": "subcleanup",
}
_SERVICES = """\
smtp inet n - y - - smtpd
submission inet n - y - - smtpd
465 inet n - y - - smtpd
subcleanup unix n - y - 0 cleanup
"""


def sound() -> postfix_inspect.Inspected:
    return postfix_inspect.Inspected(
        main={},
        services=tuple(config.parse_master(_SERVICES)),
        values=_VALUES,
        overrides={"submission/inet": _CLIENTS, "465/inet": {**_CLIENTS, "smtpd_tls_wrappermode": "yes"}},
        defaults={},
        complaints=(),
    )


def breaches(found: postfix_inspect.Inspected) -> list[str]:
    return postfix_inspect.breaches(found, [listener(port) for port in (25, 587, 465)], MILTERS, MILTERS)


def test_sound_listeners_have_no_breach() -> None:
    assert breaches(sound()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtpd_milters", "unix:opendkim/opendkim.sock"),
        ("smtpd_milters", "unix:opendkim/opendkim.sock,unix:gate/gate.sock"),
        ("milter_macro_daemon_name", "mx1"),
        ("milter_default_action", "accept"),
        ("smtpd_sasl_auth_enable", "no"),
        ("smtpd_tls_security_level", "may"),
        ("smtpd_tls_auth_only", "no"),
        ("smtpd_tls_wrappermode", "yes"),
        ("smtpd_sender_restrictions", ""),
        ("smtpd_sender_restrictions", "permit_sasl_authenticated, reject_sender_login_mismatch"),
        ("smtpd_sender_login_maps", ""),
        ("smtpd_relay_restrictions", "permit"),
        ("smtpd_relay_restrictions", "permit_mynetworks, permit_sasl_authenticated, reject"),
        ("cleanup_service_name", "cleanup2"),
        ("smtpd_milter_maps", "cidr:/etc/postfix/without_milters"),
        ("receive_override_options", "no_address_mappings,no_milters"),
        ("content_filter", "scan:127.0.0.1:10025"),
        ("smtpd_proxy_filter", "127.0.0.1:10025"),
    ],
)
def test_a_breach_on_one_listener_is_seen(name: str, value: str) -> None:
    overrides = {**sound().overrides, "submission/inet": {**_CLIENTS, name: value}}
    found = breaches(replace(sound(), overrides=overrides))
    assert len(found) == 1
    assert found[0].startswith("master.cf line 2: submission (port 587): ")


@pytest.mark.parametrize(
    "change",
    [
        {"mynetworks": "127.0.0.0/8"},
        {"non_smtpd_milters": ""},
        {"smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"},
        {"smtpd_relay_restrictions": "check_recipient_access lmdb:/x, reject_unauth_destination"},
    ],
)
def test_a_breach_in_main_cf_is_seen(change: dict[str, str]) -> None:
    assert len(breaches(replace(sound(), values={**_VALUES, **change}))) == 1


def test_listeners_are_those_declared() -> None:
    services = tuple(config.parse_master(_SERVICES.replace("465", "127.0.0.1:2525")))
    assert breaches(replace(sound(), services=services)) == [
        "master.cf line 3: 127.0.0.1:2525 answers SMTP and is not among the listeners of this host",
        "master.cf: no smtpd listens on port 465",
    ]


@pytest.mark.parametrize(
    "line", ["smtpd pass - - y - - smtpd", "relay unix n - y - - smtpd", "628 inet n - n - - qmqpd",
             "26 inet n - y - 1 postscreen", "127.0.0.1:587 inet n - y - - smtpd"],
)  # fmt: skip
def test_no_other_way_in_is_left(line: str) -> None:
    services = tuple(config.parse_master(f"{_SERVICES}{line}\n"))
    [found] = breaches(replace(sound(), services=services))
    assert found.startswith("master.cf line 5: ")
    assert found.endswith("is not among the listeners of this host")


@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("pickup/unix", "receive_override_options", "no_milters"),
        ("subcleanup/unix", "non_smtpd_milters", "unix:opendkim/opendkim.sock"),
        ("subcleanup/unix", "non_smtpd_milters", ""),
        ("subcleanup/unix", "milter_default_action", "accept"),
        ("subcleanup/unix", "milter_header_checks", "pcre:/etc/postfix/without_signature.pcre"),
    ],
)
def test_what_the_host_itself_sends_passes_the_milters(service: str, name: str, value: str) -> None:
    services = tuple(config.parse_master(f"{_SERVICES}pickup unix n - y 60 1 pickup\n"))
    overrides = {**sound().overrides, service: {name: value}}
    [found] = breaches(replace(sound(), services=services, overrides=overrides))
    assert f": {service.partition('/')[0]}: {name} = " in found


# --- the staged instance and the swap -------------------------------------------------------------------------------


def test_the_instance_listens_on_loopback_only_and_outside_a_chroot() -> None:
    text = postfix_stage.instance_master(_SERVICES + "26 inet n - y - - smtpd\n", {25: 1025, 587: 1587, 465: 1465})
    services = config.parse_master(text)
    assert [service.name for service in services if service.type == "inet"] == [
        "127.0.0.1:1025", "127.0.0.1:1587", "127.0.0.1:1465",
    ]  # fmt: skip
    assert {service.chroot for service in services} == {"n"}
    assert services[-1].command == "postlogd"


def test_the_instance_knows_the_temporary_login_beside_the_others() -> None:
    text = "queue_directory = /live\nsmtpd_sender_login_maps = lmdb:/x\n"
    main = config.parse_main(postfix_stage.instance_main(text, Path("/i"), Login("l@h", "s@h", "secret")))
    assert main["queue_directory"].value == "/i/queue"
    assert main["smtpd_sender_login_maps"].value == "inline:{ { s@h = l@h } }, lmdb:/x"
    assert "secret" not in "".join(setting.value for setting in main.values())


def test_sockets_are_found_by_their_relative_paths() -> None:
    main = "smtpd_sasl_path = private/auth\nnon_smtpd_milters = unix:gate/a, unix:/abs\n"
    assert postfix_stage.linked_sockets(main, "  -o smtpd_milters=unix:gate/a,unix:dkim/b\n") == {
        Path("gate/a"), Path("dkim/b"), Path("private/auth"),
    }  # fmt: skip


def spec(path: Path, text: str) -> FileSpec:
    return FileSpec(path, text.encode())


def test_names_that_the_old_master_cf_uses_stay_until_it_was_taken_up() -> None:
    changes = [
        Change(MASTER, spec(MASTER, "smtp inet n - y - - smtpd -o a=$old\n"), spec(MASTER, "new\n")),
        Change(MAIN, spec(MAIN, "old = secret rules\nunused = x\n"), spec(MAIN, "new = y\n")),
        Change(Path("/etc/postfix/map"), None, spec(Path("/etc/postfix/map"), "m\n")),
    ]
    steps = [
        (step.path.name, step.content.decode()) if isinstance(step, FileSpec) else step
        for step in Postfix({}).steps(changes)
    ]
    assert steps == [
        ("map", "m\n"),
        ("main.cf", "new = y\nold = secret rules\n"),
        ("master.cf", "new\n"),
        ACTIVATE,
        ("main.cf", "new = y\n"),
        PROBE,
    ]


def test_without_such_names_main_cf_is_written_once() -> None:
    changes = [Change(MAIN, spec(MAIN, "a = 1\n"), spec(MAIN, "a = 2\n"))]
    assert [step for step in Postfix({}).steps(changes) if isinstance(step, FileSpec)] == [spec(MAIN, "a = 2\n")]


@pytest.mark.parametrize(
    ("path", "effect"),
    [
        ("/etc/postfix/mailboxes.pcre", "reload"),
        ("/etc/aliases", "reload"),
        ("/etc/systemd/system/postfix.service.d/sendyard.conf", "restart"),
        ("/etc/systemd/system/postfix@-.service.d/sendyard.conf", "restart"),
        ("/etc/systemd/system/sendyard-postfix-housekeeping.service", ""),
        ("/etc/systemd/system/sendyard-postfix-housekeeping.timer", ""),
        ("/etc/logrotate.d/sendyard-postfix", ""),
        ("/usr/local/sbin/sendyard-mail", ""),
    ],
)
def test_only_what_postfix_reads_touches_postfix(path: str, effect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postfix, "_stale_chroot", lambda: False)
    monkeypatch.setattr(postfix, "postfix_unit", lambda: "postfix.service")
    before, after = FileSpec(Path(path), b"before\n"), FileSpec(Path(path), b"after\n")
    wanted = {"postfix.service": effect} if effect else {}
    subsystem = Postfix({"fqdn": "mx1.yard.example", "milters": ["unix:a"]})
    assert subsystem.effects([Change(Path(path), before, after)]) == wanted
