# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Amazon Route 53. A change of a zone is one batch; what it replaces must still be as it was read, or nothing is done.

So a record set is deleted with its exact TTL and values, and created anew, within the batch: no moment is without it.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .. import reader
from ..api import secure
from ..model import Change, DnsError, Key, RRset, Value, parse_value, read_value
from ..planner import Found
from ..verify import Directory
from . import (
    AuthError,
    Backend,
    Caps,
    ClockError,
    Conflict,
    Transient,
    Unsupported,
    Zone,
    ZoneNotFound,
    check_options,
    check_secret,
    longest_zones,
    portions,
)
from .rfc2136 import NOBODYS_VALUES

with suppress(ImportError):  # the module that needs dnspython names it
    import dns.name
    import dns.rdatatype

NEEDS_SECRET = False  # boto3 finds credentials where AWS keeps them
OPTIONS = frozenset({"access_key_id", "profile", "role_arn", "external_id", "region", "url"})
ZONES_A_PAGE, SETS_A_PAGE = 100, 300  # the most that the API gives
BATCH_CHARACTERS, BATCH_RECORDS = 32_000, 1000  # of a batch
POLL_SECONDS = 2.0  # between two looks at a change; an account has five requests a second
CONNECT_TIMEOUT, READ_TIMEOUT, TRIES = 10, 30, 8
SHOWN = 600  # characters of what AWS says
SIMPLE = frozenset({"Name", "Type", "TTL", "ResourceRecords"})  # all that a record set has which we can write again
NOBODYS_TTL = 2**31 - 1

NOT_ACCEPTED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
CLOCK = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
LATER = frozenset({"Throttling", "ThrottlingException", "PriorRequestNotComplete", "ServiceUnavailable"})
CHANGED = re.compile(r"but it (already exists|was not found)|do not match the current values", re.IGNORECASE)


def make(name: str, said: Mapping[str, Any], secret: str, directory: Directory) -> Route53:
    """Return the backend of the credential `name`.

    Options: `access_key_id`, whose secret access key is the secret; or `profile`, of AWS's own files; or neither, where
    boto3 finds credentials itself (environment, files, role of the machine). With `role_arn` (and `external_id`) that
    role is assumed by them. `url` of the API.

    Raises:
        AuthError: an option is none, or two do not go together.
    """
    check_options(name, "route53", said, OPTIONS)
    _boto3(name)
    url = secure(f'DNS credential "{name}"', str(said["url"])) if said.get("url") else None
    with explained(name):
        client = session(name, said, secret).client("route53", endpoint_url=url, config=_config())
    return Route53(name, client, directory)


def session(name: str, said: Mapping[str, Any], secret: str) -> Any:
    """Return a boto3 session with what the credential `name` says.

    Raises:
        AuthError: boto3 is missing, or options do not go together.
    """
    here = f'DNS credential "{name}"'
    boto3 = _boto3(name)
    key_id = said.get("access_key_id")
    if bool(key_id) != bool(secret):
        missing = "access_key_id" if secret else "the secret access key (secret, secret_file or secret_env)"
        raise AuthError(f"{here}: {missing} is missing; the two belong together.")
    if key_id and said.get("profile"):
        raise AuthError(f"{here}: it has access_key_id and profile; give one of them.")
    region = str(said.get("region") or "us-east-1")
    if key_id:
        key = {"aws_access_key_id": str(key_id), "aws_secret_access_key": check_secret(name, secret)}
        made = boto3.session.Session(**key, region_name=region)
    else:
        made = boto3.session.Session(profile_name=said.get("profile") or None, region_name=region)
    if not said.get("role_arn"):
        return made
    extra = {"ExternalId": str(said["external_id"])} if said.get("external_id") else {}
    role = made.client("sts", config=_config()).assume_role(
        RoleArn=str(said["role_arn"]), RoleSessionName="sendyard", **extra
    )["Credentials"]
    return boto3.session.Session(
        aws_access_key_id=role["AccessKeyId"],
        aws_secret_access_key=role["SecretAccessKey"],
        aws_session_token=role["SessionToken"],
        region_name=region,
    )


def _boto3(name: str) -> Any:
    """Return boto3, for which other providers need not wait."""
    try:
        import boto3  # noqa: PLC0415
    except ImportError as error:
        raise AuthError(
            f'DNS credential "{name}": provider route53 needs boto3 on the controller (requirements/run.txt).'
        ) from error
    return boto3


