# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""New packages come by themselves: the sender goes on serving and runs what is new, and the next run is clean.

They are Debian's own with a higher version, in an archive on the host that says it is Debian's security archive.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import lab_api
import lab_state
import pytest
from ansible_collections.sendyard.mail.plugins.module_utils.errors import SendyardError
from lab_hosts import SENDERS, Login, Sender
from lab_submission import logged_in, signers, submit
from programs import recap, run

UPGRADE_SECONDS = 600.0
RUN_SECONDS = 300.0
SOURCES = "opendkim|sendmail|postfix|dovecot|pymilter|unbound"  # of them, whatever is installed
CONFFILE = "/etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf"  # ours differs from Debian's in the lab
# What an upgrade may write: where packages come from, the cache of libraries, and Debian's own examples and lists.
OTHERS = (
    *(f"{CONFFILE}.dpkg-dist", "/etc/apt/sources.list", "/etc/ld.so.cache"),
    *("/etc/postfix/dynamicmaps.cf", "/etc/postfix/main.cf.proto", "/etc/postfix/master.cf.proto"),
)
DAEMONS = ("sendyard-gate", "sendyard-opendkim", "dovecot", "unbound", "postfix")
# Debian's packages, one version on; that of unbound also has another CONFFILE, so that dpkg would ask which to keep.
ARCHIVE = r"""
rm -rf /srv/archive; mkdir -p /srv/archive/work; cd /srv/archive/work
list='${source:Package} ${Package}=${Version}\n'
apt-get -qq download $(dpkg-query -W -f "$list" | grep -E "^($sources) " | cut -d ' ' -f 2)
for deb in *.deb; do
    dpkg-deb -R "$deb" tree
    package=$(dpkg-deb -f "$deb" Package); version=$(dpkg-deb -f "$deb" Version)
    sed -i "s/^Version: .*/&+drill1/; s/(= $version)/(= $version+drill1)/g" tree/DEBIAN/control
    if [ "$package" = unbound ]; then echo '# The package has it otherwise now.' >>"tree$conffile"; fi
    dpkg-deb --root-owner-group -Znone -b tree "../$package.deb" >/dev/null
    rm -r tree
done
cd ..; rm -r work
for deb in *.deb; do
    dpkg-deb -f "$deb"
    digest=$(sha256sum "$deb" | cut -d ' ' -f 1)
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$digest"
done >Packages
codename=$(. /etc/os-release; echo "$VERSION_CODENAME")
cat >Release <<END
Origin: Debian
Label: Debian-Security
Suite: stable-security
Codename: $codename-security
Date: $(date -Ru)
SHA256:
 $(sha256sum Packages | cut -d ' ' -f 1) $(stat -c %s Packages) Packages
END
echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list.d/drill.list
apt-get -qq update
"""
# Of every process of the mail path that runs a program or library which is not there any more: its unit and the file.
REPLACED = r"""
for process in /proc/[0-9]*; do
    unit=$(grep -Eo '(sendyard-|dovecot|postfix|unbound)[^/]*\.service' "$process/cgroup" 2>/dev/null | head -n 1)
    test -z "$unit" || sed -n "s|.* \(/usr/.*\) (deleted)$|$unit \1|p" "$process/maps" 2>/dev/null | head -n 1
done
"""
# Hold the lock of a run, {install}, wait until the restart waits for the lock, and say what the signer runs then.
HOLDING = r"""
exec 9>>/run/sendyard.lock; flock 9
{install}
for try in $(seq 600); do
    test "$(systemctl is-active sendyard-restart.service)" != activating || break
    sleep 0.1
done
systemctl is-active sendyard-restart.service | grep -qx activating
stat -Lc %d:%i "/proc/$(systemctl show -P MainPID sendyard-opendkim)/exe"
"""


