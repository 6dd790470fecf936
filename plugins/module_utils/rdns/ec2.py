# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse DNS of Elastic IPs of EC2. AWS accepts a name, and has it in its zone some minutes later."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..dns.backends import AuthError, ClockError, Transient, Unsupported, check_options, route53
from ..dns.model import DnsError
from . import NotHeld, Standing, Unsettable

NEEDS_SECRET = False  # a profile, the environment or the instance's role may do
CONNECT_TIMEOUT, READ_TIMEOUT, TRIES = 10, 30, 4  # seconds, seconds, times
AT_A_TIME = 200  # values of a filter, which AWS takes at most
BUSY = frozenset({"InternalError", "InternalFailure", "RequestLimitExceeded", "ServiceUnavailable", "Unavailable"})
NOT_ALLOWED = (  # how the codes of errors begin
    "AccessDenied", "AuthFailure", "ExpiredToken", "InvalidClientTokenId", "OptInRequired", "SignatureDoesNotMatch",
    "Unauthorized", "UnrecognizedClient",
)  # fmt: skip


def make(name: str, said: Mapping[str, Any], secret: str) -> Ec2:
    """Return the credential `name` at work.

    Options: `region` of the Elastic IPs, and who we are, as of `route53.session`.

    Raises:
        AuthError: an option is none, `region` is missing, or we are not accepted.
    """
    check_options(name, "route53", said, route53.OPTIONS)
    if not said.get("region"):
        raise AuthError(
            f'DNS credential "{name}" has no region; Elastic IPs are of one. Say which, such as region: eu-central-1.'
        )
    made = _call(f'DNS credential "{name}"', lambda: route53.session(name, said, secret))
    from botocore.config import Config  # noqa: PLC0415  # `session` has seen that it is there

    retries = {"mode": "standard", "total_max_attempts": TRIES}
    config = Config(connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries=retries)
    where = f'DNS credential "{name}" in region {said["region"]}'
    return Ec2(_call(where, lambda: made.client("ec2", region_name=said["region"], config=config)), where)


class Ec2:
    """The Elastic IPs of one account in one region.

    Args:
        client: of boto3, for EC2.
        where: what errors call it.
    """

    def __init__(self, client: Any, where: str) -> None:
        self._client = client
        self._where = where
        self._allocations: dict[str, str] = {}  # their ids, by address

    def names(self, addresses: Sequence[str]) -> Mapping[str, Standing | DnsError]:
        """Return the name of each Elastic IP: the one to come, where AWS has accepted one."""
        wanted = [address for address in addresses if ipaddress.ip_address(address).version == 4]
        for start in range(0, len(wanted), AT_A_TIME):
            asked = [{"Name": "public-ip", "Values": wanted[start : start + AT_A_TIME]}]
            answer = self._ask("describe_addresses", Filters=asked)
            self._allocations |= {
                one["PublicIp"]: one["AllocationId"] for one in answer["Addresses"] if one.get("AllocationId")
            }
        held = [address for address in wanted if address in self._allocations]
        standing = dict(self._attributes([self._allocations[address] for address in held]))
        return {address: self._said(address, standing) for address in addresses}

    def set(self, address: str, name: str) -> None:
        """Ask AWS to have `address` called `name`; it looks whether the name leads to the address."""
        self._ask("modify_address_attribute", AllocationId=self._allocations[address], DomainName=name)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _attributes(self, allocations: Sequence[str]) -> Iterator[tuple[str, Standing]]:
        for start in range(0, len(allocations), AT_A_TIME):
            some = {"AllocationIds": allocations[start : start + AT_A_TIME], "Attribute": "domain-name"}
            more: dict[str, str] = {}
            while True:
                answer = self._ask("describe_addresses_attribute", **some, **more)
                yield from ((one["AllocationId"], _standing(one)) for one in answer["Addresses"])
                if not answer.get("NextToken"):
                    break
                more = {"NextToken": answer["NextToken"]}

    def _said(self, address: str, standing: Mapping[str, Standing]) -> Standing | DnsError:
        if ipaddress.ip_address(address).version == 6:
            return Unsettable(
                f"{address}: EC2 sets PTR records of Elastic IPs alone, which are IPv4. Leave this address out of "
                "sendyard_addresses, unless its PTR record is set in another way."
            )
        if address not in self._allocations:
            return NotHeld(
                f"{address} is no Elastic IP of {self._where}. An address that an instance was given when it started "
                "cannot have a name: allocate an Elastic IP, or name the credential and region that have it "
                "(sendyard_ptr_credential)."
            )
        return standing.get(self._allocations[address], Standing(None))

    def _ask(self, operation: str, **said: Any) -> Any:
        return _call(f"{self._where}: {operation}", lambda: getattr(self._client, operation)(**said))


def _standing(said: Mapping[str, Any]) -> Standing:
    update = said.get("PtrRecordUpdate") or {}
    status = str(update.get("Status") or "").upper()
    if status == "FAILED":
        return Standing(said.get("PtrRecord") or None, update.get("Reason") or "AWS does not say why")
    return Standing((update.get("Value") if status == "PENDING" else None) or said.get("PtrRecord") or None)


def _call(what: str, ask: Callable[[], Any]) -> Any:
    """Return what `ask` does, with the errors of botocore as ours; they hold no secrets."""
    from botocore import exceptions  # noqa: PLC0415  # as boto3

    try:
        return ask()
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        told = f"{what}: AWS answers {code}: {error.response.get('Error', {}).get('Message', '')}"
        if code.startswith(NOT_ALLOWED):
            raise AuthError(
                f"{told} See whether the key is valid, and whether its policy allows this (docs/dns-backends.md, PTR)."
            ) from error
        if code in ("RequestExpired", "RequestInTheFuture"):
            raise ClockError(f"{told} Set the clock of this machine.") from error
        if code in BUSY or "Throttl" in code:
            raise Transient(told) from error
        raise Unsupported(told) from error
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
        exceptions.ProfileNotFound,
        exceptions.InvalidRegionError,
    ) as error:
        raise AuthError(f"{what}: {error}") from error
    except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
        raise Transient(f"{what}: {error}") from error
