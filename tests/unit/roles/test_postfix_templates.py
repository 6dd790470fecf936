# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What the role postfix would put on a host, read by a real Postfix: nothing unknown, nothing undefined, no warning."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import render
import yaml
from ansible_collections.sendyard.mail.plugins.module_utils import domain_logins
from ansible_collections.sendyard.mail.plugins.module_utils.host import postfix_inspect
from ansible_collections.sendyard.mail.plugins.module_utils.host.smtp_probe import listener

FQDN = "mx1.yard.example"
V4, V6 = "10.1.2.3", "fd00::25"
MILTERS = ["unix:gate/gate.sock", "unix:opendkim/opendkim.sock"]
# Of the parameters that the role uses, those that Postfix 3.7 (Debian 12) does not know: a controller with 3.7 cannot
# parse them, and a host with 3.7 must not get them.
SINCE_3_10 = {"smtpd_hide_client_session", "maillog_file_permissions"}

SCENARIOS = {
    "v4": {"postfix_addresses": [{"public": V4}], "postfix_certificates": ["ecdsa"]},
    "v6": {"postfix_addresses": [{"public": V6}], "postfix_certificates": ["ecdsa"]},
    "v4 and v6, two chains": {
        "postfix_addresses": [{"public": V4}, {"public": V6}],
        "postfix_certificates": ["ecdsa", "rsa"],
    },
    "1:1 NAT": {"postfix_addresses": [{"public": "10.9.9.9", "bind": V4}], "postfix_certificates": ["rsa"]},
    "two of a family": {
        "postfix_addresses": [{"public": V4}, {"public": "10.1.2.4"}],
        "postfix_certificates": ["ecdsa"],
    },
    "every choice": {
        "postfix_addresses": [{"public": V4, "bind": None}],
        "postfix_certificates": ["ecdsa"],
        "postfix_bounce_domain": "b.yard.example",
        "postfix_authorized_submit_users": [],
        "postfix_notify_classes": ["resource", "software"],
    },
}
TABLES = (  # that others write
    *(f"etc/postfix/{name}" for name in ("sender_login", "return_paths", "return_mailboxes")),
    "var/lib/sendyard/postfix/unanswered",
)


def rendered(version: str, **variables: object) -> dict[str, render.RenderedFile]:
    """The files for a host with Postfix `version`."""
    return _rendered(version, json.dumps(variables))


@functools.cache
def _rendered(version: str, variables: str) -> dict[str, render.RenderedFile]:
    return render.role_files("postfix", postfix_version=version, postfix_fqdn=FQDN, **json.loads(variables))


def write(root: Path, files: dict[str, render.RenderedFile]) -> Path:
    """Write the files and what they need below `root`; returns the configuration directory."""
    render.write_below(root, files)
    return root / "etc/postfix"


def complaints(root: Path, directory: Path) -> list[str]:
    """Everything that Postfix or our own rules have against the configuration, but for what only 3.10 knows."""
    files = (
        "etc/sendyard/tls/ecdsa.pem",
        "etc/sendyard/tls/rsa.pem",
        "etc/ssl/certs/ca-certificates.crt",
        *TABLES,
    )
    for path in files:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
        os.utime(root / path, (0, 0))
    for name in ("main.cf", "master.cf"):
        text = re.sub(r"/(?=etc/(postfix|sendyard|ssl)/|var/lib/sendyard/)", f"{root}/", (directory / name).read_text())
        (directory / name).write_text(text)
        os.utime(directory / name, (0, 0))
    for table in TABLES:
        argv = ["postmap", "-c", str(directory), f"lmdb:{root}/{table}"]
        subprocess.run(argv, check=True, timeout=20, capture_output=True)
    found = postfix_inspect.inspect(directory)
    listeners = [listener(port) for port in (25, 587, 465, 2525)]
    return [
        line
        for line in (
            *postfix_inspect.mistakes(found, directory),
            *postfix_inspect.breaches(found, listeners, MILTERS, MILTERS),
        )
        if not any(name in line for name in SINCE_3_10 - found.defaults.keys())
    ]


