# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DKIM keys of a host: made here, signing only after their records were seen. Runs on the host, stdlib only.

A key is `pending/<domain>.pem` until its record was seen on every authoritative server, then `keys/<domain>.pem`, where
OpenDKIM opens it for every message. The public half is kept in the state, so that a no-change run loads no key. The key
files are what counts: where the state is behind them (a killed run, a lost file) they are read, never made anew. A file
that was cut short is as good as lost: OpenDKIM cannot sign with it. Size, owner and mode are looked at in every run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .domains import DOMAIN
from .errors import SendyardError
from .host import files
from .host.command import run
from .host.state import STATE_DIRECTORY, read_state, write_state

# {"selector", "public": {domain: base64}, "published": {domain: digest}, "settings": [record settings, each once],
# "confirmed": {domain: which of them its records were seen with}, "attempted": {domain: [those of a run that may have
# written its records since, and was not confirmed, …]}, "unused": {address: {"until": when resolvers have forgotten
# what stood before, by this host's clock, in seconds since 1970, "seconds": that were left when it was said, "record":
# which they may have}}}
STATE = "dkim"
BITS = 2048  # RFC 8301 section 3.2: signers should use at least 2048; larger ones do not fit everywhere in DNS
SECONDS_TO_MAKE = 60
MODE = 0o600
BATCH = 500  # keys between two writes of the state; what a killed run made after the last one is read from its files


Settings = Mapping[str, Any]  # record settings: what `domains.host_settings` or `domains.domain_settings` return


class KeyFault(SendyardError):
    """A key cannot be made, or is not where it must be."""


@dataclass(frozen=True)
class Directories:
    """Where keys and state lie, and whose they are."""

    pending: Path = Path("/etc/opendkim/pending")
    signing: Path = Path("/etc/opendkim/keys")
    state: Path = STATE_DIRECTORY
    owner: str = "opendkim"


@dataclass(frozen=True)
class Outcome:
    """What a call found and did.

    `pending` maps each domain that does not sign yet, or whose records are not known to be published, to its selector,
    public_key (base64 of the DER SubjectPublicKeyInfo; "" where check mode made none), digest, the record settings that
    its records had `earlier`, or may have had (of each what differs from those of now), and whether a run that was not
    confirmed `attempted` the addresses of now.
    """

    made: tuple[str, ...]
    moved: tuple[str, ...]
    retired: tuple[str, ...]
    repaired: tuple[str, ...]
    pending: Mapping[str, Mapping[str, Any]]
    total: int
    digest: str

    @property
    def changed(self) -> bool:
        """True if a key was made, moved or retired, or had its owner and mode put right."""
        return bool(self.made or self.moved or self.retired or self.repaired)


def fingerprints(names: Iterable[str], state: Path = STATE_DIRECTORY) -> dict[str, str]:
    """Return the hex sha256 of the public key (DER) of each of `names` that has one."""
    public = read_state(STATE, state).get("public", {})
    return {name: hashlib.sha256(base64.b64decode(public[name])).hexdigest() for name in names if public.get(name)}


def make(
    table: Mapping[str, Any],
    selector: str,
    where: Directories,
    *,
    dry: bool,
    tell_all: bool = False,
    tell: Collection[str] = (),
) -> Outcome:
    """Give every domain of `table` a key; withdraw those of domains that left it, and all where the selector changed.

    A withdrawn key waits among the pending ones: a domain that comes back has the key that its record may still name.

    The settings of which the records of a pending domain are about to be made are remembered before anybody publishes
    them, so that these are known to be ours even if the run ends before `publish`.

    Args:
        table: as `domains.read_table` returns it. Of its "kept" domains everything stays as it is.
        dry: say what would be done.
        tell_all: count every key as pending, so that all are told and their records published anew.
        tell: domains whose keys are counted so.

    Raises:
        KeyFault: a domain's name is none, or a key file cannot be read.
    """
    state = _State.read(where)
    kept = set(table["kept"])
    wanted = {name: facts["record_settings"] for name, facts in table["domains"].items()}
    _refuse_odd_names(wanted)
    signing = _names(where.signing)
    held = signing | _names(where.pending)
    missing = [name for name in sorted(wanted) if name not in held]
    unread = [name for name in sorted(wanted) if name in held and name not in state.public]
    loose = [path for directory in (where.signing, where.pending) for path in _loose(directory, wanted, where.owner)]
    gone = sorted(name for name in signing if name not in wanted and name not in kept)
    if state.selector not in {"", selector}:  # nobody has seen the new selector's records
        gone = sorted(signing)
    for name in [*missing, *gone]:
        state.published.pop(name, None)
    for name in missing:
        state.public.pop(name, None)
    if not dry:
        _prepare(where)
        for path in loose:
            path.chmod(MODE)
            os.chown(path, files.owner_id(where.owner), files.group_id(where.owner))
        for name in gone:
            (where.signing / f"{name}.pem").replace(where.pending / f"{name}.pem")
        state.selector = selector
        state.write(where)
        for work, names in ((_read_one, unread), (_make_one, missing)):
            for batch in _batches(names):
                state.public.update(_at_once(work, batch, where))
                state.write(where)
    outcome = _outcome(
        wanted,
        selector,
        state,
        signing.difference(gone),
        settings=table["settings"],
        made=missing,
        retired=gone,
        repaired=sorted({path.stem for path in loose}),
        tell=wanted if tell_all else tell,
    )
    if not dry:
        for name, key in outcome.pending.items():
            state.attempt(name, key["digest"], table["settings"][wanted[name]])
        state.write(where)
    return outcome


