# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The records of a server and a domain, and what becomes of earlier ones."""

from __future__ import annotations

import dns.rdatatype
from ansible_collections.sendyard.mail.plugins.module_utils import records
from ansible_collections.sendyard.mail.plugins.module_utils.dns import model, planner

ADDRESSES = ["10.9.1.1", "fd00:9::1"]
HOST = ("mx1.yard.example", ADDRESSES, "mx1-1", "AAAA", "bounces.mx1.yard.example")


def table(made: list[records.Record]) -> dict[tuple[str, str], list[str]]:
    return {(record["name"], record["type"]): record["values"] for record in made}


def test_a_server_is_known_both_ways_and_sends_alone_from_its_names() -> None:
    made = records.host_records(*HOST, subject="mx1", credential="ours")
    assert table(made) == {
        ("mx1.yard.example", "A"): ["10.9.1.1"],
        ("mx1.yard.example", "AAAA"): ["fd00:9::1"],
        ("mx1.yard.example", "MX"): ["10 mx1.yard.example."],
        ("mx1.yard.example", "TXT"): ["v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 -all"],
        ("bounces.mx1.yard.example", "MX"): ["10 mx1.yard.example."],
        ("bounces.mx1.yard.example", "TXT"): ["v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 -all"],
        ("mx1-1._domainkey.mx1.yard.example", "TXT"): ["v=DKIM1; k=rsa; p=AAAA"],
        ("_dmarc.mx1.yard.example", "TXT"): ["v=DMARC1; p=reject"],
        ("1.1.9.10.in-addr.arpa", "PTR"): ["mx1.yard.example."],
        ("1.0.0.0." + "0.0.0.0." * 4 + "0.0.0.0.9.0.0.0.0.0.d.f.ip6.arpa", "PTR"): ["mx1.yard.example."],
    }
    assert {(record["subject"], record["credential"]) for record in made} == {("mx1", "ours")}


def test_the_ptr_is_published_only_by_those_who_may() -> None:
    for ptr, mode in [(False, "manual"), (True, "own")]:
        made = records.host_records(*HOST, subject="mx1", credential="ours", ptr=ptr)
        assert {record["mode"] for record in made if record["type"] == "PTR"} == {mode}


def test_a_server_names_who_may_issue_its_certificate_and_who_takes_reports() -> None:
    made = records.host_records(
        *HOST,
        subject="mx1",
        credential="ours",
        caa_issuers=records.issuers("https://acme-v02.api.letsencrypt.org/directory"),
        dmarc_rua="mailto:dmarc@reports.example!10m,mailto:x@y.example",
    )
    assert table(made)[("mx1.yard.example", "CAA")] == ['0 issue "letsencrypt.org"']
    for taker in ("reports.example", "y.example"):
        assert table(made)[(f"*._report._dmarc.{taker}", "TXT")] == ["v=DMARC1"]
    said = {(record["name"], record["type"]): (record["mode"], record.get("optional")) for record in made}
    assert said[("mx1.yard.example", "CAA")] == ("member", None)
    assert said[("*._report._dmarc.reports.example", "TXT")] == ("own", True)
    assert records.issuers("https://ca.lab.example:14000/dir") == []


def test_a_domain_gets_a_key_a_policy_and_our_addresses() -> None:
    made = records.domain_records(
        "acme.example", "mx1-1", "AAAA", ADDRESSES, dmarc_rua="mailto:d@acme.example", credential="theirs"
    )
    assert table(made) == {
        ("acme.example", "TXT"): ["ip4:10.9.1.1", "ip6:fd00:9::1"],
        ("mx1-1._domainkey.acme.example", "TXT"): ["v=DKIM1; k=rsa; p=AAAA"],
        ("_dmarc.acme.example", "TXT"): ["v=DMARC1; p=none; rua=mailto:d@acme.example"],
    }
    assert [record["mode"] for record in made] == ["spf", "own", "own"]
    assert [record["was"] for record in made] == [["include:_spf-sendyard.acme.example"], [], []]
    assert {record["subject"] for record in made} == {"acme.example"}


RETURNS = "bounces.acme.example"


def returning(addresses: list[str], return_path: str = "bounces", fqdn: str = HOST[0]) -> list[records.Record]:
    """The records of a domain with a return path."""
    said = {"return_path": return_path, "fqdn": fqdn, "credential": "theirs"}
    return records.domain_records("acme.example", "mx1-1", "AAAA", addresses, **said)