def value(directory: Path, name: str) -> str:
    """What main.cf in `directory` says of parameter `name`, as Postfix reads it."""
    return postconf(directory, "-hx", name).strip()


def postconf(directory: Path, *arguments: str) -> str:
    """What postconf prints."""
    return subprocess.run(
        ["postconf", "-c", str(directory), *arguments], capture_output=True, text=True, check=True, timeout=20
    ).stdout


def looked_up(table: Path, key: str) -> str:
    """What the pcre: table says of `key`, "" for nothing."""
    done = subprocess.run(
        ["postmap", "-q", key, f"pcre:{table}"], capture_output=True, text=True, check=False, timeout=20
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module", params=["3.7", "3.10"])
def version(request: pytest.FixtureRequest) -> str:
    """Postfix on Debian 12 and 13."""
    assert shutil.which("postconf"), "postconf is missing: script/bootstrap installs what tests/packages names"
    return request.param


@pytest.fixture(scope="module")
def directory(version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration directory of an ordinary host."""
    return write(tmp_path_factory.mktemp("host"), rendered(version, **SCENARIOS["v4 and v6, two chains"]))


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration directory of a Debian 12: its maps hold what those of 13 hold, and one rule more."""
    return write(tmp_path_factory.mktemp("maps"), rendered("3.7", **SCENARIOS["v4"]))


# --- main.cf and master.cf -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_postfix_has_nothing_against_it(version: str, scenario: dict[str, object], tmp_path: Path) -> None:
    assert complaints(tmp_path, write(tmp_path, rendered(version, **scenario))) == []


@pytest.mark.parametrize(
    "line",
    ["smtpd_sender_restrictions = $undefined_here", "smtpd_hello_required = yes", "smtpd_tls_security_level = maybe"],
)
def test_a_mistake_would_be_seen(line: str, tmp_path: Path) -> None:
    directory = write(tmp_path, rendered("3.7", **SCENARIOS["v4"]))
    main = directory / "main.cf"
    main.write_text(f"{main.read_text()}{line}\n")
    os.utime(main, (0, 0))
    assert complaints(tmp_path, directory)


def test_debian_12_gets_nothing_that_it_does_not_know() -> None:
    for path, file in rendered("3.7", **SCENARIOS["every choice"]).items():
        assert not [name for name in SINCE_3_10 if name in file.content], path


def test_debian_13_hides_the_client_on_every_submission_port() -> None:
    master = rendered("3.10", **SCENARIOS["v4"])["/etc/postfix/master.cf"].content
    assert master.count("-o smtpd_hide_client_session=yes") == 3


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("v4", {"inet_protocols": "ipv4", "smtp_bind_address": V4, "smtp_bind_address6": "", "proxy_interfaces": ""}),
        ("v6", {"inet_protocols": "ipv6", "smtp_bind_address": "", "smtp_bind_address6": V6}),
        (
            "v4 and v6, two chains",
            {
                "inet_protocols": "ipv4, ipv6",
                "smtp_bind_address": V4,
                "smtp_bind_address6": V6,
                "smtpd_tls_chain_files": "/etc/sendyard/tls/ecdsa.pem, /etc/sendyard/tls/rsa.pem",
            },
        ),
        (
            "1:1 NAT",
            {
                "smtp_bind_address": V4,
                "proxy_interfaces": "10.9.9.9",
                "smtpd_tls_chain_files": "/etc/sendyard/tls/rsa.pem",
            },
        ),
        ("two of a family", {"smtp_bind_address": V4}),
        (
            "every choice",
            {
                "smtp_bind_address": V4,
                "authorized_submit_users": "",
                "notify_classes": "resource, software",
                "virtual_mailbox_domains": f"{FQDN}, b.yard.example, lmdb:/etc/postfix/return_paths",
            },
        ),
    ],
)
def test_addresses_and_choices(version: str, scenario: str, expected: dict[str, str], tmp_path: Path) -> None:
    directory = write(tmp_path, rendered(version, **SCENARIOS[scenario]))
    assert {name: value(directory, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("left_out", "family", "bound"),
    [([V6], "ipv4", {"smtp_bind_address": V4, "smtp_bind_address6": ""}),
     ([V4], "ipv6", {"smtp_bind_address": "", "smtp_bind_address6": V6})],
)  # fmt: skip
def test_clients_come_to_an_address_that_mail_does_not_leave_from(
    version: str, left_out: list[str], family: str, bound: dict[str, str], tmp_path: Path
) -> None:
    said = SCENARIOS["v4 and v6, two chains"] | {"postfix_not_sent_from": left_out}
    directory = write(tmp_path, rendered(version, **said))
    assert not complaints(tmp_path, directory)
    assert {name: value(directory, name) for name in bound} == bound
    assert value(directory, "inet_protocols") == "ipv4, ipv6"
    overrides = postconf(directory, "-Px")
    assert sorted(re.findall(r"^(\S+)/inet_protocols = (.+)$", overrides, re.MULTILINE)) == [
        (f"{service}/unix", family) for service in ("relay", "smtp", "unanswered")
    ]


def test_where_mail_leaves_from_all_no_service_says_so(directory: Path) -> None:
    assert "inet_protocols" not in postconf(directory, "-Px")


def test_nobody_is_trusted_for_their_address(directory: Path) -> None:
    for name in ("mynetworks", "relay_domains", "mydestination", "smtpd_forbid_bare_newline_exclusions"):
        assert value(directory, name) == "", name


def test_only_the_submission_ports_have_milters_and_a_signing_cleanup(directory: Path) -> None:
    assert value(directory, "smtpd_milters") == ""
    overrides = postconf(directory, "-Px")
    with_milters = re.findall(r"^(\S+)/inet/smtpd_milters = (.+)$", overrides, re.MULTILINE)
    assert with_milters == [(name, ",".join(MILTERS)) for name in ("submission", "submissions", "2525")]
    assert overrides.count("/inet/cleanup_service_name = subcleanup") == 3


def test_bounces_come_from_the_form_that_the_gate_takes(directory: Path) -> None:
    senders = re.findall(r"^From: (.*)$", (directory / "bounce.cf").read_text(), re.MULTILINE)
    assert senders == [f"Mail Delivery System <MAILER-DAEMON@{FQDN}>"] * 4
    text = postconf(directory, "-b", str(directory / "bounce.cf"))
    assert text.count(f"This is the mail system at host {FQDN}.") == 4
    assert "$" not in text


# --- maps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        (f"postmaster@{FQDN}", "sendyard/postmaster/"),
        (f"ROOT@{FQDN.upper()}", "sendyard/postmaster/"),
        (f"abuse@{FQDN}", "sendyard/abuse/"),
        (f"abuse@bounces.{FQDN}", "sendyard/abuse/"),
        (f"postmaster@bounces.{FQDN}", "sendyard/postmaster/"),
        (f"b+7=someone=rx.example@bounces.{FQDN}", "sendyard/bounces/"),
        (f"anybody@{FQDN}", ""),
        ("postmaster@mx1xyard.example", ""),
        (f"postmaster@other.{FQDN}", ""),
        (f"x@y@bounces.{FQDN}", ""),
        (f"x@bounces.{FQDN}.rx.example", ""),
        (f"@bounces.{FQDN}", ""),
    ],
)
def test_mailboxes(maps: Path, address: str, mailbox: str) -> None:
    assert looked_up(maps / "mailboxes.pcre", address) == mailbox


