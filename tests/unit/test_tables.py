# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Which domains have records that a host's last table did not have, and what a controller remembers of that table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.sendyard.mail.plugins.module_utils import domains, records
from ansible_collections.sendyard.mail.plugins.module_utils.domains import Domain, Host, Login
from ansible_collections.sendyard.mail.plugins.plugin_utils import owner

HOST = Host("mx1", "mx1.yard.example", "mx1-1", ("192.0.2.10",))
OWN = {"bounce_domain": "b.yard.example", "caa_issuers": ("ca.example",), "ptr": True}  # of its own names alone
ACME, GLOBEX = (Domain(name, ("mx1",), "ours") for name in ("acme.example", "globex.example"))


def table(*served: Domain, host: Host = HOST, kept: tuple[str, ...] = (), publishing: str = "so") -> bytes:
    return domains.compile_table(host, served, kept, publishing=publishing)


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        (table(ACME), table(ACME, GLOBEX), {"globex.example"}),
        (table(ACME, GLOBEX), table(ACME), set()),
        (table(ACME, GLOBEX), table(ACME, replace(GLOBEX, dns="theirs")), {"globex.example"}),
        (table(ACME, GLOBEX), table(ACME, replace(GLOBEX, dmarc_policy="reject")), {"globex.example"}),
        (table(ACME, GLOBEX), table(ACME, replace(GLOBEX, spf_style="include")), {"globex.example"}),
        (table(ACME, GLOBEX), table(ACME, replace(GLOBEX, return_path="bounces")), {"globex.example"}),
        (table(ACME, replace(GLOBEX, return_path="bounces")), table(ACME, GLOBEX), {"globex.example"}),
        (table(replace(ACME, return_path="")), table(ACME), set()),
        (table(replace(ACME, return_path="b")), table(replace(ACME, return_path="bounces")), {"acme.example"}),
        (table(ACME), table(replace(ACME, logins=(Login("app@acme.example", "{SSHA512}x"),))), set()),
        (table(ACME, kept=("globex.example",)), table(ACME, GLOBEX), {"globex.example"}),
        (table(ACME), table(ACME, host=replace(HOST, selector="mx1-2")), {"acme.example", HOST.fqdn}),
        (table(ACME), table(ACME, publishing="otherwise"), {"acme.example", HOST.fqdn}),
        *((table(ACME), table(ACME, host=replace(HOST, **{name: value})), {HOST.fqdn}) for name, value in OWN.items()),
    ],
)
def test_the_domains_with_new_records_are_those_whose_records_or_way_of_publishing_changed(
    before: bytes, after: bytes, new: set[str]
) -> None:
    assert domains.with_new_records(domains.unpacked(after), domains.unpacked(before)) == new


def test_domains_without_settings_of_their_own_have_the_same_ones_which_make_their_records() -> None:
    other = replace(GLOBEX, name="other.example", dmarc_policy="reject", return_path="b")
    said = domains.unpacked(domains.compile_table(HOST, [ACME, GLOBEX, other], dmarc_policy="reject", dmarc_rua="x"))
    names = {name: one["record_settings"] for name, one in said["domains"].items()}
    assert names["acme.example"] == names["globex.example"]
    assert set(said["settings"]) == set(names.values())
    for domain, first, path in ((ACME, "none", ""), (other, "", "b")):
        settings = said["settings"][names[domain.name]]
        assert (settings["dmarc_policy"], settings["first_policy"], settings["return_path"]) == ("reject", first, path)
        assert settings["dmarc_rua"] == "x"
        records.domain_records(domain.name, HOST.selector, "", credential="", **settings)
    own = said["settings"][names[HOST.fqdn]]
    assert records.host_records(selector="", public_key="", subject="", credential="", **own)


@pytest.mark.parametrize(
    ("of_file", "default", "name"),
    [
        (None, "", ""),
        (None, "bounces", "bounces.acme.example"),
        ("b.mail", "bounces", "b.mail.acme.example"),
        ("", "bounces", ""),
    ],
)
def test_a_domains_own_return_path_counts_before_the_owners(of_file: str | None, default: str, name: str) -> None:
    made = domains.compile_table(HOST, [replace(ACME, return_path=of_file)], return_path=default)
    said = domains.unpacked(made)["domains"]
    assert said["acme.example"].get("return_path", "") == name
    assert "return_path" not in said[HOST.fqdn]


def test_a_table_is_remembered_for_its_host_and_for_what_the_host_says_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said = {"domains_directory": "domains"}
    first, second = table(ACME), table(ACME, GLOBEX)
    owner.keep_table(first, said, "mx1")
    assert owner.kept_table(domains.digest(first), said, "mx1") == domains.unpacked(first)
    (kept,) = (tmp_path / "sendyard").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600  # it holds password hashes
    for digest, directory, name in (
        (domains.digest(second), "domains", "mx1"),  # another controller has served the host since
        ("", "domains", "mx1"),  # a new host
        (domains.digest(first), "elsewhere", "mx1"),
        (domains.digest(first), "domains", "mx2"),
    ):
        unknown = owner.kept_table(digest, {"domains_directory": directory}, name)
        assert unknown == {}
        everything = domains.with_new_records(domains.unpacked(second), unknown)
        assert everything == {HOST.fqdn, "acme.example", "globex.example"}