def publish(
    table: Mapping[str, Any],
    selector: str,
    seen: Iterable[Mapping[str, str]],
    where: Directories,
    *,
    dry: bool,
    unused: Mapping[str, Mapping[str, Any]] | None = None,
) -> Outcome:
    """Let the keys sign whose records were `seen`: mappings of domain and the digest that `make` told.

    Args:
        unused: addresses of the host that nothing may be sent from for some `seconds`, each with the `record` of which
            resolvers may have what stood before until then. What an earlier run said of them holds where it is longer.

    Raises:
        KeyFault: what was seen is not what this host has now; another run made a new key meanwhile.
    """
    state = _State.read(where)
    wanted = {name: facts["record_settings"] for name, facts in table["domains"].items()}
    signing = _names(where.signing)
    held = signing | _names(where.pending)
    moved = []
    for entry in seen:
        name = entry["domain"]
        if name not in wanted or name not in state.public or name not in held:
            raise KeyFault(f"{name}: this host has no such domain or key. Run the play again from its beginning.")
        if entry["digest"] != _digest(selector, state.public[name], wanted[name]):
            raise KeyFault(f"{name}: the records that were seen are not those of this host's key. Run the play again.")
        if name not in signing:
            moved.append(name)
        state.published[name] = entry["digest"]
        state.confirmed[name] = table["settings"][wanted[name]]
        state.attempted.pop(name, None)
    state.keep_unused(unused or {}, table["host"]["addresses"], time.time())
    if not dry:
        for name in moved:
            (where.pending / f"{name}.pem").replace(where.signing / f"{name}.pem")
        if moved:
            files.sync_directory(where.signing)
        state.write(where)
    return _outcome(wanted, selector, state, signing | set(moved), settings=table["settings"], moved=moved)


def sending(fqdn: str, where: Directories) -> dict[str, Any]:
    """Return from which addresses a host may send, as far as it remembers: it reads and changes nothing.

    Keys of the result: `confirmed`, the addresses that the host's own records were last seen with; `unused`, those that
    nothing may be sent from yet: {address: {"seconds": left, "record": …}}.

    Raises:
        StateError: the state cannot be read.
    """
    state = _State.read(where)
    return {
        "confirmed": state.confirmed.get(fqdn, {}).get("addresses", []),
        "unused": state.still_unused(time.time()),
    }


