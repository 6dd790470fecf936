# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""What an owner gets wrong: one message names file, variable and what would be right, and nothing is changed.

Each case is the lab's own inventory with one mistake written over it, and a run of site.yml.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lab_api
import lab_state
import pytest
import yaml
from lab_hosts import SENDERS
from programs import run

DEADLINE = 300.0  # seconds for one run
HASH = "{SSHA512}" + "A" * 96
DOMAINS_AT_FAULT = 3  # the exit code where nothing else is
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Owner:
    """An inventory that is read after the lab's, so that what it says counts; and a copy of the lab's domain files."""

    inventory: Path
    domains: Path

    def group(self, **settings: object) -> None:
        """Settings for all senders."""
        self._write(self.inventory / "group_vars/senders.yml", settings)

    def host(self, name: str, **settings: object) -> None:
        """Settings for one sender."""
        self._write(self.inventory / f"host_vars/{name}.yml", settings)

    def each_host(self, **settings: object) -> None:
        """The same settings for every sender by itself, so that no run goes on for one without the mistake."""
        for name in SENDERS:
            self.host(name, **settings)

    def domain(self, file: str, text: str) -> None:
        """A domain file, as text."""
        (self.domains / file).write_text(text)

    def run(self, playbook: str = "site.yml") -> tuple[int, str]:
        """Run a playbook; its exit code, and all that it said."""
        done = run(
            "ansible-playbook", "-i", "inventory/lab", "-i", self.inventory, playbook,
            "-e", f"sendyard_domains_directory={self.domains}", deadline=DEADLINE,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    @staticmethod
    def _write(path: Path, settings: dict[str, object]) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(settings))


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    """An owner who has made no mistake yet."""
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "hosts.yml").write_text("senders:\n  hosts: {}\n")
    domains = tmp_path / "domains"
    shutil.copytree(Path(lab_api.info()["state"]) / "domains", domains)
    return Owner(inventory, domains)


@dataclass
class Known:
    """Files, daemons and zones as they were last seen."""

    state: dict[str, str]


@pytest.fixture(scope="module")
def known() -> Known:
    """Everything as it was before the first mistake."""
    return Known(lab_state.everything(SENDERS))


def domain_file(domain: str, *, dns: str = "lab", logins: str = "[]", more: str = "") -> str:
    """A domain file that is right, but for what the caller puts in."""
    return f"---\ndomain: {domain}\nservers: [mx-trixie]\ndns: {dns}\nlogins: {logins}\n{more}"


def misspelt_variable(owner: Owner) -> None:
    owner.group(sendyard_selecter="mx1")


def misspelt_choice(owner: Owner) -> None:
    owner.group(sendyard_certificate_source="acmee")


def invalid_address(owner: Owner) -> None:
    owner.each_host(sendyard_addresses=[{"public": "10.300.1.1"}])


def address_of_another(owner: Owner) -> None:
    owner.each_host(sendyard_addresses=[{"public": "198.51.100.7"}])


def wrong_tsig_key(owner: Owner) -> None:
    secret = owner.inventory / "wrong.key"
    secret.write_text("bm90IHRoZSBrZXksIGJ1dCBhcyBsb25nIGFzIG9uZSE=\n")
    server = lab_api.address("ns1")
    credential = {"provider": "rfc2136", "server": server, "key_name": "sendyard.", "secret_file": str(secret)}
    owner.group(sendyard_dns_credentials={"lab": credential})


def own_zone_that_does_not_exist(owner: Owner) -> None:
    owner.each_host(sendyard_bounce_domain="bounces.nowhere.invalid")


def acme_server_that_refuses(owner: Owner) -> None:
    owner.group(sendyard_acme_directory="https://ca.lab.example:14999/dir")


def key_of_another_certificate(owner: Owner) -> None:
    names = ",".join(f"DNS:{lab_api.info()['hosts'][name]['fqdn']}" for name in SENDERS)
    for name in ("one", "two"):
        command = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=server -addext subjectAltName={names} -days 90"
        files = ["-out", owner.inventory / f"{name}.crt", "-keyout", owner.inventory / f"{name}.key"]
        subprocess.run([*command.split(), *files], check=True, capture_output=True, timeout=60)
    pair = {"certificate_file": str(owner.inventory / "one.crt"), "key_file": str(owner.inventory / "two.key")}
    owner.group(sendyard_certificate_source="provided", sendyard_certificate_provided=[pair])