@dataclass
class Stream:
    """Mail that flows meanwhile: what was taken, and how often a client had to come again."""

    sender: Sender
    login: Login
    word: str
    taken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    ends: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        """Send messages, each in a session of its own, until it is to end."""
        number = 0
        while not self.ends.wait(0.5):
            token = f"{self.word}-{number}-"
            author = self.login.username
            content = f"From: {author}\r\nTo: {token}@rx.example\r\nSubject: {token}\r\n\r\nHello.\r\n".encode()
            try:
                with logged_in(self.sender, self.login) as opened:
                    reply = submit(opened, author, [lab_api.info()["receiver"]["address"]], content)
            except (OSError, AssertionError, SendyardError) as error:
                self.refused.append(f"{token}: {error!r}")
                continue
            assert reply.code // 100 in (2, 4), reply
            (self.taken if reply.positive else self.refused).append(token if reply.positive else f"{token}: {reply}")
            number += 1


@contextmanager
def mail_flows(sender: Sender, login: Login) -> Iterator[Stream]:
    """A stream of mail for the body."""
    stream = Stream(sender, login, lab_api.token())
    thread = threading.Thread(target=stream.send)
    thread.start()
    try:
        yield stream
    finally:
        stream.ends.set()
        thread.join(timeout=120)


def arrives_signed(sender: Sender, login: Login) -> None:
    """One message goes through, now, and its signature verifies."""
    token = lab_api.token()
    content = f"From: {login.username}\r\nSubject: {token}\r\n\r\nHello.\r\n".encode()
    with logged_in(sender, login) as opened:
        assert submit(opened, login.username, [f"{token}@sink.rx.example"], content).code == 250
    assert signers(lab_api.wait_for_mail(token).wire) == list(login.domains)


def all_of(tokens: list[str], word: str) -> list[lab_api.Mail]:
    """The messages with `word`, once each of `tokens` is in one of them; until then none."""
    mails = lab_api.mails(word)
    return mails if all(any(token.encode() in mail.raw for mail in mails) for token in tokens) else []


def replaced(sender: Sender) -> list[str]:
    """The units of the mail path that run what is no longer installed, and what that is."""
    return sorted(set(lab_api.root(sender.name, "sh", "-s", stdin=REPLACED).stdout.splitlines()))


def runs_what_is_installed(sender: Sender, *, deadline: float = 60) -> None:
    """Wait until nothing of the mail path runs what was replaced, and whoever restarts it is done."""
    states = ("systemctl", "is-active", "sendyard-restart", *DAEMONS)

    def settled() -> bool:
        done = lab_api.root(sender.name, *states, check=False).stdout.split() == [
            "inactive",
            *["active"] * len(DAEMONS),
        ]
        return done and not replaced(sender)

    lab_api.until(settled, what="everything runs what is installed", deadline=deadline)


def versions(sender: Sender) -> dict[str, str]:
    """The packages of SOURCES that are installed, and their versions."""
    said = lab_api.root(sender.name, "dpkg-query", "-W", "-f", "${source:Package} ${Package} ${Version}\n").stdout
    rows = [line.split() for line in said.splitlines()]
    return {package: version for source, package, version in rows if re.fullmatch(SOURCES, source)}


def inode(sender: Sender, unit: str) -> str:
    """What the main process of a unit runs, by device and inode."""
    script = f'stat -Lc %d:%i "/proc/$(systemctl show -P MainPID {unit})/exe"'
    return lab_api.root(sender.name, "sh", "-c", script).stdout.strip()


def test_unwatched_the_signer_would_run_the_old_program(sender: Sender) -> None:
    """The control: Debian's package does not restart our unit; and what was missed is found at the next look."""
    lab_api.root(sender.name, "systemctl", "stop", "sendyard-restart.path", "sendyard-restart.timer")
    lab_api.root(sender.name, "apt-get", "-qq", "install", "--reinstall", "opendkim", deadline=UPGRADE_SECONDS)
    assert "sendyard-opendkim.service /usr/sbin/opendkim" in replaced(sender)
    lab_api.root(sender.name, "systemctl", "start", "sendyard-restart.path", "sendyard-restart.timer")
    runs_what_is_installed(sender)


