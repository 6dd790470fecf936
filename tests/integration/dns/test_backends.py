# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What every backend must do in a zone of other people: ours appears, changes and goes, theirs stays as it is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dns.rdatatype
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import records
from ansible_collections.sendyard.mail.plugins.module_utils.dns import publish, spf
from dns.rdtypes.ANY.TXT import TXT as TXTRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.dns.conftest import KEY, Yard, ours, serving
from integration.dns.every_server import SERVERS
from integration.dns.servers import NameServer


@pytest.fixture(scope="session", params=SERVERS, ids=lambda kind: kind.__name__)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    yield from serving(request.param, tmp_path_factory.mktemp("server"))


def test_present_again_changed_absent_leaves_what_others_wrote(yard: Yard) -> None:
    before = yard.foreign()
    first = yard.publish(*ours(yard))
    assert not first.faults
    assert len(first.changes) == 11
    assert yard.server.values(f"mx1-1._domainkey.{yard.zone}", "TXT") == [
        f'"{records.dkim(KEY)[:255]}" "{records.dkim(KEY)[255:]}"'
    ]
    spf_before = '"v=spf1 include:_spf.vendor.example a:mail.vendor.example ?all"'
    merged = '"v=spf1 include:_spf.vendor.example a:mail.vendor.example ip4:10.9.1.1 ip6:fd00:9::1 ?all"'
    assert merged in yard.server.values(yard.zone, "TXT")
    assert spf_before not in yard.server.values(yard.zone, "TXT")
    assert len(before - yard.foreign()) == 1
    assert yard.server.ttl(yard.zone, "TXT") == 1800

    with yard.server.writes() as written:
        second = yard.publish(*ours(yard))
    assert (second.changes, second.faults, written) == ({}, {}, [])

    wanted = records.remembering(
        [record | {"values": ["ip4:10.9.1.2"]} if record["mode"] == "spf" else record for record in ours(yard)],
        ours(yard),
    )
    third = yard.publish(*wanted)
    assert (len(third.changes), third.faults) == (1, {})
    assert merged.replace("ip4:10.9.1.1 ip6:fd00:9::1", "ip4:10.9.1.2") in yard.server.values(yard.zone, "TXT")

    assert not yard.publish(*wanted, state="absent").faults
    assert yard.foreign() == before
    assert yard.publish(*wanted, state="absent").changes == {}


def test_a_first_spf_record_ends_softly_and_goes_wholly(yard: Yard) -> None:
    want = yard.record("news", "TXT", ["ip4:10.9.1.1"], mode="spf")
    before = yard.foreign()
    yard.publish(want)
    assert yard.server.values(yard.name("news"), "TXT") == ['"v=spf1 ip4:10.9.1.1 ~all"']
    yard.publish(want, state="absent")
    assert yard.foreign() == before


def test_a_member_takes_the_ttl_that_is_there(yard: Yard) -> None:
    before = yard.foreign()
    want = yard.record("", "CAA", ['0 issue "acme.example"'], mode="member", ttl=60)
    assert not yard.publish(want).faults
    assert yard.server.values(yard.zone, "CAA") == ['0 issue "acme.example"', '0 issue "ca.example"']
    assert yard.server.ttl(yard.zone, "CAA") == 7200
    yard.publish(want, state="absent")
    assert yard.foreign() == before


def test_a_first_caa_record_is_put_at_no_apex(yard: Yard) -> None:
    at_apex = yard.record("", "CAA", ['0 issue "acme.example"'], mode="member")
    yard.publish(yard.record("", "CAA", ['0 issue "ca.example"'], mode="member"), state="absent")  # theirs, for once
    before = yard.foreign()
    outcome = yard.publish(at_apex, yard.record("mx1", "CAA", ['0 issue "acme.example"'], mode="member"))
    assert outcome.faults == {}
    assert "a first one at the apex would hold for every name of the zone" in str(outcome.notes)
    assert len(yard.foreign() - before) == 1
    assert yard.server.values(yard.name("mx1"), "CAA") == ['0 issue "acme.example"']