@pytest.mark.parametrize("local", ["postmaster", "abuse", "b+7=someone=rx.example"])
def test_what_returns_to_a_domain_lies_where_the_bounces_of_the_host_do(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: str
) -> None:
    """The one table is the role's, the other the module's that writes the logins; Postfix looks for @domain last."""
    monkeypatch.setattr(domain_logins.files, "owner_id", lambda _: os.geteuid())
    monkeypatch.setattr(domain_logins.files, "group_id", lambda _: os.getegid())
    places = domain_logins.Places(*(tmp_path / name for name in ("owners", "logins", "sender_login", "state")))
    said = {"logins": ["app@acme.example"], "return_path": "bounces.acme.example"}
    table = {"kept": [], "domains": {"acme.example": said}, "logins": {"app@acme.example": "{SSHA512}AAAA"}}
    domain_logins.apply(table, places, dry=False)

    def found(path: Path, *keys: str) -> str:
        for key in keys:
            argv = ["postmap", "-q", key, f"lmdb:{path}"]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
            assert not done.stderr, done.stderr
            if done.stdout:
                return done.stdout.strip()
        return ""

    domain = "Bounces.acme.example"
    stored = found(places.return_mailboxes, f"{local}@{domain}", f"@{domain}")
    assert stored == looked_up(maps / "mailboxes.pcre", f"{local}@bounces.{FQDN}") != ""
    assert found(places.return_paths, domain) != ""
    assert found(places.return_paths, "acme.example", "x.bounces.acme.example", "@bounces.acme.example") == ""
    assert found(places.return_mailboxes, "bounces.acme.example", "@acme.example") == ""
    assert found(places.senders, "@bounces.acme.example") == "app@acme.example"