def test_a_run_of_sendyard_is_waited_for(sender: Sender) -> None:
    """While a run holds the host, nothing is restarted beneath it."""
    before = inode(sender, "sendyard-opendkim")
    script = HOLDING.format(install="apt-get -qq install --reinstall opendkim >&2")
    meanwhile = lab_api.root(sender.name, "sh", "-es", stdin=script, deadline=UPGRADE_SECONDS).stdout.strip()
    assert meanwhile == before
    runs_what_is_installed(sender)
    assert inode(sender, "sendyard-opendkim") != before


@pytest.fixture(scope="module")
def configurations() -> dict[str, dict[str, str]]:
    """What stands in /etc and of our programs before the upgrade, by sender."""
    # A lab that was brought back has its files' times in whole seconds: to a run, somebody else has written logins.
    settled = run("ansible-playbook", "site.yml", deadline=RUN_SECONDS)
    assert settled.returncode == 0, settled.stdout + settled.stderr
    found = {name: lab_state.files(name) for name in SENDERS}
    return {
        name: {path: what for path, what in files.items() if not path.startswith(OTHERS)}
        for name, files in found.items()
    }


def test_packages_come_by_themselves_while_mail_flows(
    sender: Sender, logins: tuple[Login, ...], configurations: dict[str, dict[str, str]]
) -> None:
    login = logins[0]
    arrives_signed(sender, login)
    before, programs = versions(sender), {unit: inode(sender, unit) for unit in ("sendyard-opendkim", "unbound")}
    allowed = lab_api.root(sender.name, "unattended-upgrade", "--dry-run", "--debug", deadline=UPGRADE_SECONDS)
    said = allowed.stdout + allowed.stderr
    codename = sender.name.removeprefix("mx-")
    assert f"Allowed origins are: origin=Debian,codename={codename}-security,label=Debian-Security\n" in said
    lab_api.root(
        sender.name, "env", f"conffile={CONFFILE}", f"sources={SOURCES}", "sh", "-es", stdin=ARCHIVE, deadline=600
    )

    with mail_flows(sender, login) as stream:
        lab_api.root(sender.name, "unattended-upgrade", "--verbose", deadline=UPGRADE_SECONDS)
        assert versions(sender) == {package: f"{version}+drill1" for package, version in before.items()}
        runs_what_is_installed(sender, deadline=120)
    arrives_signed(sender, login)
    assert stream.taken
    print(f"{sender.name}: {len(stream.taken)} taken, {len(stream.refused)} came again: {stream.refused}")
    arrived = lab_api.until(lambda: all_of(stream.taken, stream.word), what="all that was taken arrives", deadline=120)
    assert {tuple(signers(mail.wire)) for mail in arrived} == {login.domains}

    assert versions(sender).keys() >= {"opendkim", "libmilter1.0.1", "postfix", "dovecot-core", "python3-milter"}
    assert {unit: inode(sender, unit) for unit in programs}.items().isdisjoint(programs.items())
    state = lab_api.root(sender.name, "systemctl", "is-enabled", "opendkim.service", check=False).stdout.strip()
    active = lab_api.root(sender.name, "systemctl", "is-active", "opendkim.service", check=False).stdout.strip()
    assert (state, active) == ("masked", "inactive")
    assert lab_api.root(sender.name, "systemctl", "--failed", "--no-legend", "--plain").stdout == ""
    after = lab_state.files(sender.name)
    assert f"{CONFFILE}.dpkg-dist" in after, "no configuration of a package differed, so that dpkg had nothing to ask"
    kept = {path: what for path, what in after.items() if not path.startswith(OTHERS)}
    assert lab_state.changed(configurations[sender.name], kept) == ""


def test_the_next_run_is_clean() -> None:
    again = run("ansible-playbook", "site.yml", "--diff", deadline=RUN_SECONDS)
    assert again.returncode == 0, again.stdout + again.stderr
    assert recap(again.stdout) == dict.fromkeys(SENDERS, (0, 0, 0)), again.stdout