def test_what_is_optional_is_left_out_where_nobody_has_the_zone(yard: Yard) -> None:
    elsewhere = {"name": "nowhere.test", "type": "TXT", "values": ["x"], "credential": "lab", "optional": True}
    for state in ("present", "checked"):
        outcome = yard.publish(elsewhere, yard.record("", "TXT", ["ip4:10.9.1.1"], mode="spf"), state=state)
        assert outcome.faults == {}
        assert "nowhere.test. TXT was left out: " in str(outcome.notes)


def test_the_ttl_of_an_own_record_set_is_ours(yard: Yard) -> None:
    yard.publish(yard.record("own", "A", ["10.9.1.1", "10.9.1.2"], ttl=300))
    outcome = yard.publish(yard.record("own", "A", ["10.9.1.1", "10.9.1.2"], ttl=600))
    assert not outcome.faults
    assert (yard.server.ttl(yard.name("own"), "A"), yard.server.values(yard.name("own"), "A")) == (
        600,
        ["10.9.1.1", "10.9.1.2"],
    )


def test_a_name_that_is_an_alias_is_refused_with_its_target(yard: Yard) -> None:
    before = yard.foreign()
    outcome = yard.publish(
        yard.record("s1._domainkey", "TXT", [records.dkim(KEY)]),
        yard.record("other", "A", ["10.9.1.1"], subject="other"),
    )
    (text,) = outcome.faults[yard.name("s1._domainkey").removesuffix(".")]
    assert "CNAME to s1.dkim.vendor.example." in text
    assert "other" not in outcome.faults
    assert (before - yard.foreign(), len(yard.foreign() - before)) == (set(), 1)
    assert yard.server.values(yard.name("other"), "A") == ["10.9.1.1"]


def test_an_alias_of_ours_is_published_and_goes(yard: Yard) -> None:
    before = yard.foreign()
    for label in ("ours", "x.alias"):  # a wildcard lends the second name another
        want = yard.record(label, "CNAME", ["mail.acme.example"])
        for changes in (1, 0):
            outcome = yard.publish(want)
            assert (outcome.faults, len(outcome.changes)) == ({}, changes)
        assert yard.server.values(yard.name(label), "CNAME") == ["mail.acme.example."]
        assert not yard.publish(want, state="absent").faults
        assert yard.foreign() == before


def test_a_delegated_name_is_refused_with_its_zone(yard: Yard) -> None:
    for state in ("present", "checked"):
        outcome = yard.publish(yard.record("mail.child", "A", ["10.9.1.1"]), state=state)
        ((text,),) = outcome.faults.values()
        assert "is delegated away: " in text
        assert f"zone child.{yard.zone}" in text
        assert "ns1.child" in text
        assert outcome.changes == {}


def test_a_wildcard_stands_in_nobodys_way(yard: Yard) -> None:
    before = yard.foreign()
    wants = [
        yard.record("x.wild", "TXT", ["ours"]),
        yard.record("y.alias", "TXT", ["ours"]),
        yard.record("z.wild", "TXT", ["ip4:10.9.1.1"], mode="spf"),
    ]
    assert not yard.publish(*wants).faults
    assert [yard.server.values(want["name"], "TXT") for want in wants] == [
        ['"ours"'],
        ['"ours"'],
        ['"v=spf1 ip4:10.9.1.1 ~all"'],
    ]
    yard.publish(*wants, state="absent")
    assert yard.foreign() == before


def test_foreign_content_at_our_name_is_shown_and_adopted_on_request(yard: Yard) -> None:
    want = yard.record("a", "A", ["10.9.1.1"])
    outcome = yard.publish(want)
    ((text,),) = outcome.faults.values()
    assert '"10.9.0.1", which we did not write; wanted is "10.9.1.1"' in text
    assert yard.server.values(yard.name("a"), "A") == ["10.9.0.1"]
    assert not yard.publish(want, adopt=True).faults
    assert yard.server.values(yard.name("a"), "A") == ["10.9.1.1"]


def test_a_plan_writes_nothing(yard: Yard) -> None:
    with yard.server.writes() as written:
        outcome = yard.publish(*ours(yard), write=False)
    assert (len(outcome.changes), outcome.faults, written) == (11, {}, [])


def test_checking_proves_the_credential_and_changes_nothing(yard: Yard) -> None:
    before = yard.foreign()
    assert not yard.publish(*ours(yard), state="checked").faults
    assert yard.foreign() == before