def _config() -> Any:
    from botocore.config import Config  # noqa: PLC0415

    return Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "adaptive", "max_attempts": TRIES},
        max_pool_connections=10,
    )


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what botocore raises into what to do; never with a secret, which botocore does not show."""
    from botocore import exceptions as boto  # noqa: PLC0415

    here = f'DNS credential "{name}"'
    try:
        yield
    except boto.ClientError as error:
        raise _refusal(here, error) from error
    except (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.ProfileNotFound,
        boto.TokenRetrievalError,
    ) as error:
        raise AuthError(
            f"{here}: {error}. Give access_key_id and a secret, a profile, or the machine a role."
        ) from error
    except boto.BotoCoreError as error:
        raise Transient(f"{here}: no answer of AWS: {error}") from error


def _refusal(here: str, error: Any) -> DnsError:
    """Return what a ClientError of botocore says, as an error of ours."""
    said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(said.get("Code", ""))
    texts = [str(said.get("Message", "")), *map(str, error.response.get("messages", ()))]  # of a batch they stand apart
    text = " ".join(" ".join(dict.fromkeys(texts)).split())[:SHOWN]
    what = f"{here}: AWS answers {error.operation_name} with {code}: {text}"
    if code in CLOCK or (code == "SignatureDoesNotMatch" and re.search("expired|not yet current", text)):
        return ClockError(f"{what}. Check the time of this machine (timedatectl).")
    if code in LATER or status >= 500:
        return Transient(f"{what}. What is left is done by a later run.")
    if code in NOT_ACCEPTED or status in (401, 403):
        return AuthError(f"{what}. See whether its key is valid, and what its policy allows (docs/dns-backends.md).")
    if code == "NoSuchHostedZone":
        return ZoneNotFound(what)
    if code == "InvalidChangeBatch" and CHANGED.search(text):
        return Conflict(f"{what}. Somebody else changed the same records since they were read.")
    return Unsupported(what)


class Route53(Backend):
    """The hosted zones that a credential sees."""

    caps = Caps(
        atomic="batch", compare_and_swap=True, value_level=False, sees_delegations=False, keeps_what_it_takes=True
    )

    def __init__(self, name: str, client: Any, directory: Directory) -> None:
        self._name = name
        self._client = client
        self._directory = directory
        self._sizes: dict[str, int] = {}  # record sets, by the ids of zones
        self._listed: dict[str, list[Mapping[str, Any]]] = {}  # read for the name servers, and used once more
        self._changes: list[str] = []
        self._lock = threading.Lock()

    def find_zones(self, names: Sequence[dns.name.Name]) -> Mapping[dns.name.Name, Zone | DnsError]:
        """Return the public zone of each name, from the list of all or, where that is shorter, asked for by name."""
        zones: dict[dns.name.Name, list[Zone]] = defaultdict(list)
        for said in self._all_zones(names):
            name = _name(said["Name"])
            if not said["Config"].get("PrivateZone"):
                self._sizes[said["Id"]] = int(said["ResourceRecordSetCount"])
                zones[name].append(Zone(name, said["Id"]))
        known = {name: self._asked_by_the_world(same) for name, same in zones.items()}
        return longest_zones(names, known, f'DNS credential "{self._name}" of Route 53')

    def name_servers(self, zone: Zone) -> tuple[str, ...]:
        """Return the targets of the NS records at the apex."""
        if self._pages(zone) == 1:
            self._listed[zone.token] = self._whole(zone)
            said = self._listed[zone.token]
        else:
            said = self._at(zone, zone.name)
        return tuple(
            sorted(
                str(_name(record["Value"]))
                for rrset in said
                if rrset["Type"] == "NS" and _name(rrset["Name"]) == zone.name
                for record in rrset.get("ResourceRecords", ())
            )
        )

    def read(self, zone: Zone, keys: Iterable[Key]) -> Found:
        """Return what stands at every key, out of the whole zone or, where that is shorter, name by name."""
        wanted = list(dict.fromkeys(keys))
        names = list(dict.fromkeys(key.name for key in wanted))
        said = self._listed.pop(zone.token, None)
        if said is None:
            by_name = self._pages(zone) > len(names)
            said = [rrset for name in names for rrset in self._at(zone, name)] if by_name else self._whole(zone)
        there: dict[tuple[dns.name.Name, str], list[Mapping[str, Any]]] = defaultdict(list)
        for rrset in said:
            there[_name(rrset["Name"]), rrset["Type"]].append(rrset)
        return reader.listed(wanted, lambda key: _rrset(key, there[key.name, dns.rdatatype.to_text(key.type)]))

    def batches(self, zone: Zone, changes: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """Return `changes` in batches of a size that AWS takes."""
        return portions(changes, _size, BATCH_CHARACTERS)

    def apply(self, zone: Zone, changes: Sequence[Change]) -> None:
        """Delete what stands, exactly as it was read, and create what should stand, in one batch."""
        gone = [_said(change.before) for change in changes if change.before and change.before.values]
        come = [_said(change.after) for change in changes if change.after and change.after.values]
        batch = [  # what goes first, so that a CNAME makes room for what comes at its name
            *({"Action": "DELETE", "ResourceRecordSet": said} for said in gone),
            *({"Action": "CREATE", "ResourceRecordSet": said} for said in come),
        ]
        with explained(self._name):
            done = self._client.change_resource_record_sets(HostedZoneId=zone.token, ChangeBatch={"Changes": batch})
        with self._lock:
            self._changes.append(done["ChangeInfo"]["Id"])

    def prove(self, zone: Zone, keys: Sequence[Key]) -> None:
        """Read, and ask to delete what nobody has: who may write learns that it is not there, others are refused."""
        self.read(zone, keys)
        batch = [
            {"Action": "DELETE", "ResourceRecordSet": _said(RRset(key, NOBODYS_TTL, (parse_value(key.type, text),)))}
            for key in keys
            if (text := NOBODYS_VALUES.get(dns.rdatatype.to_text(key.type))) is not None
        ]
        if batch:
            with suppress(Conflict, Unsupported), explained(self._name):
                self._client.change_resource_record_sets(HostedZoneId=zone.token, ChangeBatch={"Changes": batch})

    def settled(self, seconds: float) -> None:
        """Return when AWS says that all its name servers have the changes.

        Of what it was not asked about within the time, where there are hundreds of zones, the name servers tell.
        """
        expires = time.monotonic() + seconds
        while self._changes:
            late = [change for change in self._changes if time.monotonic() < expires and self._is_late(change)]
            self._changes = late
            if late and time.monotonic() + POLL_SECONDS > expires:
                raise Transient(
                    f'DNS credential "{self._name}": after {seconds:.0f} s Route 53 has not told all its name servers '
                    f"of {len(late)} changes ({', '.join(late[:3])}). As a rule that takes a minute; a later run looks "
                    "again."
                )
            if late:
                time.sleep(POLL_SECONDS)

    def _is_late(self, change: str) -> bool:
        with explained(self._name):
            return bool(self._client.get_change(Id=change)["ChangeInfo"]["Status"] != "INSYNC")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _all_zones(self, names: Sequence[dns.name.Name]) -> Iterator[Mapping[str, Any]]:
        with explained(self._name):
            page = self._client.list_hosted_zones(MaxItems=str(ZONES_A_PAGE))
            if not page["IsTruncated"]:
                yield from page["HostedZones"]
                return
            candidates = {dns.name.Name(name.labels[i:]) for name in names for i in range(len(name.labels) - 2)}
            count = self._client.get_hosted_zone_count()["HostedZoneCount"]
            if math.ceil(count / ZONES_A_PAGE) > len(candidates):
                for name in sorted(candidates):
                    found = self._client.list_hosted_zones_by_name(DNSName=str(name), MaxItems="10")["HostedZones"]
                    yield from (said for said in found if _name(said["Name"]) == name)
                return
            while True:
                yield from page["HostedZones"]
                if not page["IsTruncated"]:
                    return
                page = self._client.list_hosted_zones(MaxItems=str(ZONES_A_PAGE), Marker=page["NextMarker"])

    def _asked_by_the_world(self, zones: Sequence[Zone]) -> Sequence[Zone]:
        """Return the one of several zones of one name that the world asks; all of them where that is not one."""
        if len(zones) < 2:
            return zones
        try:
            world = set(self._directory.world(zones[0].name, ()))
        except DnsError:
            return zones
        asked = []
        for zone in zones:
            with explained(self._name):
                said = self._client.get_hosted_zone(Id=zone.token)["DelegationSet"]["NameServers"]
            if world & {str(_name(server)) for server in said}:
                asked.append(zone)
        return asked if len(asked) == 1 else zones

    def _pages(self, zone: Zone) -> int:
        return max(1, math.ceil(self._sizes.get(zone.token, 0) / SETS_A_PAGE))

    def _whole(self, zone: Zone) -> list[Mapping[str, Any]]:
        return self._sets(zone, {}, lambda _page: True)

    def _at(self, zone: Zone, name: dns.name.Name) -> list[Mapping[str, Any]]:
        """Return the record sets at a name: they follow each other."""

        def more(page: Sequence[Mapping[str, Any]]) -> bool:
            return bool(page) and _name(page[-1]["Name"]) == name

        start = {"StartRecordName": _octal(name.to_text()), "MaxItems": "10"}
        return [rrset for rrset in self._sets(zone, start, more) if _name(rrset["Name"]) == name]

    def _sets(
        self, zone: Zone, start: Mapping[str, str], more: Callable[[Sequence[Mapping[str, Any]]], bool]
    ) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        query = dict(start)
        while True:
            with explained(self._name):
                page = self._client.list_resource_record_sets(HostedZoneId=zone.token, **query)
            found += page["ResourceRecordSets"]
            if not page["IsTruncated"] or not more(page["ResourceRecordSets"]):
                return found
            query = {**query, "StartRecordName": page["NextRecordName"], "StartRecordType": page["NextRecordType"]}
            if identifier := page.get("NextRecordIdentifier"):
                query["StartRecordIdentifier"] = identifier
            else:
                query.pop("StartRecordIdentifier", None)


def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(_decimal(text)).canonicalize()


def _decimal(text: str) -> str:
    r"""Return a text of AWS's, whose escapes are octal (\052), with the decimal ones of zone files (\042)."""
    return re.sub(r"\\([0-3][0-7]{2}|.)", lambda m: f"\\{int(m[1], 8):03d}" if len(m[1]) == 3 else m[0], text)