def configuration_that_postfix_rejects(owner: Owner) -> None:
    owner.group(postfix_maximal_backoff_time="5 fortnights")  # a role's own variable, of which preflight knows the type


@dataclass(frozen=True)
class Case:
    """One mistake, and what the message must hold."""

    make: Callable[[Owner], None]
    says: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.make.__name__.replace("_", " ")


SETTINGS = (
    Case(misspelt_variable, ("group_vars/senders.yml", "sendyard_selecter", 'did you mean "sendyard_selector"?')),
    Case(misspelt_choice, ("group_vars/senders.yml", "sendyard_certificate_source", "acmee", "acme, provided")),
    Case(invalid_address, ("host_vars/mx-trixie.yml", "sendyard_addresses", "10.300.1.1")),
    Case(address_of_another, ("mx-trixie", "sendyard_addresses", "198.51.100.7", "bind")),
    Case(wrong_tsig_key, ('credential "lab"', "BADSIG", "Compare secret and key_algorithm")),
    Case(own_zone_that_does_not_exist, ("mx-trixie", "bounces.nowhere.invalid", "zone")),
    Case(acme_server_that_refuses, ("https://ca.lab.example:14999/dir", "Connection refused", "left as it is")),
    Case(key_of_another_certificate, ("one.crt", "the private key does not belong to the certificate")),
    Case(configuration_that_postfix_rejects, ("main.cf line", "maximal_backoff", "5 fortnights", "a time such as")),
)


def assert_refused(case: Case, owner: Owner, known: Known) -> int:
    """Make the mistake, run, and compare what was said and what is there; the run's exit code."""
    case.make(owner)
    before = known.state
    code, said = owner.run()
    known.state = lab_state.everything(SENDERS)
    assert code != 0, said
    assert TRACEBACK not in said
    assert "s3cr3t" not in said
    one_line = " ".join(said.split())  # wherever the terminal's width broke it
    missing = [word for word in case.says if word not in one_line]
    assert not missing, f"not said: {missing}\n{said[-4000:]}"
    assert lab_state.changed(before, known.state) == ""
    return code


@pytest.mark.parametrize("case", SETTINGS, ids=lambda case: case.name)
def test_a_wrong_setting_is_named_and_nothing_is_changed(case: Case, owner: Owner, known: Known) -> None:
    assert_refused(case, owner, known)


def broken_yaml(owner: Owner) -> None:
    owner.domain("acme.example.yml", domain_file("acme.example", logins="[unclosed"))


def duplicate_domain(owner: Owner) -> None:
    owner.domain("news.globex.example.yaml", (owner.domains / "news.globex.example.yml").read_text())


def misspelt_key(owner: Owner) -> None:
    owner.domain("key.example.yml", domain_file("key.example", more="dmarc_polcy: none\n"))


def login_without_a_domain(owner: Owner) -> None:
    logins = f'[{{username: app, password_hash: "{HASH}"}}]'
    owner.domain("login.example.yml", domain_file("login.example", logins=logins))


def plaintext_password(owner: Owner) -> None:
    logins = "[{username: a@password.example, password: s3cr3t}]"
    owner.domain("password.example.yml", domain_file("password.example", logins=logins))


def plaintext_in_the_place_of_a_hash(owner: Owner) -> None:
    logins = "[{username: a@hash.example, password_hash: s3cr3t}]"
    owner.domain("hash.example.yml", domain_file("hash.example", logins=logins))


def unknown_server(owner: Owner) -> None:
    owner.domain("server.example.yml", domain_file("server.example").replace("mx-trixie", "mx-trixy"))


def unknown_credential(owner: Owner) -> None:
    owner.domain("credential.example.yml", domain_file("credential.example", dns="labb"))


def zone_that_does_not_exist(owner: Owner) -> None:
    owner.domain("nowhere.invalid.yml", domain_file("nowhere.invalid"))