def test_two_servers_want_different_things_at_one_name(yard: Yard) -> None:
    outcome = yard.publish(
        yard.record("both", "A", ["10.9.1.1"], subject="mx1"), yard.record("both", "A", ["10.9.1.2"], subject="mx2")
    )
    assert list(outcome.faults) == ["mx2"]
    assert 'as "10.9.1.1" by mx1 and as "10.9.1.2" by mx2' in outcome.faults["mx2"][0]


def test_a_foreign_dmarc_record_stays_and_a_stronger_one_above_is_enough(yard: Yard) -> None:
    yard.publish(yard.record("_dmarc", "TXT", ["v=DMARC1; p=quarantine"]))
    outcome = yard.publish(
        yard.record("_dmarc", "TXT", ["v=DMARC1; p=none"]), yard.record("_dmarc.news", "TXT", ["v=DMARC1; p=none"])
    )
    assert (outcome.faults, outcome.changes) == ({}, {})
    assert len(outcome.notes) == 2
    assert yard.server.values(yard.name("_dmarc"), "TXT") == ['"v=DMARC1; p=quarantine"']
    assert yard.server.values(yard.name("_dmarc.news"), "TXT") == []


def test_a_first_policy_of_a_whole_zone_hurts_nobody_until_somebody_says_so(yard: Yard) -> None:
    said = {"first": ["v=DMARC1; p=none"]}
    wants = [yard.record(label, "TXT", ["v=DMARC1; p=reject"], **said) for label in ("_dmarc", "_dmarc.news")]
    for changes in (2, 0):
        outcome = yard.publish(*wants)
        assert (outcome.faults, outcome.notes, len(outcome.changes)) == ({}, {}, changes)
    assert yard.server.values(yard.name("_dmarc"), "TXT") == ['"v=DMARC1; p=none"']
    assert yard.server.values(yard.name("_dmarc.news"), "TXT") == ['"v=DMARC1; p=reject"']
    assert not yard.publish(yard.record("_dmarc", "TXT", ["v=DMARC1; p=reject"])).faults
    assert not yard.publish(*wants).changes
    assert yard.server.values(yard.name("_dmarc"), "TXT") == ['"v=DMARC1; p=reject"']


def test_addresses_that_are_included_change_without_the_shared_record(yard: Yard) -> None:
    domain = yard.zone.removesuffix(".")

    def wanted(address: str, style: str, was: str = "") -> list[records.Record]:
        made = [
            records.domain_records(domain, "mx1-1", "", [one], spf_style=style, credential="lab")
            for one in (address, was or address)
        ]
        return [record for record in records.remembering(*made) if record["values"] or record["was"]]

    def shared() -> str:
        (found,) = [text for text in yard.server.values(yard.zone, "TXT") if spf.is_spf(text.strip('"'))]
        return found.strip('"')

    theirs = "v=spf1 include:_spf.vendor.example a:mail.vendor.example"
    before = yard.foreign()
    yard.publish(*wanted("10.9.1.1", "merge"))
    assert shared() == f"{theirs} ip4:10.9.1.1 ?all"
    for address, was, changes in [("10.9.1.1", "", 2), ("10.9.1.2", "10.9.1.1", 1), ("10.9.1.2", "10.9.1.1", 0)]:
        outcome = yard.publish(*wanted(address, "include", was))
        assert (outcome.faults, len(outcome.changes)) == ({}, changes)
        assert shared() == f"{theirs} include:_spf-sendyard.{domain} ?all"
        assert yard.server.values(yard.name("_spf-sendyard"), "TXT") == [f'"v=spf1 ip4:{address} -all"']
    yard.publish(*wanted("10.9.1.2", "merge"))
    assert shared() == f"{theirs} ip4:10.9.1.2 ?all"
    yard.publish(*wanted("10.9.1.2", "include"), state="absent")
    assert yard.foreign() == before


def of_domain(yard: Yard, earlier: Sequence[dict[str, Any]] = (), **said: Any) -> list[records.Record]:
    """The records of a domain of these settings, which had `earlier` ones."""

    def having(settings: dict[str, Any]) -> list[records.Record]:
        settings = {"addresses": ["10.9.1.1"], "fqdn": "mx1.example", **settings}
        return records.domain_records(yard.zone.removesuffix("."), "mx1-1", KEY, credential="lab", **settings)

    return records.remembering(having(said), [record for settings in earlier for record in having(settings)])


