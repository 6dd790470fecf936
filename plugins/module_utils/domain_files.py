# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domain files on the controller: one YAML file a domain, read by one schema, never templated."""

from __future__ import annotations

import difflib
import gzip
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import own_cache
from .domains import DOMAIN, LABELS, LOGIN, PROBE_PREFIX, Domain, Limits, Login
from .errors import SendyardError
from .logins import SCHEME, is_hash

Loader: Any = object
try:
    import yaml
except ImportError:  # not on a controller: ansible-core needs it too
    pass
else:
    Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader reads 10 000 files in about a second

KEYS = ("domain", "servers", "dns", "logins", "limits", "dmarc_policy", "dmarc_rua", "spf_style", "return_path")
LOGIN_KEYS = ("username", "password_hash")
LIMIT_KEYS = ("hourly", "daily")
CACHE_FORMAT = 4  # another one is as good as none
DMARC_POLICIES = ("none", "quarantine", "reject")
SPF_STYLES = ("merge", "include")


@dataclass(frozen=True)
class Fault:
    """What is wrong with one domain: `subject` is the domain, `message` names the file and says what to do."""

    subject: str
    message: str


@dataclass(frozen=True)
class Inventory:
    """All domain files of an inventory: those in order, and what is wrong with the others."""

    domains: tuple[Domain, ...]
    faults: tuple[Fault, ...]


class DirectoryError(SendyardError):
    """The directory of the domain files cannot be read."""


class Invalid(Exception):
    """One sentence on what is wrong in a domain file, without the file's name."""


