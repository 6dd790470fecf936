# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Postfix would do with a pair of main.cf and master.cf, and what of it must not be.

`inspect` asks `postconf`, which parses as Postfix does; the rest are pure functions over what it said.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from .command import run
from .postfix_config import (
    RESTRICTION_LISTS,
    Service,
    Setting,
    bad_value,
    misspelt_restriction,
    named_files,
    named_tables,
    parse_main,
    parse_master,
    split_list,
)
from .smtp_probe import Listener

_PORTS = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465, "urd": 465}


@dataclass(frozen=True)
class Inspected:
    """A configuration as Postfix reads it, every $name expanded."""

    main: Mapping[str, Setting]  # as written, with line numbers
    services: tuple[Service, ...]
    values: Mapping[str, str]  # of all parameters, defaults included
    overrides: Mapping[str, Mapping[str, str]]  # service label, such as "submission/inet", to its -o values
    defaults: Mapping[str, str]
    complaints: tuple[str, ...]  # errors and warnings of postconf

    def effective(self, service: Service, name: str) -> str:
        """The value of parameter `name` within `service`."""
        return self.overrides.get(service.label, {}).get(name, self.values.get(name, ""))


def inspect(directory: Path) -> Inspected:
    """Have postconf read main.cf and master.cf of `directory`.

    Raises:
        PostfixConfigError: a line that is not of the right form.
        CommandError: postconf is missing.
    """
    # One call takes only one of -n, -M and -P, and each sees other mistakes.
    parsed = [run(["postconf", "-c", directory, option], deadline=20) for option in ("-n", "-M", "-P")]
    complaints = [line for answer in parsed for line in _complaints(answer.stderr)]
    main = parse_main((directory / "main.cf").read_text())
    services = parse_master((directory / "master.cf").read_text())
    values = run(["postconf", "-c", directory, "-x"], deadline=20)
    expanded = run(["postconf", "-c", directory, "-Px"], deadline=20)
    defaults = run(["postconf", "-d"], deadline=20)
    overrides: dict[str, dict[str, str]] = {}
    for label, value in _pairs(expanded.stdout):
        service, name = label.rsplit("/", 1)
        overrides.setdefault(service, {})[name] = value
    return Inspected(
        main=main,
        services=tuple(services),
        values=dict(_pairs(values.stdout)),
        overrides=overrides,
        defaults=dict(_pairs(defaults.stdout)),
        complaints=tuple(dict.fromkeys(complaints)),  # each of the calls repeats some
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """The `name = value` lines that postconf prints."""
    for line in text.splitlines():
        name, equals, value = line.partition(" =")
        if equals:
            yield name, value.strip()


def _complaints(stderr: str) -> Iterator[str]:
    """postconf's lines without its name, its directory and the words that every one has."""
    for line in stderr.splitlines():
        yield re.sub(r"^postconf: ((warning|fatal|error): )?(\S*/)?(?=(main|master)\.cf)", "", line).strip()


# --- what is wrong whatever the configuration is for ---------------------------------------------------------------


def mistakes(found: Inspected, directory: Path) -> list[str]:
    """Everything in `found`, which was read from `directory`, that Postfix would accept and should not, a line each."""
    return [
        *(_with_line(complaint, found) for complaint in found.complaints),
        *_bad_values(found),
        *_bad_restrictions(found),
        *_missing_files(found),
        *_bad_tables(found, directory),
    ]


def _places(found: Inspected) -> Iterator[tuple[str, str, str]]:
    """Every parameter that somebody set, as (where, name, expanded value)."""
    for name, setting in found.main.items():
        yield f"main.cf line {setting.line}", name, found.values.get(name, setting.value)
    for service in found.services:
        for name, written in service.overrides.items():
            value = found.overrides.get(service.label, {}).get(name, written)
            yield f"master.cf line {service.line} ({service.name})", name, value


def _with_line(complaint: str, found: Inspected) -> str:
    """A complaint of postconf with the line of main.cf that it means, where it names a parameter set there."""
    for kind in ("unused parameter: ", "undefined parameter: "):
        if kind not in complaint:
            continue
        name = complaint.split(kind, 1)[1].partition("=")[0]
        users = [
            where
            for where, text in _written(found)
            if re.search(rf"\$[({{]?{re.escape(name)}\b", text) and kind.startswith("undefined")
        ]
        if kind.startswith("undefined") and users:
            return f"{users[0]}: ${name} is defined nowhere; it would expand to nothing."
        if name in found.main:
            return f"main.cf line {found.main[name].line}: {name} is no parameter of this Postfix, and nothing uses it."
    return complaint


def _written(found: Inspected) -> Iterator[tuple[str, str]]:
    """Every value as written, with where."""
    yield from ((f"main.cf line {setting.line}: {name}", setting.value) for name, setting in found.main.items())
    for service in found.services:
        for name, value in service.overrides.items():
            yield f"master.cf line {service.line} ({service.name}): {name}", value


def _bad_values(found: Inspected) -> Iterator[str]:
    for where, name, value in _places(found):
        takes = bad_value(name, value, found.defaults.get(name, ""))
        if takes:
            yield f"{where}: {name} = {value} ({takes})"


def _bad_restrictions(found: Inspected) -> Iterator[str]:
    classes = split_list(found.values.get("smtpd_restriction_classes", ""))
    for where, name, value in _places(found):
        if name in RESTRICTION_LISTS or name in classes:
            wrong = misspelt_restriction(value, classes)
            if wrong:
                yield f"{where}: {name} has {wrong}, which is no restriction of Postfix"


def _missing_files(found: Inspected) -> Iterator[str]:
    for where, name, value in _places(found):
        for path in named_files(name, value):
            try:
                with path.open("rb"):
                    pass
            except OSError as error:
                yield f"{where}: {name} names {path}, which cannot be read ({error.strerror})"


def _bad_tables(found: Inspected, directory: Path) -> Iterator[str]:
    """Tables that Postfix would open and complain of: it leaves out an expression that does not parse, and goes on."""
    tables = {table: where for where, name, value in _places(found) for table in named_tables(value)}
    for table, where in sorted(tables.items()):
        answer = run(["postmap", "-c", directory, "-q", "probe@table.invalid", table], deadline=20)
        complaints = [line for line in answer.stderr.splitlines() if "No such file" not in line]  # that was said above
        yield from (f"{where}: {re.sub(r'^postmap: ', '', line)}" for line in complaints)


# --- what a sending server's listeners must be ---------------------------------------------------------------------


def port_of(service: Service) -> int | None:
    """The TCP port of an inet service, None where its name is none that this host knows."""
    name = service.name.rpartition(":")[2]
    if name.isdigit():
        return int(name)
    if name in _PORTS:
        return _PORTS[name]
    try:
        return socket.getservbyname(name, "tcp")
    except OSError:
        return None


# Programs by which mail comes in, other than pickup(8), whose mail non_smtpd_milters are for.
_ENTRANCES = frozenset({"smtpd", "postscreen", "qmqpd"})


def smtp_listeners(services: Sequence[Service]) -> dict[int | None, Service]:
    """The services that answer SMTP clients on TCP, by port."""
    listeners: dict[int | None, Service] = {}
    for service in services:
        if service.type == "inet" and service.command == "smtpd":
            listeners.setdefault(port_of(service), service)
    return listeners


def _other_entrances(services: Sequence[Service]) -> Iterator[Service]:
    """The services that take mail beside the SMTP listeners: behind postscreen(8), on a Unix socket, by QMQP, or on
    another address of the same port.
    """
    listeners = smtp_listeners(services).values()
    return (service for service in services if service.command in _ENTRANCES and service not in listeners)


def breaches(
    found: Inspected, listeners: Sequence[Listener], milters: Sequence[str], non_smtpd_milters: Sequence[str]
) -> list[str]:
    """Where `found` is not what a sending server's listeners must be, one line each.

    A submission listener that lacks a milter lets mail out unsigned or under a stranger's name, and nothing else would
    say so.
    """
    serving = smtp_listeners(found.services)
    lines = [
        f"master.cf line {service.line}: {service.name} answers SMTP and is not among the listeners of this host"
        for port, service in serving.items()
        if port not in {listener.port for listener in listeners}
    ]
    lines += [
        f"master.cf line {service.line}: {service.label} ({service.command}) is not among the listeners of this host"
        for service in _other_entrances(found.services)
    ]
    for listener in listeners:
        service = serving.get(listener.port)
        if service is None:
            lines.append(f"master.cf: no smtpd listens on port {listener.port}")
            continue
        rules = _mx_rules(found, service) if listener.kind == "mx" else _submission_rules(found, service, milters)
        if listener.kind == "submissions":
            rules = chain(rules, _equals(found, service, "smtpd_tls_wrappermode", "yes"))
        elif listener.kind == "submission":
            rules = chain(
                rules,
                _equals(found, service, "smtpd_tls_wrappermode", "no"),
                _equals(found, service, "smtpd_tls_security_level", "encrypt"),
            )
        lines += [f"master.cf line {service.line}: {service.name} (port {listener.port}): {rule}" for rule in rules]
    if found.values.get("mynetworks"):
        lines.append(f"main.cf: mynetworks = {found.values['mynetworks']}; it must be empty: whoever logs in may send")
    if split_list(found.values.get("non_smtpd_milters", "")) != list(non_smtpd_milters):
        lines.append(
            _milters_differ("main.cf: non_smtpd_milters", found.values.get("non_smtpd_milters", ""), non_smtpd_milters)
        )
    for service in found.services:
        rules = _host_rules(found, service, non_smtpd_milters)
        lines += [f"master.cf line {service.line}: {service.name}: {rule}" for rule in rules]
    return lines


def _host_rules(found: Inspected, service: Service, milters: Sequence[str]) -> Iterator[str]:
    """What holds where mail of the host itself passes, which no listener has seen."""
    if service.command == "pickup" and "no_milters" in split_list(found.effective(service, "receive_override_options")):
        yield "receive_override_options = no_milters; gate and signer must see every message"
    if service.command != "cleanup":
        return
    own = found.overrides.get(service.label, {}).get("non_smtpd_milters")
    if own is not None and split_list(own) != list(milters):
        yield _milters_differ("non_smtpd_milters", own, milters)
    default = found.overrides.get(service.label, {}).get("milter_default_action")
    if default not in (None, "tempfail", "reject"):
        yield f"milter_default_action = {default}; it must be tempfail or reject"
    # They would look at what the milters add, the signature, and could take it away.
    yield from _equals(found, service, "milter_header_checks", "")


def _milters_differ(what: str, value: str, wanted: Sequence[str]) -> str:
    return f"{what} = {value or '(nothing)'}; it must be {', '.join(wanted) or '(nothing)'}"


def _equals(found: Inspected, service: Service, name: str, *wanted: str) -> Iterator[str]:
    """A line unless parameter `name` has one of the `wanted` values within `service`."""
    value = found.effective(service, name)
    if value not in wanted:
        yield f"{name} = {value or '(nothing)'}; it must be {' or '.join(wanted) or '(nothing)'}"


def _submission_rules(found: Inspected, service: Service, milters: Sequence[str]) -> Iterator[str]:
    """What holds on every port on which clients log in."""
    if split_list(found.effective(service, "smtpd_milters")) != list(milters):
        yield _milters_differ("smtpd_milters", found.effective(service, "smtpd_milters"), milters)
    # What takes the milters away again, for all clients or for some (postconf(5)).
    yield from _equals(found, service, "smtpd_milter_maps", "")
    if "no_milters" in split_list(found.effective(service, "receive_override_options")):
        yield "receive_override_options = no_milters; gate and signer must see every message"
    # A second pass through Postfix would come back by a service that has no milters, and change what was signed.
    for name in ("content_filter", "smtpd_proxy_filter"):
        yield from _equals(found, service, name, "")
    # The gate lets pass without a login what does not say that it comes from a client.
    yield from _equals(found, service, "milter_macro_daemon_name", "ORIGINATING")
    yield from _equals(found, service, "milter_default_action", "tempfail", "reject")
    yield from _equals(found, service, "smtpd_sasl_auth_enable", "yes")
    yield from _equals(found, service, "smtpd_tls_auth_only", "yes")
    senders = split_list(found.effective(service, "smtpd_sender_restrictions"))
    binding = {"reject_sender_login_mismatch", "reject_authenticated_sender_login_mismatch"}
    before = list(_until(senders, binding))
    if before == senders:
        yield f"smtpd_sender_restrictions = {', '.join(senders) or '(nothing)'} lack reject_sender_login_mismatch"
    elif any(word.startswith("permit") for word in before):
        yield f"smtpd_sender_restrictions permit by {', '.join(before)} before reject_sender_login_mismatch is asked"
    if not found.effective(service, "smtpd_sender_login_maps"):
        yield "smtpd_sender_login_maps is empty; no login owns any sender"
    relay = split_list(found.effective(service, "smtpd_relay_restrictions"))
    if relay != ["permit_sasl_authenticated", "reject"]:
        yield f"smtpd_relay_restrictions = {', '.join(relay)}; it must be permit_sasl_authenticated, reject"
    cleanup = found.effective(service, "cleanup_service_name")
    if not any(other.name == cleanup and other.command == "cleanup" for other in found.services):
        yield f"cleanup_service_name = {cleanup}, and master.cf has no such cleanup service"


def _mx_rules(found: Inspected, service: Service) -> Iterator[str]:
    """What holds on port 25."""
    yield from _equals(found, service, "smtpd_sasl_auth_enable", "no")
    yield from _equals(found, service, "smtpd_tls_wrappermode", "no")
    relay = split_list(found.effective(service, "smtpd_relay_restrictions"))
    closing = {"reject_unauth_destination", "defer_unauth_destination", "reject"}
    before = list(_until(relay, closing))
    if before == relay or any(word.startswith(("permit", "check_")) for word in before):
        yield f"smtpd_relay_restrictions = {', '.join(relay) or '(nothing)'}; reject_unauth_destination must come first"


def _until(words: Sequence[str], ends: set[str]) -> Iterator[str]:
    """The words before the first that is one of `ends`."""
    for word in words:
        if word in ends:
            return
        yield word
