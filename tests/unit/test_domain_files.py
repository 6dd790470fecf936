"""Domain files: what is accepted, and what each mistake is answered with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import domain_files
from ansible_collections.sendyard.mail.plugins.module_utils.domains import (
    DOMAIN,
    Host,
    TableError,
    compile_table,
    digest,
    read_table,
)
from ansible_collections.sendyard.mail.plugins.module_utils.logins import hash_token

HASH = hash_token("a token")
OTHER_HASH = hash_token("another")
GOOD = f"""
domain: acme.example
servers: [mx1]
dns: lab
logins:
  - username: app@acme.example
    password_hash: "{HASH}"
"""
HOST = Host("mx1", "mx1.yard.example", "mx1-1", ("198.51.100.1",))


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name.replace('_', '.')}.yml").write_text(text)
    return directory


def test_a_good_file_is_a_domain(tmp_path: Path) -> None:
    found = domain_files.load(write(tmp_path, acme_example=GOOD))
    assert not found.faults
    assert found.domains[0].logins[0].username == "app@acme.example"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "selecter: x\n", ['"selecter" is no setting']),
        (GOOD + "servrs: x\n", ['did you mean "servers"?']),
        (GOOD.replace("servers: [mx1]", "servers: [mx1"), ["line", "not YAML"]),
        (GOOD.replace("dns: lab\n", ""), ['"dns" is missing']),
        (GOOD + "dns: other\n", ["a key stands twice"]),
        (GOOD.replace("acme.example\nservers", "ACME.example\nservers"), ["lower case"]),
        (GOOD.replace("acme.example\nservers", "globex.example\nservers"), ["globex.example.yml"]),
        (GOOD.replace("username: app@acme.example", "username: app"), ['"app" can be no login', "app@acme.example"]),
        (GOOD.replace("username: app@", "username: sales&co@"), ['"sales&co@acme.example" can be no login']),
        (GOOD.replace("username: app@", "username: jörg@"), ["can be no login"]),
        (GOOD + f'  - {{username: App@acme.example, password_hash: "{OTHER_HASH}"}}\n', ["stands twice"]),
        (GOOD.replace("username: app@", "username: probe-1@"), ["choose another"]),
        (GOOD.replace("password_hash", "password"), ["clear text"]),
        (GOOD.replace(HASH, "hunter2hunter2"), ["may be a password in clear text"]),
        (GOOD.replace(HASH, "{SSHA512}hunter2hunter2"), ["may be a password in clear text"]),
        (GOOD.replace(HASH, "{SSHA512}"), ["may be a password in clear text"]),
        (GOOD.replace(f'"{HASH}"', "8273645510"), ["may be a password in clear text"]),
        (GOOD.replace("domain: acme.example", "domain: 2024-13-45"), ["cannot be read", "quotes"]),
        (GOOD.replace("servers: [mx1]", "servers: []"), ["at least one host"]),
        (GOOD + "dmarc_policy: nune\n", ['did you mean "none"?']),
        (GOOD + "spf_style: includes\n", ['did you mean "include"?']),
        (GOOD + "dmarc_rua: me@acme.example\n", ["mailto:"]),
        (GOOD + "return_path: Bounces\n", ["return_path: labels below the domain are needed", "'Bounces'"]),
        (GOOD + "return_path:\n", ["return_path: labels below the domain are needed", "None"]),
        (GOOD + "return_path: b_1\n", ["return_path: labels below"]),
        (GOOD + "return_path: b.\n", ["return_path: labels below"]),
        (GOOD + "return_path: 5\n", ["return_path: labels below"]),
        (GOOD + 'return_path: "b\\n"\n', ["return_path: labels below"]),
        (GOOD + "return_path: bounces.acme.example\n", ["written without the domain"]),
        (GOOD + "return_path: acme.example\n", ["written without the domain"]),
        (GOOD + "return-path: bounces\n", ['did you mean "return_path"?']),
        ("[]", ["mapping"]),
        (GOOD + "limits: 5\n", ["limits:", "hourly"]),
        (GOOD + "limits: {hourly: 5, dayly: 7}\n", ['did you mean "daily"?']),
        (GOOD + "limits: {hourly: 5}\n", ["daily: a number of recipients is needed"]),
        (GOOD + "limits: {hourly: -1, daily: 5}\n", ["hourly: a number of recipients is needed"]),
        (GOOD + "limits: {hourly: true, daily: 5}\n", ["hourly: a number of recipients is needed"]),
    ],
)
def test_a_mistake_is_named_with_its_file_and_leaves_only_its_domain_out(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    good = GOOD.replace("acme.example", "globex.example")
    found = domain_files.load(write(tmp_path, acme_example=text, globex_example=good))
    assert [domain.name for domain in found.domains] == ["globex.example"]
    (fault,) = found.faults
    assert fault.subject == "acme.example"
    for word in [str(tmp_path / "acme.example.yml"), *words]:
        assert word in fault.message
    assert "hunter2" not in fault.message
    assert "8273645510" not in fault.message


def test_limits_of_a_domain_reach_the_table_and_the_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    write(
        tmp_path, acme_example=GOOD + "limits: {hourly: 5, daily: 0}\n", globex_example=GOOD.replace("acme", "globex")
    )
    for _ in range(2):  # read, and then as kept
        found = domain_files.load(tmp_path, cache=cache)
        (tmp_path / "table").write_bytes(compile_table(HOST, found.domains))
        said = read_table(tmp_path / "table")["domains"]
        assert said["acme.example"]["limits"] == [5, 0]
        assert "limits" not in said["globex.example"]


def test_a_domain_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, acme_example=GOOD)
    (tmp_path / "acme.example.yaml").write_text(GOOD)
    found = domain_files.load(tmp_path)
    assert not found.domains
    assert "has a file already" in found.faults[0].message


def test_a_login_has_one_hash(tmp_path: Path) -> None:
    """It is that of its own domain, wherever in the alphabet the other one stands."""
    other = GOOD.replace(HASH, OTHER_HASH)
    taken = {f"{name}_example": other.replace("domain: acme", f"domain: {name}") for name in ("aaa", "globex")}
    found = domain_files.load(write(tmp_path, acme_example=GOOD, **taken))
    assert [domain.name for domain in found.domains] == ["acme.example"]
    assert [fault.subject for fault in found.faults] == ["aaa.example", "globex.example"]
    assert all(f"another password_hash in {tmp_path}/acme.example.yml" in fault.message for fault in found.faults)


def test_two_files_that_contradict_each_other_over_a_third_ones_login_are_both_at_fault(tmp_path: Path) -> None:
    guests = GOOD.replace("domain: acme.example", "domain: globex.example")
    others = GOOD.replace("domain: acme.example", "domain: initech.example").replace(HASH, OTHER_HASH)
    own = GOOD.replace("app@", "info@")
    found = domain_files.load(write(tmp_path, acme_example=own, globex_example=guests, initech_example=others))
    assert [domain.name for domain in found.domains] == ["acme.example"]
    assert [fault.subject for fault in found.faults] == ["globex.example", "initech.example"]


def test_a_directory_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    assert domain_files.load(tmp_path) == domain_files.Inventory((), ())
    with pytest.raises(domain_files.DirectoryError, match="cannot be read"):
        domain_files.load(tmp_path / "domans")


def test_what_an_editor_leaves_is_no_domain_and_a_link_that_leads_nowhere_is_at_fault(tmp_path: Path) -> None:
    write(tmp_path, acme_example=GOOD)
    (tmp_path / ".#acme.example.yml").symlink_to("somebody@somewhere.123")
    (tmp_path / "globex.example.yml").symlink_to("nowhere")
    found = domain_files.load(tmp_path)
    assert [domain.name for domain in found.domains] == ["acme.example"]
    assert [fault.subject for fault in found.faults] == ["globex.example"]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = domain_files.load(write(tmp_path, acme_example=GOOD), cache=tmp_path / "file/cache")
    assert [domain.name for domain in found.domains] == ["acme.example"]


def test_the_servers_own_names_are_no_customers(tmp_path: Path) -> None:
    found = domain_files.load(write(tmp_path, acme_example=GOOD))
    checked = domain_files.check_references(
        found, tmp_path, senders=("mx1",), credentials=("lab",), own=("acme.example",)
    )
    assert not checked.domains
    assert "name of the server itself" in checked.faults[0].message


@pytest.mark.parametrize(
    ("own_file", "default", "fault"),
    [
        ("return_path: bounces\n", "", ""),
        ("return_path: b.mail\n", "", ""),
        ("return_path: news\n", "", 'return_path: "news.acme.example" is a domain with a file of its own'),
        (
            "return_path: b.news\n",
            "",
            '"b.news.acme.example" is below "news.acme.example", which is a domain with a file',
        ),
        ("return_path: broken\n", "", '"broken.acme.example" is a domain with a file of its own'),
        ("return_path: mx1\n", "", '"mx1.acme.example" is a name of the server itself'),
        ("", "mx1", 'return_path (of sendyard_return_path): "mx1.acme.example" is a name of the server itself'),
        ('return_path: ""\n', "mx1", ""),
        (f"return_path: {'.'.join(['a' * 60] * 4)}\n", "", "is too long for a domain name"),
    ],
)
def test_a_return_path_is_nobody_elses_name(tmp_path: Path, own_file: str, default: str, fault: str) -> None:
    others = {
        # A domain above is no other customer's name, nor is a return path of its own in the way of one.
        "example": GOOD.replace("domain: acme.example", "domain: x.example").replace("app@", "info@"),
        "news_acme_example": GOOD.replace("domain: acme", "domain: news.acme") + "return_path: bounces\n",
        "broken_acme_example": "x: y",
    }
    others["x_example"] = others.pop("example")
    found = domain_files.load(write(tmp_path, acme_example=GOOD + own_file, **others))
    checked = domain_files.check_references(
        found, tmp_path, senders=("mx1",), credentials=("lab",), own=("mx1.acme.example",), return_path=default
    )
    of_acme = [one.message for one in checked.faults if one.subject == "acme.example"]
    assert [f"{tmp_path}/acme.example.yml: " in message and fault in message for message in of_acme] == [True] * bool(
        fault
    )
    assert ("acme.example" in [domain.name for domain in checked.domains]) == (not fault)


def test_a_return_path_is_read_again_from_the_cache(tmp_path: Path) -> None:
    write(tmp_path, acme_example=GOOD + "return_path: b.mail\n", globex_example=GOOD.replace("acme", "globex"))
    for _ in range(2):
        found = domain_files.load(tmp_path, cache=tmp_path / "cache")
        assert [domain.return_path for domain in found.domains] == ["b.mail", None]


def test_a_login_belongs_to_a_domain_of_the_inventory(tmp_path: Path) -> None:
    found = domain_files.load(write(tmp_path, acme_example=GOOD.replace("app@acme", "app@initech")))
    assert "belongs to no domain" in found.faults[0].message


def test_what_a_domain_names_must_exist(tmp_path: Path) -> None:
    found = domain_files.load(write(tmp_path, acme_example=GOOD))
    checked = domain_files.check_references(found, tmp_path, senders=("mx-1",), credentials=("labs",), own=())
    assert not checked.domains
    assert 'did you mean "mx-1"?' in checked.faults[0].message
    assert 'did you mean "labs"?' in checked.faults[1].message


def test_of_many_files_only_those_that_changed_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    write(tmp_path, acme_example=GOOD, shop_example=GOOD.replace("acme.example", "shop.example"), bad_example="x: y")
    domain_files.load(tmp_path, cache=cache)
    read: list[str] = []
    parse = domain_files.parse
    monkeypatch.setattr(domain_files, "parse", lambda path, text: (read.append(path.stem), parse(path, text))[1])
    first = domain_files.load(tmp_path, cache=cache)
    assert ([domain.name for domain in first.domains], len(first.faults), read) == (
        ["acme.example", "shop.example"],
        1,
        [],
    )
    write(tmp_path, new_example=GOOD.replace("acme.example", "new.example"))
    (tmp_path / "shop.example.yml").unlink()
    found = domain_files.load(tmp_path, cache=cache)
    assert ([domain.name for domain in found.domains], read) == (["acme.example", "new.example"], ["new.example"])
    assert found.faults == first.faults


def test_the_cache_is_used_until_a_file_changes_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "x.json.gz"
    write(tmp_path, acme_example=GOOD)
    first = domain_files.load(tmp_path, cache=cache)
    assert cache.stat().st_mode & 0o777 == 0o600
    assert domain_files.load(tmp_path, cache=cache) == first
    path = tmp_path / "acme.example.yml"
    path.write_text(GOOD + "dmarc_policy: reject\n")
    os.utime(path, ns=(1, 1))
    assert domain_files.load(tmp_path, cache=cache).domains[0].dmarc_policy == "reject"


def test_a_table_is_the_same_bytes_for_the_same_facts_and_reads_back(tmp_path: Path) -> None:
    found = domain_files.load(write(tmp_path, acme_example=GOOD))
    table = compile_table(HOST, found.domains, ["broken.example"])
    assert digest(table) == digest(compile_table(HOST, found.domains, ["broken.example"]))
    path = tmp_path / "table"
    path.write_bytes(table)
    read = read_table(path)
    assert set(read["domains"]) == {"mx1.yard.example", "acme.example"}
    assert read["kept"] == ["broken.example"]
    assert read["logins"] == {"app@acme.example": HASH}


def test_a_domain_of_other_servers_is_not_in_the_table(tmp_path: Path) -> None:
    found = domain_files.load(write(tmp_path, acme_example=GOOD.replace("[mx1]", "[mx2]")))
    path = tmp_path / "table"
    path.write_bytes(compile_table(HOST, found.domains))
    assert set(read_table(path)["domains"]) == {"mx1.yard.example"}


def test_records_are_published_anew_when_an_address_or_a_policy_changes(tmp_path: Path) -> None:
    found = domain_files.load(write(tmp_path, acme_example=GOOD))
    moved = Host(HOST.name, HOST.fqdn, HOST.selector, ("198.51.100.2",))
    assert digest(compile_table(HOST, found.domains)) != digest(compile_table(moved, found.domains))
    assert digest(compile_table(HOST, found.domains)) != digest(
        compile_table(HOST, found.domains, dmarc_policy="reject")
    )


def test_a_broken_table_says_so(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"no gzip")
    with pytest.raises(TableError, match="cannot be read"):
        read_table(path)


@pytest.mark.parametrize("name", ["a.b", "xn--bcher-kva.example", "1.2.example"])
def test_domain_names(name: str) -> None:
    assert DOMAIN.match(name)


@pytest.mark.parametrize(
    "name", ["a", "a..b", "-a.b", "a.b-", "a_b.c", "A.b", "../x.y", "a.b\n", "a/b.c", "a" * 64 + ".b"]
)
def test_no_domain_names(name: str) -> None:
    assert not DOMAIN.match(name)