def test_a_return_path_leads_to_the_server_which_alone_sends_by_its_name() -> None:
    made = returning(ADDRESSES)
    assert made[:3] == records.domain_records("acme.example", "mx1-1", "AAAA", ADDRESSES, credential="theirs")
    assert table(made[3:]) == {
        (RETURNS, "MX"): ["10 mx1.yard.example."],
        (RETURNS, "TXT"): ["ip4:10.9.1.1", "ip6:fd00:9::1", "-all"],
    }
    assert [(record["mode"], record["subject"], record["credential"]) for record in made[3:]] == [
        ("member", "acme.example", "theirs"),
        ("spf", "acme.example", "theirs"),
    ]
    assert all(model.parse_record(record).says_something for record in made)


def test_servers_share_a_return_path_and_a_first_record_of_it_refuses_others() -> None:
    others = returning(["10.9.1.2"], fqdn="mx2.yard.example")
    wants, refused = planner.combine(map(model.parse_record, [*returning(["10.9.1.1"])[3:], *others[3:]]))
    made = planner.plan(wants, planner.Found(dict.fromkeys(wants)))
    texts = {
        dns.rdatatype.to_text(one.key.type): [v.text for v in one.after.values] for one in made.changes if one.after
    }
    assert (refused, made.faults) == ([], {})
    assert texts == {
        "MX": ["10 mx1.yard.example.", "10 mx2.yard.example."],
        "TXT": ["v=spf1 ip4:10.9.1.1 ip4:10.9.1.2 -all"],
    }


def test_a_return_path_that_is_given_up_goes_and_the_other_servers_part_stays() -> None:
    made = records.remembering(returning(["10.9.1.1"], return_path=""), returning(["10.9.1.1", "10.9.1.3"]))
    gone = [model.parse_record(record) for record in made if not record["values"]]
    assert {(str(want.key.name), want.absent) for want in gone} == {(f"{RETURNS}.", True)}

    def left(mx: list[str], spf: str) -> list[list[str]]:
        there = {}
        for want, texts in zip(gone, (mx, [spf]), strict=True):
            values = tuple(model.parse_value(want.key.type, text) for text in texts)
            there[want.key] = model.RRset(want.key, 3600, values)
        after = planner.plan({want.key: want for want in gone}, planner.Found(there))
        assert not after.faults
        return [[value.text for value in one.after.values] if one.after else [] for one in after.changes]

    assert left(["10 mx1.yard.example."], "v=spf1 ip4:10.9.1.1 ip4:10.9.1.3 -all") == [[], []]
    assert left(
        ["10 mx1.yard.example.", "10 mx2.yard.example."], "v=spf1 ip4:10.9.1.1 ip4:10.9.1.2 ip4:10.9.1.3 -all"
    ) == [["10 mx2.yard.example."], ["v=spf1 ip4:10.9.1.2 -all"]]


def test_an_address_that_is_given_up_leaves_the_return_path_too() -> None:
    made = records.remembering(returning(["10.9.1.1"]), returning(["10.9.1.1", "10.9.1.2"]))
    (spf,) = [record for record in made if (record["name"], record["type"]) == (RETURNS, "TXT")]
    assert spf["was"] == ["ip4:10.9.1.2"]


def test_a_key_that_is_not_known_is_not_revoked() -> None:
    made = records.domain_records("acme.example", "mx1-1", "", ADDRESSES, credential="theirs")
    assert table(made)[("mx1-1._domainkey.acme.example", "TXT")] == []


def test_every_record_is_one() -> None:
    for record in records.host_records(*HOST, subject="mx1", credential="ours"):
        assert model.parse_record(record).says_something


def test_what_was_is_remembered_and_what_is_left_is_named() -> None:
    then = records.domain_records("acme.example", "mx1-1", "AAAA", ["10.9.1.1", "10.9.1.2"], credential="theirs")
    now = records.domain_records("acme.example", "mx1-2", "BBBB", ["10.9.1.2"], credential="theirs")
    made = records.remembering(now, then)
    assert made[0]["was"] == ["include:_spf-sendyard.acme.example", "ip4:10.9.1.1"]
    (given_up,) = (record for record in made if not record["values"])
    assert given_up["name"] == "mx1-1._domainkey.acme.example"
    assert given_up["was"] == ["v=DKIM1; k=rsa; p=AAAA"]
    assert model.parse_record(given_up).absent


