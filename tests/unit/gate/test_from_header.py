# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What counts as the From domain, and who may speak for it."""

from __future__ import annotations

import email
import email.header
import email.policy
import email.utils
import re

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.smtp import probe_names
from cases.from_forms import ACCEPT, CASES, FOREIGN, LOGIN, OWN, Case
from hypothesis import example, given
from hypothesis import strategies as st
from sendyard.from_header import Author, Header, Refused, Submitter, check, parse_from

HOST = "mx1.yard.example"
OWNERS = {OWN: [LOGIN, f"second@{OWN}"], FOREIGN: [f"app@{FOREIGN}"]}


def owners(domain: str) -> list[str]:
    """As the owners' files say."""
    return OWNERS.get(domain, [])


def login(name: str) -> Submitter:
    """A client that logged in as `name`; whether its envelope sender is its own is asked elsewhere."""
    return Submitter(name, listener=True, sender=f"<ceo@{FOREIGN}>")


def host(sender: str) -> Submitter:
    """The host itself, with this envelope sender."""
    return Submitter("", listener=False, sender=sender)


def fields(header: bytes) -> list[tuple[str, bytes]]:
    """`header` as Postfix hands it to a milter: names, and values whose folds are bare LF."""
    unfolded = re.split(rb"\n(?![ \t])", header.replace(b"\r\n", b"\n").rstrip(b"\n"))
    return [
        (name.decode("ascii"), value.removeprefix(b" ")) for name, value in (line.split(b":", 1) for line in unfolded)
    ]


def author_of(header: bytes) -> Author:
    """The author of `header`. Raises Refused."""
    seen = Header()
    for name, value in fields(header):
        seen.add(name, value)
    return seen.author()


def read_domains(header: bytes) -> set[str]:
    """Every domain that a reader finds in the From: fields of `header`: both of Python's parsers, every field."""
    found: set[str] = set()
    message = email.message_from_bytes(header + b"\r\nbody\r\n", policy=email.policy.compat32)
    values = [str(value) for value in message.get_all("from", [])]
    for _, address in email.utils.getaddresses(values) + [email.utils.parseaddr(value) for value in values]:
        found.add(address.rpartition("@")[2].lower())
    modern = email.message_from_bytes(header + b"\r\nbody\r\n", policy=email.policy.default)
    for field in modern.get_all("from", []):
        found.update(address.domain.lower() for address in field.addresses)
        found.add(email.utils.parseaddr(str(field))[1].rpartition("@")[2].lower())
    return found


def decoded_first(header: bytes) -> set[str]:
    """The domains that are found by those who decode a field and parse it then: the wrong order, and common."""
    message = email.message_from_bytes(header + b"\r\nbody\r\n", policy=email.policy.compat32)
    found = set()
    for value in message.get_all("from", []):
        text = str(email.header.make_header(email.header.decode_header(value)))
        for _, address in [email.utils.parseaddr(text), *email.utils.getaddresses([text])]:
            _, at, domain = address.rpartition("@")
            found.update({domain.lower()} if at else ())
    return found


@pytest.mark.parametrize("case", [case for case in CASES if not case.wire], ids=lambda case: case.name)
def test_a_login_speaks_for_its_own_domain_only(case: Case) -> None:
    try:
        check(author_of(case.header), login(LOGIN), HOST, owners)
        verdict = "accept"
    except Refused as refusal:
        verdict = "refuse"
        assert str(refusal).isprintable()
    assert verdict == case.expected


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expected == ACCEPT and not case.wire], ids=lambda case: case.name
)
def test_readers_find_the_own_domain_in_what_is_accepted(case: Case) -> None:
    assert read_domains(case.header) == {OWN}
    assert decoded_first(case.header) <= {OWN}


