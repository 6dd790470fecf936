# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""A new domain: what may be asked for, the file that is written, what is said of what was there before."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import domain_files, logins, onboarding
from ansible_collections.sendyard.mail.plugins.module_utils.onboarding import Wish

SENDERS, CREDENTIALS = ("mta1", "mta2"), ("manual", "ours")
WANTED = Wish("acme.example", ("mta1",), "ours", "app@acme.example")


def wish(**said: object) -> Wish:
    return onboarding.wish({"domain": "acme.example", **said}, senders=SENDERS, credentials=CREDENTIALS)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({}, Wish("acme.example")),
        ({"domain": " ACME.example. "}, Wish("acme.example")),
        ({"host": "mta2, mta1,"}, Wish("acme.example", ("mta2", "mta1"))),
        ({"host": ["mta1"], "dns": "ours"}, Wish("acme.example", ("mta1",), "ours")),
        ({"login": "Shop"}, Wish("acme.example", login="shop@acme.example")),
        ({"login": "shop@acme.example", "dns": None}, Wish("acme.example", login="shop@acme.example")),
    ],
)
def test_what_is_asked_for_is_read_as_people_write_it(said: dict[str, object], wanted: Wish) -> None:
    assert wish(**said) == wanted


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(onboarding.WishError) as raised:
        wish(host="mta3", dns="our", login="a b")
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == ["host", "dns", "login"]


def test_what_nobody_said_is_all_servers_by_hand_and_app() -> None:
    assert onboarding.completed(wish(), SENDERS) == Wish("acme.example", SENDERS, "manual", "app@acme.example")
    assert onboarding.completed(WANTED, SENDERS) == WANTED


def test_the_file_is_one_that_the_loader_takes(tmp_path: Path) -> None:
    token = logins.generate_token()
    text = onboarding.file_text(WANTED, logins.hash_token(token))
    path = tmp_path / "acme.example.yml"
    with onboarding.new_file(path, text):
        assert domain_files.load(tmp_path) == domain_files.Inventory((), ())  # nobody reads it before it is whole
    (domain,) = domain_files.load(tmp_path).domains
    assert (domain.name, domain.servers, domain.dns) == ("acme.example", ("mta1",), "ours")
    assert logins.verify(token, domain.logins[0].password_hash)
    assert token not in text
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert onboarding.differences(WANTED, domain) == []


def test_what_the_comments_offer_is_valid_too(tmp_path: Path) -> None:
    text = onboarding.file_text(WANTED, logins.hash_token("x"))
    head, *offered = text.split("\n# ")[0], *text.split("\n# ")[2:]
    domain = domain_files.parse(tmp_path / "acme.example.yml", "\n".join([text, *offered]))
    assert head.startswith("---")
    assert (domain.return_path, domain.dmarc_policy, domain.limits is not None) == ("bounces", "none", True)


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "acme.example.yml"
    with pytest.raises(FileExistsError), onboarding.new_file(path, "ours"):
        path.write_text("theirs")
    assert [one.read_text() for one in tmp_path.iterdir()] == ["theirs"]


def test_nothing_is_written_where_the_token_could_not_be_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), onboarding.new_file(tmp_path / "acme.example.yml", "ours"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "differing"),
    [
        (Wish("acme.example"), []),
        (WANTED, []),
        (Wish("acme.example", ("mta1", "mta2")), ["servers"]),
        (Wish("acme.example", (), "manual", "other@acme.example"), ["dns", "other@acme.example"]),
    ],
)
def test_what_is_said_otherwise_than_in_the_file_is_named(asked: Wish, differing: list[str]) -> None:
    text = onboarding.file_text(WANTED, logins.hash_token("x"))
    there = domain_files.parse(Path("acme.example.yml"), text)
    assert [one.split()[0] for one in onboarding.differences(asked, there)] == differing


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        ({}, "SPF: there is no record"),
        ({"texts": ["v=spf1 -all", "v=spf1 ~all"]}, "SPF: there are 2 records, and receivers take two for none"),
        ({"texts": ["v=spf1 ip4:a ~all"]}, "Mend it: nothing can be added to it"),
        ({"texts": ["unrelated", "v=spf1 -all"]}, 'SPF: "v=spf1 -all": nobody else may send for it'),
        (
            {"texts": ["v=spf1 include:spf.protection.outlook.com a ?all"]},
            "others may send for it: Microsoft 365 (include:spf.protection.outlook.com), a. That stays",
        ),
        ({}, "DMARC: there is no record"),
        ({"policies": ["v=DMARC1; p=reject"]}, "(policy reject, and what others send must be aligned too), and stays"),
        ({"policies": ["v=DMARC1; p=none"]}, 'DMARC: "v=DMARC1; p=none" stands (policy none), and stays'),
        ({"policies": ["v=DMARC1; p=none"], "policy_of": "example"}, 'DMARC of example: "v=DMARC1; p=none" stands'),
        ({}, "MX: nobody takes mail"),
        ({"exchanges": ["0 ."]}, "MX: nobody takes mail"),
        ({"exchanges": ["10 mx.acme.example."]}, "MX: mx.acme.example takes its mail"),
        ({}, "Zone: acme.example is a zone of its own"),
        ({"zone": "example"}, "Zone: example holds acme.example"),
    ],
)
def test_what_was_there_before_is_said(there: dict[str, object], sentence: str) -> None:
    said = {"zone": "acme.example", "texts": (), "policies": (), "exchanges": (), "policy_of": "acme.example", **there}
    zone = str(said.pop("zone"))
    found = onboarding.findings("acme.example", zone, **said)  # type: ignore[arg-type]
    assert any(sentence in one for one in found), found