def test_what_several_runs_wrote_is_remembered() -> None:
    def host(address: str) -> list[records.Record]:
        return records.host_records(HOST[0], [address], *HOST[2:], subject="mx1", credential="ours", ptr=True)

    made = records.remembering(host("10.9.1.3"), [*host("10.9.1.1"), *host("10.9.1.2"), *host("10.9.1.3")])
    was = {(record["name"], record["type"]): sorted(record["was"]) for record in made}
    assert was["mx1.yard.example", "A"] == ["10.9.1.1", "10.9.1.2"]
    assert was["mx1.yard.example", "TXT"] == ["v=spf1 ip4:10.9.1.1 -all", "v=spf1 ip4:10.9.1.2 -all"]
    assert was["_dmarc.mx1.yard.example", "TXT"] == []
    gone = {record["name"]: record["was"] for record in made if not record["values"]}
    assert gone == {f"{n}.1.9.10.in-addr.arpa": ["mx1.yard.example."] for n in (1, 2)}


def test_a_first_policy_is_said_only_where_it_differs() -> None:
    for policy, first in [("reject", ["v=DMARC1; p=none"]), ("none", None)]:
        made = records.domain_records(
            "acme.example", "mx1-1", "", ADDRESSES, dmarc_policy=policy, first_policy="none", credential="theirs"
        )
        assert made[-1].get("first") == first


def test_what_the_settings_of_a_domain_give_up_is_remembered() -> None:
    def domain(**said: str) -> list[records.Record]:
        return records.domain_records("acme.example", "mx1-1", "AAAA", ["10.9.1.1"], credential="theirs", **said)

    reject, quarantine = "v=DMARC1; p=reject; rua=mailto:old@acme.example", "v=DMARC1; p=quarantine"
    then = [
        *domain(dmarc_policy="reject", first_policy="none", dmarc_rua="mailto:old@acme.example", spf_style="include"),
        *domain(dmarc_policy="quarantine"),
    ]
    made = records.remembering(domain(dmarc_rua="mailto:new@acme.example"), then)
    policy = next(record for record in made if record["name"] == "_dmarc.acme.example")
    assert policy["values"] == ["v=DMARC1; p=none; rua=mailto:new@acme.example"]
    assert sorted(policy["was"]) == sorted([reject, reject.replace("reject", "none"), quarantine])
    (left,) = [record for record in made if not record["values"]]
    assert (left["name"], left["mode"], left["was"]) == ("_spf-sendyard.acme.example", "spf", ["ip4:10.9.1.1", "-all"])


def test_what_the_settings_of_a_server_give_up_is_remembered() -> None:
    def host(bounces: str, *issuers: str, rua: str = "", ptr: bool = False) -> list[records.Record]:
        said = {"subject": "mx1", "credential": "ours", "dmarc_rua": rua, "ptr": ptr}
        return records.host_records(*HOST[:4], bounces, caa_issuers=issuers, **said)

    made = records.remembering(
        host("b.yard.example", "new.example"), host("a.yard.example", "old.example", rua="mailto:d@r.example", ptr=True)
    )
    (caa,) = [record for record in made if record["type"] == "CAA"]
    assert (caa["values"], caa["was"]) == (['0 issue "new.example"'], ['0 issue "old.example"'])
    gone = {(record["name"], record["type"]): record["was"] for record in made if not record["values"]}
    assert gone == {
        ("a.yard.example", "MX"): ["10 mx1.yard.example."],
        ("a.yard.example", "TXT"): ["v=spf1 ip4:10.9.1.1 ip6:fd00:9::1 -all"],
        ("*._report._dmarc.r.example", "TXT"): ["v=DMARC1"],
    }
    _, refused = planner.combine(map(model.parse_record, made))  # whoever sets the PTR record now, one wants it
    assert refused == []
    (none,) = [
        one for one in records.remembering(host("a.example"), host("a.example", "old.example")) if not one["values"]
    ]
    assert (none["type"], none["was"], model.parse_record(none).absent) == ("CAA", ['0 issue "old.example"'], True)


def test_a_tlsa_record_names_every_key_that_is_served() -> None:
    made = records.tlsa_records("mx1.yard.example", ["aa" * 32, "bb" * 32], ["cc" * 32], credential="ours", ttl=300)
    assert made == [
        {
            "name": "_25._tcp.mx1.yard.example",
            "type": "TLSA",
            "values": [f"3 1 1 {'aa' * 32}", f"3 1 1 {'bb' * 32}"],
            "was": [f"3 1 1 {'cc' * 32}"],
            "mode": "own",
            "ttl": 300,
            "subject": "_25._tcp.mx1.yard.example",
            "credential": "ours",
        }
    ]