def _octal(text: str) -> str:
    """Return a text of a zone file as AWS wants it."""
    return re.sub(r"\\([0-9]{3}|.)", lambda m: f"\\{int(m[1]):03o}" if len(m[1]) == 3 else m[0], text)


def _rrset(key: Key, said: Sequence[Mapping[str, Any]]) -> RRset | None:
    if not said:
        return None
    texts = [record["Value"] for rrset in said for record in rrset.get("ResourceRecords", ())]
    if key.type == dns.rdatatype.CNAME:
        texts += [rrset["AliasTarget"]["DNSName"] for rrset in said if "AliasTarget" in rrset]
    values = tuple(read_value(key.type, _decimal(text), text) for text in texts)
    return RRset(key, int(said[0].get("TTL", 0)), values, _locked(said))


def _locked(said: Sequence[Mapping[str, Any]]) -> str:
    """Return why record sets at one key cannot be written again as they are, "" where they can."""
    extra = sorted({field for rrset in said for field in rrset if field not in SIMPLE})
    if not extra:
        return ""
    if "SetIdentifier" in extra:
        return "Route 53 chooses there among several record sets (weights, places, health). Make it a simple one."
    if "AliasTarget" in extra:
        return f"Route 53 has an alias to {said[0]['AliasTarget']['DNSName']} there. Remove it, or use another name."
    return f"the record set has {', '.join(extra)} in Route 53, which would be lost. Change it there by hand."


def _said(rrset: RRset) -> dict[str, Any]:
    """Return a record set as AWS wants it: values that it said itself to the byte as it said them."""
    return {
        "Name": _octal(rrset.key.name.to_text()),
        "Type": dns.rdatatype.to_text(rrset.key.type),
        "TTL": rrset.ttl,
        "ResourceRecords": [{"Value": _text(value)} for value in rrset.values],
    }


def _text(value: Value) -> str:
    if value.token is not None:
        stands = read_value(value.rdata.rdtype, _decimal(value.token), None)
        if stands.wire == value.wire:
            return str(value.token)
    return _octal(value.rdata.to_text())


def _size(change: Change) -> int:
    """Return what a change takes of a batch, in characters; a batch has room for so many records, too."""
    values = [*(change.before.values if change.before else ()), *(change.after.values if change.after else ())]
    return max(sum(len(_text(value)) for value in values), len(values) * BATCH_CHARACTERS // BATCH_RECORDS)