@dataclass
class _State:
    selector: str
    public: dict[str, str]
    published: dict[str, str]
    confirmed: dict[str, Settings]
    attempted: dict[str, list[Settings]]
    unused: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, where: Directories) -> _State:
        said = read_state(STATE, where.state)
        if "settings" in said:
            settings = said["settings"]
            confirmed = {name: settings[place] for name, place in said["confirmed"].items()}
            attempted = {name: [settings[place] for place in places] for name, places in said["attempted"].items()}
        else:
            confirmed, attempted = _of_addresses_alone(said)
        return cls(
            said.get("selector", ""),
            said.get("public", {}),
            said.get("published", {}),
            confirmed,
            attempted,
            said.get("unused", {}),
        )

    def attempt(self, name: str, digest: str, settings: Settings) -> None:
        """Remember that the records of `name` may be those of `digest` and `settings` from now on.

        What was published before may be so no longer, and is pending again if it is wanted back.
        """
        if self.published.get(name) != digest:
            self.published.pop(name, None)
        if settings not in self.earlier(name):
            self.attempted.setdefault(name, []).append(settings)

    def earlier(self, name: str) -> list[Settings]:
        """All settings that the records of `name` may have, those which were seen first."""
        seen = [self.confirmed[name]] if name in self.confirmed else []
        return [*seen, *self.attempted.get(name, [])]

    def may_have_addresses(self, name: str, addresses: Sequence[str]) -> bool:
        """Return whether a run that was not confirmed may have given the records of `name` these addresses."""
        attempted = (one.get("addresses") for one in self.attempted.get(name, []))
        return addresses in attempted and self.confirmed.get(name, {}).get("addresses") != addresses

    def still_unused(self, now: float) -> dict[str, dict[str, Any]]:
        """Return the addresses that must wait, with the seconds that are left; a clock that was set back adds none."""
        left = {address: min(one["until"] - now, one["seconds"]) for address, one in self.unused.items()}
        return {
            address: {"seconds": seconds, "record": self.unused[address]["record"]}
            for address, seconds in left.items()
            if seconds > 0
        }

    def keep_unused(self, said: Mapping[str, Mapping[str, Any]], addresses: Sequence[str], now: float) -> None:
        """Remember until when addresses of the host must wait, and forget those for which that is over."""
        known = self.still_unused(now)
        self.unused = {}
        for address in addresses:
            found = [one for one in (known.get(address), said.get(address)) if one]
            if found:
                longest = max(found, key=lambda one: float(one["seconds"]))
                self.unused[address] = {**longest, "until": now + longest["seconds"]}

    def write(self, where: Directories) -> None:
        settings = _EachOnce()
        said = {
            "selector": self.selector,
            "public": self.public,
            "published": self.published,
            "confirmed": {name: settings.place(self.confirmed[name]) for name in sorted(self.confirmed)},
            "attempted": {
                name: [settings.place(one) for one in self.attempted[name]] for name in sorted(self.attempted)
            },
            "settings": settings.all,
            "unused": self.unused,
        }
        write_state(STATE, said, where.state)


class _EachOnce:
    """Record settings, each once, in the order in which they were first asked for; most domains have the same."""

    def __init__(self) -> None:
        self.all: list[Settings] = []
        self._places: dict[str, int] = {}
        self._known: dict[int, int] = {}  # by id(), since ten thousand domains share one object

    def place(self, settings: Settings) -> int:
        """Return where `settings` stand among all."""
        if id(settings) not in self._known:
            text = json.dumps(settings, sort_keys=True)
            if text not in self._places:
                self._places[text] = len(self.all)
                self.all.append(settings)
            self._known[id(settings)] = self._places[text]
        return self._known[id(settings)]


def _of_addresses_alone(said: Mapping[str, Any]) -> tuple[dict[str, Settings], dict[str, list[Settings]]]:
    """Return what a state tells that knew addresses and return paths only: settings of which the rest is not known."""
    confirmed: dict[str, Settings] = {name: {"addresses": one} for name, one in said.get("addresses", {}).items()}
    attempted: dict[str, list[Settings]] = {
        name: [{"addresses": one} for one in several] for name, several in said.get("attempted", {}).items()
    }
    for name, paths in said.get("return_paths", {}).items():
        several = [*([confirmed[name]] if name in confirmed else []), *attempted.get(name, [])]
        addresses = list(dict.fromkeys(address for one in several for address in one["addresses"]))
        labels = [path.removesuffix(f".{name}") for path in paths]
        attempted.setdefault(name, []).extend({"addresses": addresses, "return_path": one} for one in labels)
    return confirmed, attempted


def _outcome(
    wanted: Mapping[str, str],
    selector: str,
    state: _State,
    signing: Collection[str],
    *,
    settings: Mapping[str, Settings],
    made: Sequence[str] = (),
    moved: Sequence[str] = (),
    retired: Sequence[str] = (),
    repaired: Sequence[str] = (),
    tell: Collection[str] = (),
) -> Outcome:
    digests = {name: _digest(selector, state.public.get(name, ""), said) for name, said in wanted.items()}
    return Outcome(
        made=tuple(made),
        moved=tuple(moved),
        retired=tuple(retired),
        repaired=tuple(repaired),
        pending={
            name: {
                "selector": selector,
                "public_key": state.public.get(name, ""),
                "digest": digest,
                "earlier": list(_differing(state.earlier(name), settings[wanted[name]])),
                "attempted": state.may_have_addresses(name, settings[wanted[name]]["addresses"]),
            }
            for name, digest in digests.items()
            if name in tell or state.published.get(name) != digest or name not in signing
        },
        total=len(wanted),
        digest=hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest(),
    )