SPECIALS = st.sampled_from(
    ['"', "<", ">", "@", ",", ";", ":", "(", ")", "[", "]", "\\", " ", "\t", "\r\n ", "\n ", "\r", "\n", "\x00", "\x0b",
     "=?utf-8?q?", "=?utf-8?b?", "?=", "=?utf-8?q?x?=", "=?utf-8?b?QA==?=", "=?utf-8?q?=22?=", "=?big5?q?=22=5C?=",
     "=40", "=2C", "=?", ".", "..", "app", "ceo", "acme.example", "globex.example", "app@acme.example",
     "<app@acme.example>", "<ceo@globex.example>", "ceo@globex.example", "ü", "\u2028", "From:"]
)  # fmt: skip
VALUES = st.lists(SPECIALS | st.text(max_size=3), max_size=8).map("".join)
NAMES = st.lists(SPECIALS | st.text(max_size=3), max_size=6).map("".join)


@given(VALUES)
@example('"x" <app@acme.example>')
def test_what_is_accepted_is_read_alike_by_every_reader(value: str) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    try:
        author = parse_from(raw)
    except Refused:
        return
    header = b"From: " + re.sub(rb"\r?\n", b"\r\n", raw) + b"\r\n"
    assert read_domains(header) == {author.domain}
    assert decoded_first(header) <= {author.domain}


@given(NAMES, st.sampled_from(["{} <app@acme.example>", '"{}" <app@acme.example>', "{}<app@acme.example>"]))
def test_no_display_name_moves_the_domain(name: str, form: str) -> None:
    raw = form.replace("{}", name).encode("utf-8", "surrogatepass")
    try:
        author = parse_from(raw)
    except Refused:
        return
    assert author.domain == OWN
    header = b"From: " + re.sub(rb"\r?\n", b"\r\n", raw) + b"\r\n"
    assert read_domains(header) == {OWN}
    assert decoded_first(header) <= {OWN}


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    try:
        author = parse_from(value)
    except Refused:
        return
    assert re.fullmatch(r"[a-z0-9.-]+", author.domain)


FIELD_NAMES = st.sampled_from(["From", "from", "From ", "X-A", "fRoM\t", ">From", "X-Mailbox-Line"])


@given(st.lists(st.tuples(FIELD_NAMES, VALUES)))
def test_a_header_with_an_author_has_one_from_field(pairs: list[tuple[str, str]]) -> None:
    header = Header()
    for name, value in pairs:
        header.add(name, value.encode("utf-8", "surrogatepass"))
    try:
        header.author()
    except Refused:
        return
    assert [name.lower() for name, _ in pairs].count("from") == 1
    assert not {name for name, _ in pairs} & {"From ", "fRoM\t", ">From", "X-Mailbox-Line"}


@pytest.mark.parametrize("name", ["From ", "From\t", " From", "Fr\x00om", ">From", "From_", "X-Mailbox-Line"])
def test_a_from_field_is_spelt_from(name: str) -> None:
    for others in ([], ["From"]):
        header = Header()
        for field in [*others, name]:
            header.add(field, b"app@acme.example")
        with pytest.raises(Refused):
            header.author()


@pytest.mark.parametrize("value", [b"x\rFrom: ceo@globex.example", b"x\nFrom: y", b"x\x00y", b"x\x0by"])
def test_a_field_that_hides_a_line_is_refused(value: bytes) -> None:
    header = Header()
    header.add("From", b"app@acme.example")
    header.add("X-A", value)
    with pytest.raises(Refused, match="control character"):
        header.author()


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["Date", "Message-ID"], ""),
        (["DATE", "message-id", "Resent-Date"], ""),
        (["Message-ID", "Resent-Date"], "Date"),
        (["Date", "Resent-Message-ID"], "Message-ID"),
    ],
)
def test_what_resent_fields_keep_from_being_added_is_required(names: list[str], missing: str) -> None:
    header = Header()
    for name in ["From", *names]:
        header.add(name, b"x")
    if missing:
        with pytest.raises(Refused, match=f"a {missing} field is required"):
            header.require_complete()
    else:
        header.require_complete()