DOMAINS = (
    Case(broken_yaml, ("/acme.example.yml: line", "YAML")),
    Case(duplicate_domain, ("/news.globex.example.yml: the domain", "/news.globex.example.yaml; leave one of them")),
    Case(misspelt_key, ("/key.example.yml", "dmarc_polcy", 'did you mean "dmarc_policy"?')),
    Case(login_without_a_domain, ("/login.example.yml", '"app"', "app@acme.example")),
    Case(plaintext_password, ("/password.example.yml", "holds a password in clear text", "password_hash")),
    Case(plaintext_in_the_place_of_a_hash, ("/hash.example.yml", "the password_hash of", "{SSHA512}")),
    Case(unknown_server, ("/server.example.yml", '"mx-trixy"', 'did you mean "mx-trixie"?')),
    Case(unknown_credential, ("/credential.example.yml", '"labb"', 'did you mean "lab"?')),
    Case(zone_that_does_not_exist, ("nowhere.invalid", "zone")),
)


def test_domains_at_fault_are_named_all_at_once_and_left_as_they_are(owner: Owner, known: Known) -> None:
    """The first two are served by the lab, the others are new; each has a mistake of its own."""

    def all_of_them(owner: Owner) -> None:
        for case in DOMAINS:
            case.make(owner)

    together = Case(all_of_them, tuple(word for case in DOMAINS for word in case.says))
    assert assert_refused(together, owner, known) == DOMAINS_AT_FAULT


def host_that_is_not_reached(owner: Owner) -> None:
    owner.host("mx-bookworm", ansible_host=lab_api.address("mx-bookworm").rpartition(".")[0] + ".250")


def test_an_unreachable_host_is_named_and_the_other_is_served(owner: Owner, known: Known) -> None:
    assert_refused(Case(host_that_is_not_reached, ("mx-bookworm", ".250", "unreachable=1")), owner, known)


def test_an_unreachable_hosts_addresses_stay_in_the_record_that_it_shares(owner: Owner) -> None:
    """The other host gives up an address meanwhile, so that the SPF record of their domain is written anew."""

    def spf() -> set[str]:
        (record,) = [text for text in lab_api.ask("ns1", "acme.example.", "TXT") if "v=spf1" in text]
        return set(record.strip('"').split())

    trixie, bookworm = (lab_api.info()["hosts"][name] for name in ("mx-trixie", "mx-bookworm"))
    before = spf()
    assert {f"ip4:{bookworm['ipv4'][0]}", f"ip6:{bookworm['ipv6'][0]}", f"ip6:{trixie['ipv6'][0]}"} <= before
    host_that_is_not_reached(owner)
    owner.host("mx-trixie", sendyard_addresses=[{"public": trixie["ipv4"][0]}])
    try:
        code, said = owner.run("playbooks/publish.yml")
        assert code != 0 and "unreachable=1" in said, said
        assert before - spf() == {f"ip6:{trixie['ipv6'][0]}"}, said
    finally:
        again = run("ansible-playbook", "playbooks/publish.yml", deadline=DEADLINE)
    assert again.returncode == 0, again.stdout + again.stderr
    assert spf() == before


def test_where_one_domain_is_at_fault_the_others_are_served(owner: Owner) -> None:
    """The other domain's new login works at once, and the run still ends with an error that names the first."""
    token = lab_api.token()
    login = f"new-{token[:8]}@news.globex.example"
    text = (owner.domains / "news.globex.example.yml").read_text()
    owner.domain("news.globex.example.yml", f'{text}  - username: {login}\n    password_hash: "{HASH}"\n')
    broken_yaml(owner)
    try:
        code, said = owner.run()
        assert code != 0, said
        assert "acme.example.yml" in said
        for host in SENDERS:
            assert login in lab_api.root(host, "cat", "/etc/dovecot/sendyard-logins").stdout
            assert "app@acme.example" in lab_api.root(host, "cat", "/etc/dovecot/sendyard-logins").stdout
    finally:
        again = run("ansible-playbook", "site.yml", deadline=DEADLINE)
    assert again.returncode == 0, again.stdout + again.stderr