@pytest.mark.parametrize(
    ("sender", "owner"),
    [
        ("probe-0123456789abcdef@acme.example", f"probe-0123456789abcdef=acme.example@{FQDN}"),
        (f"probe-0123456789abcdef@{FQDN}", f"probe-0123456789abcdef={FQDN}@{FQDN}"),
        (f"postmaster@{FQDN}", ""),
        ("probe-01@acme.example", ""),
        ("probe-0123456789abcdeg@acme.example", ""),
        ("xprobe-0123456789abcdef@acme.example", ""),
        (f"probe-0123456789abcdef=acme.example@{FQDN}", ""),
    ],
)
def test_senders_of_probe_logins(maps: Path, sender: str, owner: str) -> None:
    assert looked_up(maps / "probe_sender_login.pcre", sender) == owner


@pytest.mark.parametrize(
    "field",
    [
        "From: app@acme.example",
        "from:app@acme.example",
        "From: Acme <app@acme.example>",
        'From: "Acme, Inc." <app@acme.example>',
        'From:\n "Acme"\n <app@acme.example>',
        "From: =?utf-8?q?J=C3=B6rg?= <app@acme.example>",
        "From: Jörg <app@acme.example>",
        "Sender: ceo@globex.example, x@y.example",
    ],
)
def test_fields_that_pass(maps: Path, field: str) -> None:
    assert looked_up(maps / "submission_header_checks.pcre", field) in ("", "DUNNO")


@pytest.mark.parametrize(
    "field",
    [
        "From:",
        "From: app",
        "From: app@acme.example, ceo@globex.example",
        "From: Team: app@acme.example;",
        "From: ceo@globex.example <app@acme.example>",
        "From: <app@acme.example> <ceo@globex.example>",
        "From: app@acme.example (ceo@globex.example)",
        'From: "x <ceo@globex.example>',
        "From : app@acme.example, ceo@globex.example",
        "X-Mailbox-Line: From : ceo@globex.example",
    ],
)
def test_fields_that_are_refused(maps: Path, field: str) -> None:
    assert looked_up(maps / "submission_header_checks.pcre", field).startswith("REJECT 5.7.1 ")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("From: root (Cron Daemon)", 'REPLACE From: "Cron Daemon" <root>'),
        (f"From: root@{FQDN} (Cron Daemon)", f'REPLACE From: "Cron Daemon" <root@{FQDN}>'),
        (f"From: root <root@{FQDN}>", ""),
        ("From: root (a) (b)", ""),
        ('From: root (a" <ceo@acme.example>)', ""),
    ],
)
def test_what_cron_writes_is_put_into_the_form_that_the_gate_takes(maps: Path, field: str, said: str) -> None:
    assert looked_up(maps / "host_header_checks.pcre", field) == said


TLS_LINES = (
    "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"
    "\t key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256)\n"
    "\t(No client certificate requested)\n\t"
)