def test_a_field_without_a_value_is_missing() -> None:
    header = Header()
    header.add("Date", b"x")
    header.add("Message-ID", b" ")
    with pytest.raises(Refused, match="a Message-ID field is required"):
        header.require_complete()


class TestWhoMaySpeak:
    author = Author("app", OWN)

    def test_several_logins_share_a_domain(self) -> None:
        check(self.author, login(f"second@{OWN}"), HOST, owners)

    def test_the_login_is_compared_without_case(self) -> None:
        check(self.author, login(LOGIN.upper()), HOST, owners)

    def test_nobody_speaks_without_a_login_on_a_submission_service(self) -> None:
        with pytest.raises(Refused, match="not authenticated"):
            check(Author("root", HOST), login(""), HOST, owners)

    def test_the_host_speaks_for_itself(self) -> None:
        check(Author("root", HOST), host(f"<root@{HOST.upper()}>"), HOST, owners)

    @pytest.mark.parametrize("sender", ["", "<>"])
    def test_a_bounce_passes(self, sender: str) -> None:
        check(Author("MAILER-DAEMON", HOST), host(sender), HOST, owners)

    def test_the_host_does_not_speak_for_a_customer(self) -> None:
        with pytest.raises(Refused, match=f"only as {HOST}"):
            check(self.author, host(f"<root@{HOST}>"), HOST, owners)

    @pytest.mark.parametrize(
        "sender",
        [
            f"<ceo@{OWN}>",
            f'<"x@{HOST}"@{OWN}>',
            f"<@{HOST}:ceo@{OWN}>",
            f"ceo@{OWN}",
            f"<ceo@bounces.{HOST}>",
            "<root>",
            "<@>",
        ],
    )
    def test_the_host_has_no_customers_envelope(self, sender: str) -> None:
        with pytest.raises(Refused, match=f"envelope sender domain .*: this host itself sends only as {HOST}"):
            check(Author("root", HOST), host(sender), HOST, owners)

    @given(st.text())
    def test_the_host_has_its_own_envelope_or_none(self, sender: str) -> None:
        try:
            check(Author("root", HOST), host(sender), HOST, owners)
        except Refused as refusal:
            assert str(refusal).isascii()
            assert str(refusal).isprintable()
        else:
            assert sender in {"", "<", ">", "<>"} or sender.lower().removesuffix(">").endswith(f"@{HOST}")

    def test_a_login_does_not_speak_for_the_host(self) -> None:
        with pytest.raises(Refused, match="does not belong"):
            check(Author("root", HOST), login(LOGIN), HOST, owners)

    def test_a_refusal_names_domain_and_login(self) -> None:
        with pytest.raises(Refused, match=rf"From domain {FOREIGN} does not belong to login {LOGIN}"):
            check(Author("ceo", FOREIGN), login(LOGIN), HOST, owners)


class TestLoginsThatProve:
    prefix = probe_names.new_prefix()

    def speak(self, author: Author, domain: str = OWN, fqdn: str = HOST) -> None:
        check(author, login(probe_names.login_name(self.prefix, domain, fqdn)), HOST, owners)

    def test_it_speaks_as_the_address_in_its_name(self) -> None:
        local, _, domain = probe_names.sender_address(self.prefix, OWN).partition("@")
        self.speak(Author(local, domain))

    @pytest.mark.parametrize("author", [Author("app", OWN), Author("ceo", FOREIGN), Author("root", HOST)])
    def test_it_speaks_as_nobody_else(self, author: Author) -> None:
        with pytest.raises(Refused, match="may send as"):
            self.speak(author)

    def test_it_does_not_speak_for_another_domain_under_its_own_name(self) -> None:
        with pytest.raises(Refused, match="may send as"):
            self.speak(Author(self.prefix, FOREIGN))

    def test_one_of_another_host_does_not_speak(self) -> None:
        with pytest.raises(Refused, match="may send as"):
            self.speak(Author(self.prefix, OWN), fqdn="mx2.yard.example")
