# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""Every kind of server that zones are published to: real ones of Debian, and the fakes of providers."""

from __future__ import annotations

from integration.dns.fake_cloudflare import Cloudflare
from integration.dns.fake_digitalocean import FakeDigitalOcean
from integration.dns.fake_gandi import FakeGandi
from integration.dns.fake_hetzner import Hetzner
from integration.dns.fake_route53 import FakeRoute53
from integration.dns.servers import Bind, Knot, NameServer, PowerDns

SERVERS: list[type[NameServer]] = [Knot, Bind, PowerDns, Cloudflare, FakeDigitalOcean, FakeGandi, FakeRoute53, Hetzner]