def test_our_dmarc_record_follows_its_settings_and_a_foreign_one_stays(yard: Yard) -> None:
    def policy() -> list[str]:
        return yard.server.values(yard.name("_dmarc"), "TXT")

    old, new = {"dmarc_rua": "mailto:old@a.example"}, {"dmarc_rua": "mailto:new@a.example"}
    strong = {"dmarc_policy": "reject", "first_policy": "none"}
    assert not yard.publish(*of_domain(yard, **old, **strong)).faults
    assert policy() == ['"v=DMARC1; p=none; rua=mailto:old@a.example"']
    # A first policy stays a first one, whatever else of it changes.
    assert not yard.publish(*of_domain(yard, [{**old, **strong}], **new, **strong)).faults
    assert policy() == ['"v=DMARC1; p=none; rua=mailto:new@a.example"']
    # The domain's own policy, and no reports any more.
    assert not yard.publish(*of_domain(yard, [{**new, **strong}], dmarc_policy="reject")).faults
    assert policy() == ['"v=DMARC1; p=reject"']
    # What is not known to be ours is never weakened; what is follows.
    assert not yard.publish(*of_domain(yard, dmarc_policy="none")).faults
    assert policy() == ['"v=DMARC1; p=reject"']
    assert not yard.publish(*of_domain(yard, [{"dmarc_policy": "reject"}], dmarc_policy="quarantine")).faults
    assert policy() == ['"v=DMARC1; p=quarantine"']
    stands = "v=DMARC1; p=quarantine"
    for foreign in ("v=DMARC1; p=reject; rua=mailto:their@a.example", f"{stands}; adkim=s"):
        yard.publish(yard.record("_dmarc", "TXT", [stands]), state="absent")
        yard.publish(yard.record("_dmarc", "TXT", [stands := foreign]))
        outcome = yard.publish(*of_domain(yard, [{"dmarc_policy": "quarantine"}, old], dmarc_policy="none", **new))
        assert (outcome.faults, policy()) == ({}, [f'"{foreign}"'])
        assert "is not ours and stays" in str(outcome.notes)


def test_a_domain_that_goes_back_to_merge_leaves_nothing_of_the_other_style(yard: Yard) -> None:
    before = yard.foreign()
    name = yard.name("_spf-sendyard")
    yard.publish(*of_domain(yard, spf_style="include"))
    assert yard.server.values(name, "TXT") == ['"v=spf1 ip4:10.9.1.1 -all"']
    yard.publish(*of_domain(yard, [{"spf_style": "include"}, {"spf_style": "include", "addresses": ["10.9.1.9"]}]))
    assert yard.server.values(name, "TXT") == []
    # Another server of the domain has its addresses there, until its own run.
    yard.publish(*of_domain(yard, spf_style="include"), *of_domain(yard, spf_style="include", addresses=["10.9.1.2"]))
    yard.publish(*of_domain(yard, [{"spf_style": "include"}]))
    assert yard.server.values(name, "TXT") == ['"v=spf1 ip4:10.9.1.2 -all"']
    theirs = {"addresses": ["10.9.1.2"]}
    yard.publish(*of_domain(yard, [{"spf_style": "include", **theirs}], **theirs))
    yard.publish(*of_domain(yard), *of_domain(yard, **theirs), state="absent")
    assert yard.foreign() == before


def test_an_issuer_of_ours_that_is_given_up_goes_and_a_foreign_one_stays(yard: Yard) -> None:
    name = f"mx1.{yard.zone.removesuffix('.')}"

    def server(*issuers: str, earlier: Sequence[str] = ()) -> list[records.Record]:
        made = [
            records.host_records(
                name, ["10.9.1.1"], "s", KEY, f"bounces.{name}", subject="mx1", credential="lab", caa_issuers=some
            )
            for some in (issuers, earlier)
        ]
        return [record for record in records.remembering(*made) if record["mode"] == "member"]

    def issuers() -> list[str]:
        return yard.server.values(f"{name}.", "CAA")

    yard.publish(*server("old.example"))
    yard.publish(yard.record("mx1", "CAA", ['0 issue "foreign.example"'], mode="member"))
    assert not yard.publish(*server("new.example", earlier=["old.example", "older.example"])).faults
    assert issuers() == ['0 issue "foreign.example"', '0 issue "new.example"']
    assert not yard.publish(*server(earlier=["new.example"])).faults
    assert issuers() == ['0 issue "foreign.example"']