class _UniqueLoader(Loader):  # type: ignore[misc]  # whichever of the two loaders there is
    """YAML lets a key stand twice and takes the last; in a file that says who may send, that is a mistake."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise Invalid(f"line {node.start_mark.line + 1}: a key stands twice; leave one of them")
        return mapping


def nearest(name: str, valid: tuple[str, ...]) -> str:
    """Return the end of a sentence: the valid name that `name` was probably meant to be, or all of them."""
    close = difflib.get_close_matches(name, valid, n=1)
    return f'did you mean "{close[0]}"?' if close else f"valid are {', '.join(valid)}"


def load(directory: Path, cache: Path | None = None) -> Inventory:
    """Return every domain of `directory` (files *.yml and *.yaml, but for hidden ones, which are editors').

    A file at fault is named and leaves its domain out; the others are returned. With `cache`, a file of the owner's
    own, what was read is kept there, and a file is read again when its size or its times have changed.

    Raises:
        DirectoryError: there is no such directory. Taken for an empty one it would take every domain off the hosts.
    """
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        raise DirectoryError(
            f"{directory} cannot be read ({error.strerror}). Name the directory of the domain files; where no domain "
            "sends yet, make it, empty"
        ) from error
    files = [path for path in entries if path.suffix in {".yml", ".yaml"} and not path.name.startswith(".")]
    kept = _kept(cache) if cache else {}
    read = {path: _read(path, kept) for path in files}
    if cache and {str(path): one[0] for path, one in read.items() if one[0]} != kept:
        _keep(cache, read)
    return _check_together({path: one[1] for path, one in read.items()})


def parse(path: Path, text: str) -> Domain:
    """Return the domain that `text`, the content of `path`, describes.

    Raises:
        Invalid: the text is no domain file; says why and what would be valid.
    """
    try:
        said = yaml.load(text, Loader=_UniqueLoader)  # noqa: S506  # a safe loader, with one check more
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise Invalid(f"{line}this is not YAML ({error.problem})") from error
    except yaml.YAMLError as error:
        raise Invalid(f"this is not YAML ({error})") from error
    except (ValueError, RecursionError) as error:  # YAML reads dates and numbers, and nests as deep as one likes
        raise Invalid(f"a value cannot be read ({error}); put it in quotes") from error
    if not isinstance(said, dict):
        raise Invalid('a domain file is a mapping: "domain: …", "servers: […]", "dns: …", "logins: […]"')
    for key in said:
        if key not in KEYS:
            raise Invalid(f'"{key}" is no setting of a domain; {nearest(str(key), KEYS)}')
    name = _text(said, "domain")
    if not DOMAIN.match(name):
        raise Invalid(
            f'domain: "{name}" is no domain name in lower case (an internationalised one is written as xn--…)'
        )
    if name != path.stem:
        raise Invalid(f'domain: "{name}" does not fit the file name; the file of this domain is {name}.yml')
    servers = said.get("servers")
    if not isinstance(servers, list) or not servers or not all(isinstance(server, str) for server in servers):
        raise Invalid("servers: a list of at least one host of group senders is needed")
    policy = said.get("dmarc_policy", "")
    if policy and policy not in DMARC_POLICIES:
        raise Invalid(f'dmarc_policy: "{policy}" is none of them; {nearest(str(policy), DMARC_POLICIES)}')
    rua = said.get("dmarc_rua", "")
    if rua and not (isinstance(rua, str) and rua.startswith("mailto:")):
        raise Invalid(f'dmarc_rua: "{rua}" is no mailto: URI')
    style = said.get("spf_style", "")
    if style and style not in SPF_STYLES:
        raise Invalid(f'spf_style: "{style}" is none of them; {nearest(str(style), SPF_STYLES)}')
    return Domain(
        name=name,
        servers=tuple(servers),
        dns=_text(said, "dns"),
        logins=tuple(_logins(said.get("logins", []))),
        dmarc_policy=policy,
        dmarc_rua=rua,
        spf_style=style,
        limits=_limits(said),
        return_path=_return_path(said, name),
    )


def check_references(
    found: Inventory,
    directory: Path,
    *,
    senders: tuple[str, ...],
    credentials: tuple[str, ...],
    own: tuple[str, ...],
    return_path: str = "",
) -> Inventory:
    """Return `found` with every domain at fault that names a host or a credential which does not exist.

    So is one of the `own` names of the server: what is From them is the server's, and no customer's. And one whose
    return path, by its file or the owner's default `return_path`, is a name of the server or of another domain's file.
    """
    faults = list(found.faults)
    sound = []
    names = {domain.name for domain in found.domains}.union(fault.subject for fault in found.faults)
    for domain in found.domains:
        wrong = [
            f'servers: "{server}" is no host of group senders; {nearest(server, senders)}'
            for server in domain.servers
            if server not in senders
        ]
        if domain.dns not in credentials:
            wrong.append(f'dns: "{domain.dns}" is not in sendyard_dns_credentials; {nearest(domain.dns, credentials)}')
        if domain.name in own:
            wrong.append(f'domain: "{domain.name}" is a name of the server itself; its own mail needs no domain file')
        if taken := _taken_by(domain, domain.return_name(return_path), names, own):
            whence = "return_path" if domain.return_path is not None else "return_path (of sendyard_return_path)"
            wrong.append(f'{whence}: {taken}. Write other labels, or "" for none')
        faults += [Fault(domain.name, f"{directory}/{domain.name}.yml: {message}") for message in wrong]
        if not wrong:
            sound.append(domain)
    return Inventory(tuple(sound), tuple(faults))


def _taken_by(domain: Domain, return_name: str, names: Collection[str], own: Collection[str]) -> str:
    """Return why `return_name` can be no return path of `domain`, "" where it can: somebody else is called so."""
    if not return_name:
        return ""
    if not DOMAIN.match(return_name):
        return f'"{return_name}" is too long for a domain name'
    if return_name in own:
        return f'"{return_name}" is a name of the server itself'
    above = return_name
    while above != domain.name:
        if above in names:
            what = "is" if above == return_name else f'is below "{above}", which is'
            return f'"{return_name}" {what} a domain with a file of its own'
        above = above.partition(".")[2]
    return ""


def _return_path(said: Mapping[str, Any], name: str) -> str | None:
    if "return_path" not in said:
        return None
    labels = said["return_path"]
    if not isinstance(labels, str) or (labels and not LABELS.match(labels)):
        raise Invalid(
            f'return_path: labels below the domain are needed, in lower case, such as "bounces", or "" for none; found '
            f"{labels!r}"
        )
    if labels == name or labels.endswith(f".{name}"):
        raise Invalid(f'return_path: "{labels}" is written without the domain, such as "bounces" for bounces.{name}')
    return labels


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    if not isinstance(value, str) or not value:
        raise Invalid(f"{key}: a text is needed, found {value!r}" if key in said else f'"{key}" is missing')
    return value


def _limits(said: Mapping[str, Any]) -> Limits | None:
    limits = said.get("limits")
    if limits is None:
        return None
    if not isinstance(limits, dict):
        raise Invalid('limits: "hourly: …" and "daily: …" are needed below it, as numbers of recipients; 0 is no limit')
    for key in limits:
        if key not in LIMIT_KEYS:
            raise Invalid(f'limits: "{key}" is no limit; {nearest(str(key), LIMIT_KEYS)}')
    for key in LIMIT_KEYS:
        value = limits.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise Invalid(f"limits: {key}: a number of recipients is needed, 0 for no limit; found {value!r}")
    return Limits(limits["hourly"], limits["daily"])


def _logins(said: Any) -> Iterator[Login]:
    if not isinstance(said, list):
        raise Invalid("logins: a list is needed, each with username and password_hash")
    known: set[str] = set()
    for number, login in enumerate(said, 1):
        if not isinstance(login, dict):
            raise Invalid(f"logins: entry {number} is no mapping of username and password_hash")
        for key in login:
            if key == "password":
                raise Invalid(
                    f"logins: entry {number} holds a password in clear text. Remove it from the file and from its "
                    'history, give the login a new one, and write its hash as "password_hash: {SSHA512}…"'
                )
            if key not in LOGIN_KEYS:
                raise Invalid(
                    f'logins: entry {number}: "{key}" is no setting of a login; {nearest(str(key), LOGIN_KEYS)}'
                )
        username = _text(login, "username").lower()
        if username in known:
            raise Invalid(f'logins: "{username}" stands twice; leave one of them')
        known.add(username)
        matched = LOGIN.fullmatch(username)
        if not matched or not DOMAIN.match(matched["domain"]):
            raise Invalid(
                f'logins: "{username}" can be no login; a username is written like app@acme.example, of letters a-z, '
                "digits and . _ = + -"
            )
        if matched["local"].startswith(PROBE_PREFIX):
            raise Invalid(f'logins: "{username}": names that begin with {PROBE_PREFIX} are for proving; choose another')
        hashed = login.get("password_hash")
        # What stands there is not shown: it may be the password.
        if not isinstance(hashed, str) or not is_hash(hashed):
            raise Invalid(
                f'logins: the password_hash of "{username}" is no {SCHEME} hash, so it may be a password in '
                "clear text. Give the login a new one and write its hash; script/new-login makes both"
            )
        yield Login(username, hashed)


def _read(path: Path, kept: Mapping[str, Mapping[str, Any]]) -> tuple[Mapping[str, Any], Domain | Invalid]:
    """What a file says, and how that is kept: empty for what must be read again, since it is not known to be a file."""
    try:
        stat = path.stat()
    except OSError:  # a link that leads nowhere
        return {}, _parsed(path)
    stamp = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
    before = kept.get(str(path), {})
    if before.get("stamp") == stamp:
        return before, _restored(before)
    domain = _parsed(path)
    said = {"invalid": str(domain)} if isinstance(domain, Invalid) else {"domain": asdict(domain)}
    return {"stamp": stamp, **said}, domain


def _parsed(path: Path) -> Domain | Invalid:
    try:
        return parse(path, path.read_text(encoding="utf-8"))
    except Invalid as error:
        return error
    except (OSError, UnicodeDecodeError) as error:
        return Invalid(f"it cannot be read ({error})")


def _restored(kept: Mapping[str, Any]) -> Domain | Invalid:
    if "invalid" in kept:
        return Invalid(kept["invalid"])
    said = kept["domain"]
    return Domain(
        name=said["name"],
        servers=tuple(said["servers"]),
        dns=said["dns"],
        logins=tuple(Login(**login) for login in said["logins"]),
        dmarc_policy=said["dmarc_policy"],
        spf_style=said["spf_style"],
        dmarc_rua=said["dmarc_rua"],
        limits=Limits(**said["limits"]) if said["limits"] else None,
        return_path=said["return_path"],
    )


def _check_together(found: Mapping[Path, Domain | Invalid]) -> Inventory:
    """Find what is wrong only beside the other files: a domain that stands twice, a login of two passwords.

    The password of a login is what its own domain's file says: another file may let it send, not take it over.
    """
    faults = [Fault(path.stem, f"{path}: {error}") for path, error in found.items() if isinstance(error, Invalid)]
    files: dict[str, Path] = {}
    wrong: set[str] = set()
    domains = {path: domain for path, domain in found.items() if isinstance(domain, Domain)}
    names = {path.stem for path in found}
    authorities = _authorities(domains)

    def fault(domain: Domain, message: str) -> None:
        faults.append(Fault(domain.name, message))
        wrong.add(domain.name)

    for path, domain in domains.items():
        first = files.setdefault(domain.name, path)
        if first != path:
            fault(domain, f"{path}: the domain {domain.name} has a file already, {first}; leave one of them")
        for login in domain.logins:
            owner = _owner(login)
            hashes = {} if path.stem == owner else authorities[login.username]
            if other := next((hashes[one] for one in hashes if one != login.password_hash), None):
                fault(
                    domain,
                    f"{path}: logins: {login.username} has another password_hash in {other}; a login has one, "
                    "that of its own domain's file",
                )
            if owner not in names:
                fault(
                    domain,
                    f"{path}: logins: {login.username} belongs to no domain of this inventory; "
                    f"name it …@{domain.name}, or write {owner}.yml",
                )
    return Inventory(tuple(domain for domain in domains.values() if domain.name not in wrong), tuple(faults))


def _authorities(domains: Mapping[Path, Domain]) -> dict[str, dict[str, Path]]:
    """For each login the hashes that count, each with the first file that has it.

    Those of its own domain's file; where that does not name the login, those of all that do.
    """
    own: dict[str, dict[str, Path]] = {}
    others: dict[str, dict[str, Path]] = {}
    for path, domain in domains.items():
        for login in domain.logins:
            side = own if path.stem == _owner(login) else others
            side.setdefault(login.username, {}).setdefault(login.password_hash, path)
    return {**others, **own}


def _owner(login: Login) -> str:
    """The domain of the login itself."""
    return login.username.rpartition("@")[2]


def _kept(cache: Path) -> dict[str, dict[str, Any]]:
    """What was kept of each file, by its path; nothing where that cannot be read."""
    try:
        kept = json.loads(gzip.decompress(own_cache.read(cache)))
        return dict(kept["files"]) if kept["format"] == CACHE_FORMAT else {}
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return {}


def _keep(cache: Path, read: Mapping[Path, tuple[Mapping[str, Any], Domain | Invalid]]) -> None:
    kept = {"format": CACHE_FORMAT, "files": {str(path): one[0] for path, one in read.items() if one[0]}}
    own_cache.write(cache, gzip.compress(json.dumps(kept).encode(), compresslevel=1, mtime=0))