@pytest.mark.parametrize(
    "client",
    [
        f"from client.example (unknown [10.9.8.7])\n\t{TLS_LINES}",
        f"from [127.0.0.1] (client.example [IPv6:fd00::1])\n\t{TLS_LINES}",
        "from client.example (client.example [10.9.8.7])\n\t",
        f"from by (x) (unknown [10.9.8.7])\n\t{TLS_LINES}",
    ],
)
@pytest.mark.parametrize("recipient", ["", "\n\tfor <one@rx.example>"])
def test_debian_12_hides_the_client(maps: Path, client: str, recipient: str) -> None:
    end = f"by {FQDN} (Postfix) with ESMTPSA id 4jYQZl55ygzFHDr{recipient}; Tue, 24 Nov 2026 01:43:59 +0000 (UTC)"
    said = looked_up(maps / "submission_header_checks.pcre", f"Received: {client}{end}")
    assert said == (
        f"REPLACE Received: by {FQDN} (Postfix) id 4jYQZl55ygzFHDr{recipient}; Tue, 24 Nov 2026 01:43:59 +0000 (UTC)"
    )


def test_the_maps_of_debian_13_hold_what_those_of_12_hold() -> None:
    old, new = (rendered(version, **SCENARIOS["v4"]) for version in ("3.7", "3.10"))
    differing = [path for path, file in old.items() if path.endswith(".pcre") and file.content != new[path].content]
    assert differing == ["/etc/postfix/submission_header_checks.pcre"]
    assert old[differing[0]].content.startswith(new[differing[0]].content.rstrip())


# --- the rest --------------------------------------------------------------------------------------------------------


def test_every_variable_is_specified_and_has_a_default_or_is_required() -> None:
    role = render.ROLES / "postfix"
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    required = {name for name, option in options.items() if option.get("required")}
    assert set(options) == set(defaults) | required
    assert not set(defaults) & required


def test_the_log_is_kept_as_long_and_as_large_as_the_owner_says() -> None:
    files = rendered("3.7", **SCENARIOS["v4"], postfix_log_retention_days=3, postfix_log_max_size="7M")
    rotation = files["/etc/logrotate.d/sendyard-postfix"].content
    for setting in ("daily", "maxsize 7M", "rotate 3", "maxage 3", "ifempty", "create 0640 root adm"):
        assert f"    {setting}\n" in rotation


def test_stored_mail_is_kept_as_long_and_as_large_as_the_owner_says() -> None:
    files = rendered("3.7", **SCENARIOS["v4"], postfix_mail_retention_days=3, postfix_mail_max_size="7M")
    unit = files["/etc/systemd/system/sendyard-postfix-housekeeping.service"].content
    assert "sendyard-mail trim --max-age-days 3 --max-size 7M\n" in unit


def test_what_port_25_takes_leaves_room_for_submission(directory: Path) -> None:
    overrides = postconf(directory, "-Px")
    assert "smtp/inet/queue_minfree = 1073741824\n" in overrides
    assert "smtp/inet/message_size_limit = 2097152\n" in overrides
    assert overrides.count("/queue_minfree = ") == 1


# What Debian's postfix.postinst and post-install of 3.7 look for, and append or edit where it is missing.
LOOKED_FOR = (
    *(r"^relay", r"^flush.*flush", r"trace.*bounce", r"^verify.*verify", r"^proxymap.*proxymap", r"^anvil.*anvil"),
    *(r"^scache.*scache", r"^discard.*discard", r"^tlsmgr.*tlsmgr", r"^retry.*error", r"^proxywrite.*proxymap"),
    *(r"^#*tlsproxy.*tlsproxy", r"^postlog", r"^cleanup\s+unix\s+n", r"^flush\s+unix\s+n", r"^pickup\s+unix"),
)


@pytest.mark.parametrize("version", ["3.7", "3.10"])
def test_an_upgrade_of_debians_package_has_nothing_to_add(version: str) -> None:
    files = rendered(version, postfix_addresses=[{"public": V4}], postfix_certificates=["ecdsa"])
    master = files["/etc/postfix/master.cf"].content
    assert [pattern for pattern in LOOKED_FOR if not re.search(pattern, master, re.MULTILINE)] == []