NUMBERS = st.lists(st.integers(0, 20), min_size=1, max_size=3, unique=True)
TXT = st.lists(st.binary(max_size=60), min_size=1, max_size=3)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(foreign=st.lists(TXT, max_size=4), first=NUMBERS, second=NUMBERS, mode=st.sampled_from(["member", "spf"]))
def test_whatever_others_wrote_stays_byte_for_byte(
    yard: Yard, foreign: list[list[bytes]], first: list[int], second: list[int], mode: str
) -> None:
    label = f"e{next(yard.numbers)}"
    # twice the same to the byte is once
    values = {TXTRecord(1, dns.rdatatype.TXT, strings).to_wire(): strings for strings in foreign}
    yard.server.put(
        yard.zone, yard.name(label), 1234, *(TXTRecord(1, dns.rdatatype.TXT, strings) for strings in values.values())
    )
    before = yard.foreign()
    texts = [[f"ip4:240.9.1.{number}" for number in numbers] for numbers in (first, second)]
    for want in [
        yard.record(label, "TXT", texts[0], mode=mode),
        yard.record(label, "TXT", texts[1], mode=mode, was=texts[0]),
    ]:
        assert not yard.publish(want).faults
        assert before <= yard.foreign()
    assert not yard.publish(want, state="absent").faults
    assert yard.foreign() == before


WRITERS = 8


def test_concurrent_writers_leave_one_spf_record_and_lose_nothing_where_the_provider_can(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow network or a busy machine, where much is between reading and writing."""
    kind = yard.server.backend
    real = kind.apply

    def late(*args: Any) -> None:
        time.sleep(0.05)
        real(*args)

    monkeypatch.setattr(kind, "apply", late)
    before = yard.foreign()

    def write(number: int) -> publish.Outcome:
        return yard.publish(
            yard.record("", "TXT", [f"ip4:10.9.2.{number}"], mode="spf"),
            yard.record("", "CAA", [f'0 issue "ca{number}.example"'], mode="member"),
        )

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(write, range(WRITERS)))
    texts = yard.server.values(yard.zone, "TXT")
    (record,) = [text.strip('"') for text in texts if spf.is_spf(text.strip('"'))]
    assert len(texts) == 6
    assert len(before - yard.foreign()) == 1  # the SPF record as it was
    if yard.server.keeps_all:
        assert [outcome.faults for outcome in outcomes] == [{}] * WRITERS
        assert {term.text for term in spf.parse(record)} >= {f"ip4:10.9.2.{number}" for number in range(WRITERS)}
        assert len(yard.server.values(yard.zone, "CAA")) == WRITERS + 1


@pytest.mark.parametrize("arrives", [False, True], ids=["refused", "done, and the answer lost"])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_from_whatever_write_on_nothing_works_theirs_stays_and_the_next_run_ends_it(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, arrives: bool, state: str
) -> None:
    monkeypatch.setattr(publish, "CONFLICT_SECONDS", 0.05)
    before = yard.foreign()
    wanted = ours(yard)
    for number in range(100):
        if state == "absent":
            assert not yard.publish(*wanted).faults
        with yard.server.writes(refused_from=number, arrives=arrives) as written:
            yard.publish(*wanted, state=state, deadline=1.0)
        assert len(before - yard.foreign()) <= 1
        (record,) = [text for text in yard.server.values(yard.zone, "TXT") if spf.is_spf(text.strip('"'))]
        assert "include:_spf.vendor.example a:mail.vendor.example" in record
        if len(written) <= number:
            break
        assert not yard.publish(*wanted, state=state).faults
        assert not yard.publish(*wanted, state="absent").faults
        assert yard.foreign() == before
    else:
        raise AssertionError("there was no end of writes")
    assert number > 0