def _differing(earlier: Iterable[Settings], now: Settings) -> Iterator[Settings]:
    """Yield what of each `earlier` settings is not as it is `now`."""
    for settings in earlier:
        if other := {name: value for name, value in settings.items() if now.get(name) != value}:
            yield other


def _digest(selector: str, public_key: str, record_settings: str) -> str:
    """Name the records of a domain by all that they depend on."""
    return hashlib.sha256(f"{selector}\n{public_key}\n{record_settings}".encode()).hexdigest()


def _names(directory: Path) -> set[str]:
    """The domains that have a whole key in `directory`."""
    return {name for name, status in _scan(directory) if stat.S_ISREG(status.st_mode) and _is_whole(status.st_size)}


def _loose(directory: Path, wanted: Collection[str], owner: str) -> list[Path]:
    """The keys of `wanted` domains in `directory` that are not their owner's alone."""
    there = [(name, status) for name, status in _scan(directory) if name in wanted and stat.S_ISREG(status.st_mode)]
    if not there:
        return []  # on a bare host there is no such user yet
    right = (MODE, files.owner_id(owner), files.group_id(owner))
    return [
        directory / f"{name}.pem"
        for name, status in there
        if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != right
    ]


def _scan(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each key file in `directory`: the domain, and what can be known without reading it."""
    try:
        for entry in os.scandir(directory):
            if entry.name.endswith(".pem"):
                yield entry.name.removesuffix(".pem"), entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return


def _is_whole(size: int) -> bool:
    """True if a key file of `size` bytes can hold a key: one of 2048 bits has 1 675 in the shortest form of PEM."""
    return size >= BITS * 4 // 5


def _refuse_odd_names(names: Iterable[str]) -> None:
    """Raise KeyFault for what is no domain name: each becomes the name of a file."""
    for name in names:
        if not DOMAIN.match(name):
            raise KeyFault(f'"{name}" is no domain name, so it can have no key. Mend the table: run the play again.')


def _prepare(where: Directories) -> None:
    """OpenDKIM reads the keys of `signing` and refuses any below a directory that others may write to."""
    for directory in (where.pending, where.signing):
        directory.mkdir(parents=True, exist_ok=True)
        os.chown(directory, files.owner_id("root"), files.group_id(where.owner))
        directory.chmod(0o750)


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]


def _at_once(work: Callable[[str, Directories], str], names: Sequence[str], where: Directories) -> dict[str, str]:
    """Do `work` for each of `names`, as many at once as there are processors; returns the public halves by name."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(lambda name: work(name, where), names), strict=True))


def _make_one(name: str, where: Directories) -> str:
    """Make the key of domain `name`, pending, and return its public half."""
    option = f"rsa_keygen_bits:{BITS}"
    made = run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", option], deadline=SECONDS_TO_MAKE)
    key = made.require(f"Making the DKIM key of {name}").stdout.encode()
    public = _public_half(name, key)
    path = where.pending / f"{name}.pem"
    files.write(files.FileSpec(path, key, MODE, where.owner, where.owner, sensitive=True))
    return public


def _read_one(name: str, where: Directories) -> str:
    """The public half of a key that is there. The one that signs counts where an interrupted run left two."""
    for directory in (where.signing, where.pending):
        there = files.read(directory / f"{name}.pem", sensitive=True)
        if there is not None and _is_whole(len(there.content)):
            return _public_half(name, there.content)
    raise KeyFault(f"{name}: its key vanished from {where.signing}. Run the play again.")


def _public_half(name: str, key: bytes) -> str:
    """The base64 of the DER SubjectPublicKeyInfo of a private key in PEM, as p= has it (RFC 6376 section 3.6.1)."""
    pem = run(["openssl", "pkey", "-pubout"], stdin=key, deadline=SECONDS_TO_MAKE).require(
        f"Reading the DKIM key of {name}"
    )
    return "".join(line for line in pem.stdout.splitlines() if not line.startswith("-"))
