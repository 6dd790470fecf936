# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of replies: who says what, what it means, what to do here; each row with its source and a line.

Where a source has a code and its text but no whole reply, the line is put together from them.
The first row that fits explains a reply, so a row stands before those that are less specific. Words are looked for as
they are, without patterns: a row costs the length of the reply, whatever the reply is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .registry import Category, Retry, Source, registered
from .reply import Reply

# -- where the rows come from -----------------------------------------------------------------------------------------

GOOGLE = Source("https://support.google.com/a/answer/3726730", "2026-02-15")
YAHOO = Source("https://senders.yahooinc.com/smtp-error-codes", "2025-04-11")
YAHOO_LINES = Source("https://github.com/sisimai/p5-sisimai/blob/master/lib/Sisimai/Rhost/YahooInc.pm", "2026-11-27")
OUTLOOK = Source("https://sendersupport.olc.protection.outlook.com/pm/troubleshooting", "2025-08-02")
EXCHANGE = Source(
    "https://learn.microsoft.com/en-us/troubleshoot/exchange/email-delivery/ndr/"
    "non-delivery-reports-in-exchange-online",
    "2026-11-27",
)
EXCHANGE_LINES = Source(
    "https://github.com/sisimai/p5-sisimai/blob/master/lib/Sisimai/Rhost/Microsoft.pm", "2026-11-27"
)
EOP = Source("https://smtp.codes/exchangeonline", "2026-11-27")
HIGH_VOLUME = Source("https://techcommunity.microsoft.com/blog/microsoftdefenderforoffice365blog/4399730", "2025-08-02")
APPLE_RHOST = Source("https://github.com/sisimai/p5-sisimai/blob/master/lib/Sisimai/Rhost/Apple.pm", "2026-11-27")
APPLE_LINES = Source("https://smtp.codes/icloud", "2026-11-27")
GMX = Source("https://postmaster.gmx.com/en/error-messages", "2026-11-27")
IONOS = Source("https://ionos.de/hilfe/e-mail/postmaster/smtp-fehlermeldungen-der-11-ionos-mailserver", "2026-11-27")
UNITED = Source("https://smtp.codes/unitedinternet/", "2026-11-27")
TONLINE = Source("https://postmaster.t-online.de/index.en.html", "2026-11-27")
ORANGE = Source("https://github.com/sisimai/p5-sisimai/blob/master/lib/Sisimai/Rhost/FrancePTT.pm", "2026-11-27")
FREE = Source("http://postmaster.free.fr/", "2026-11-27")
SFR = Source("https://bentonow.com/smtp-errors/sfr", "2026-11-27")
COMCAST = Source("https://es.xfinity.com/support/articles/email-errors", "2026-11-27")
COMCAST_RATE = Source(
    "https://www.suped.com/learn/email-deliverability/how-to-resolve-comcast-email-rejections-and-throttling-issues",
    "2026-05-23",
)
SPECTRUM = Source("https://www.spectrumbusiness.net/support/internet/understanding-email-error-codes", "2026-11-27")
MIMECAST = Source(
    "https://mimecastsupport.zendesk.com/hc/en-us/articles/34000709564691-Policies-Mimecast-SMTP-Error-Codes",
    "2026-11-27",
)
PROOFPOINT = Source("https://ipcheck.proofpoint.com/", "2026-11-27")
BARRACUDA = Source("https://barracudacentral.org/lookups/reason", "2026-11-27")
CLOUDMARK = Source("https://csi.cloudmark.com/reasons-admin.php", "2026-11-27")
TREND = Source("https://ers.trendmicro.com/reputations", "2026-11-27")
SPAMHAUS = Source("https://check.spamhaus.org/", "2026-11-27")
SPAMCOP = Source("https://www.spamcop.net/bl.shtml", "2026-11-27")
QQ = Source("https://smtp.codes/qq", "2026-11-27")
NETEASE = Source("https://biecuoliao.com/pa/MBRrwEM.html", "2026-11-27")
YANDEX = Source(
    "https://yandex.com/support/mail/bounces/yandex/message-rejected-under-suspicion-of-spam.html", "2026-11-27"
)
RACKSPACE = Source("https://smtp.codes/rackspace", "2026-11-27")
CLOUDFLARE = Source("https://developers.cloudflare.com/email-routing/postmaster/", "2026-11-27")
BOUNCES_KUMO = Source("https://github.com/KumoCorp/kumomta/blob/main/assets/community/bounces.toml", "2026-11-27")
BOUNCES = Source("https://github.com/zone-eu/zone-mta/blob/master/config/bounces.txt", "2026-11-27")
POSTFIX = Source("https://www.postfix.org/postconf.5.html", "2026-11-27")
POSTGREY = Source("http://postgrey.schweikert.ch/", "2026-11-27")
OWN = Source("docs/operate.md", "2026-11-27")
RFC5321 = Source("https://www.rfc-editor.org/rfc/rfc5321#section-4.2", "2026-11-27")
RFC7372 = Source("https://www.rfc-editor.org/rfc/rfc7372", "2026-11-27")
RFC7505 = Source("https://www.rfc-editor.org/rfc/rfc7505", "2026-11-27")

# -- what to do here --------------------------------------------------------------------------------------------------

SLOWER = (
    "Nothing for what waits: Postfix tries again by itself (`postqueue -p` shows it). Send less from now on: set "
    "`limits` in the domain's file (docs/operate.md), run site.yml, and raise them again from day to day."
)
WARM_UP = (
    "Send less, and first to those who read it: set `limits` in the domain's file (docs/operate.md), run "
    "site.yml, raise them from day to day. In the application, leave out whoever has not opened anything for "
    "months."
)
WAIT = (
    "Nothing: Postfix tries again by itself for `sendyard_queue_lifetime`. `postqueue -p` on the host shows what waits."
)
PTR = (
    "Have the PTR record of the sending address set to the server's name, at the provider or by "
    "`sendyard_ptr_credential`, and run playbooks/publish.yml. With `sendyard_require_ptr` nothing is sent from "
    "an address without it."
)
SPF = (
    "Name every address that mail leaves from in `sendyard_addresses` and run playbooks/publish.yml -e "
    "sendyard_publish_all=true; the domain may have one SPF record only. Then playbooks/prove.yml -e "
    "sendyard_prove_all=true."
)
DKIM = (
    "Run playbooks/publish.yml -e sendyard_publish_all=true, then playbooks/prove.yml -e sendyard_prove_all=true: "
    "delivered.signature in the scorecard tells whether the key's record or the way is at fault."
)
AUTHENTICATE = (
    "Run playbooks/publish.yml -e sendyard_publish_all=true, which writes SPF, DKIM and DMARC, then "
    "playbooks/prove.yml -e sendyard_prove_all=true: the scorecard tells which of them a receiver does not see."
)
DMARC = (
    "Give the domain a `dmarc_policy` in its file (`none` will do), or set `sendyard_dmarc_policy`; run "
    "playbooks/publish.yml."
)
ALIGN = (
    "The domain of From: must be the one that signs or that of the envelope sender: send with a login of that "
    "very domain. Run playbooks/prove.yml -e sendyard_prove_all=true and see delivered.dmarc."
)
ENCRYPT = (
    "Run playbooks/prove.yml and see delivered.tls. site.yml has Postfix take TLS wherever it is offered; what "
    "strips STARTTLS on the way is the provider's to remove."
)
DELIST = (
    "Look the address up where the reply says. Find the login that sent it in /var/log/sendyard/postfix.log, take "
    "it out of its domain's file and run site.yml; then ask the list to remove the address. Where you have "
    "another address, send from that meanwhile (`sendyard_addresses`)."
)
DELIST_DOMAIN = (
    "Look up the domains of From:, the links and the envelope at the list. Stop what got them listed, ask the "
    "list to remove them; another sending address does not help."
)
CONTENT = (
    "Mend the message in the application (links, attachments, header); the same one again makes the reputation worse."
)
HEADER = "Mend the message in the application: RFC 5322 wants each of From, Date and Message-ID once and well-formed."
FORGET = (
    "Take the address off your lists, in the application; Sendyard keeps none. Many such addresses cost reputation."
)
FULL = "Nothing now; leave the address out in the application where it stays like this for two weeks."
SMALLER = (
    "Send a link rather than the attachment. Lower `sendyard_message_size_limit` and run site.yml, so that "
    "clients are told at once."
)
ASK = "Ask the recipient, by another way, to have their administrator allow you; no setting here changes it."
ASK_RECEIVER = (
    "Write to the address or form that the reply names, with the sending address and this line; then wait a day."
)
NAME = (
    "Run site.yml: it has Postfix greet with `sendyard_fqdn`. Its A, AAAA and PTR records must agree "
    "(playbooks/publish.yml)."
)
RECORDS = (
    "Run playbooks/publish.yml -e sendyard_publish_all=true: the sender's domain needs an MX or an address that "
    "the world sees."
)
RELAY = "Ask who runs the recipient's domain: its MX leads to a server that does not take its mail."
LOG = "Look at /var/log/sendyard/postfix.log on the host, and run playbooks/prove.yml."
NETWORK = (
    "Run playbooks/preflight.yml: it tells whether port 25 is open on the way out. Where it is, the receiver is "
    "down, and Postfix tries again by itself."
)

SLOWER_GMAIL = (
    "Let Gmail rest for ten minutes, then go on with little, and more from day to day: set `limits` in the "
    "domain's file (docs/operate.md), run site.yml. Postfix tries again by itself. Postmaster Tools shows the "
    "spam rate; keep it below 0.1%."
)
SLOWER_MS = (
    "Nothing for what waits: Postfix tries again by itself. Enrol the address in SNDS and JMRP, set `limits` in "
    "the domain's file, run site.yml, and raise them from day to day."
)
SLOWER_BACK = (
    "Send it again tomorrow, and less from now on: set `limits` in the domain's file (docs/operate.md), run site.yml."
)
LATER = "Send it again in an hour or later, and fewer messages to this one recipient."
RECORDS_ANSWER = (
    "Look whether the domain's name servers all answer: playbooks/publish.yml -e sendyard_publish_all=true asks "
    "each of them."
)
ASK_PROVIDER = (
    "Ask the provider whether mail may be sent from this address, and to have it taken out of lists of dial-up "
    "lines; or send from another (`sendyard_addresses`). Its PTR record must be the server's name "
    "(playbooks/publish.yml)."
)
PROVE_RELAY = (
    "Run playbooks/prove.yml: relay.refused in the scorecard tells. If it passes, ask at "
    "https://olcsupport.office.com/ for the block's end."
)
DELIST_MS = (
    "Ask at https://olcsupport.office.com/ for the block's end, with the address and this line. Enrol it in SNDS "
    "and JMRP to see complaints. Send little to Outlook.com until then (`limits` in the domain's file)."
)
DELIST_OFFICE = (
    "Ask at https://sender.office.com/ for the address's removal; find and stop what sent spam first "
    "(/var/log/sendyard/postfix.log)."
)
DELIST_MAIL = (
    "Forward this reply to delist@messaging.microsoft.com; find and stop what sent spam first "
    "(/var/log/sendyard/postfix.log)."
)
ASK_APPLE = (
    "Look at links and content; if they are fine, write to icloudadmin@apple.com with this line from the mail log."
)
ASK_TONLINE = (
    "Write to the address in the reply, with the sending address. T-Online wants the PTR record to be the "
    "server's name, and an imprint with who runs it on a web page of that name."
)
DELIST_PROOFPOINT = (
    "Look the address up at https://ipcheck.proofpoint.com/ and ask there for its removal; find and stop what "
    "sent spam first."
)
DELIST_BARRACUDA = (
    "Look the address up at https://www.barracudacentral.org/lookups and ask there for its removal; find and stop "
    "what sent spam first."
)
DELIST_CLOUDMARK = (
    "Ask at https://csi.cloudmark.com/en/reset/ for a reset; find and stop what sent spam first "
    "(/var/log/sendyard/postfix.log)."
)
DELIST_TALOS = (
    "Look the address up at https://talosintelligence.com/reputation_center; find and stop what sent spam. The "
    "reputation comes back by itself."
)
DELIST_SPAMHAUS = (
    "Look the address up at https://check.spamhaus.org/, which says why. Find and stop what sent spam "
    "(/var/log/sendyard/postfix.log), then ask there for its removal."
)
NULL_MX = "Take the null MX record out of the domain's zone, or send with an envelope sender of another domain."
RAISE = (
    "Wait as long as it says. A higher limit: `limits` in the domain's file, or `sendyard_login_hourly_limit` and "
    "its sisters; run site.yml."
)
LOGIN = "Use a login of the domain you send as: `logins` in that domain's file (docs/operate.md), run site.yml."
LOGIN_ANEW = (
    "Set the login's token in the client anew; a new one is made by script/new-login (docs/operate.md), then run "
    "site.yml."
)
RESOLVER = (
    "Nothing, where it is one domain. Where it is all of them: `systemctl status unbound` on the host, and port "
    "53 on the way out."
)
THEIR_TLS = (
    "Tell who runs the receiver: their TLSA records and certificate do not fit. Mail waits for "
    "`sendyard_queue_lifetime`."
)
EARLIER = "Look for the queue id in /var/log/sendyard/postfix.log and explain the receiver's reply that stands there."


@dataclass(frozen=True)
class Advice:
    """What is said of a category where no row says more."""

    meaning: str
    to_do: str


ADVICE: Mapping[Category, Advice] = {
    Category.ACCEPTED: Advice("The receiver accepted it.", "Nothing."),
    Category.RATE: Advice("More mail, or more connections, than the receiver takes from this sender.", SLOWER),
    Category.REPUTATION: Advice("The receiver does not trust the sending address or the domain.", WARM_UP),
    Category.AUTHENTICATION: Advice("SPF, DKIM or DMARC did not pass at the receiver.", AUTHENTICATE),
    Category.LISTED: Advice("The sending address is on a block list.", DELIST),
    Category.CONTENT: Advice("The receiver does not take this message as it is.", CONTENT),
    Category.RECIPIENT: Advice("The recipient's address cannot take mail.", FORGET),
    Category.SIZE: Advice("The mailbox is full, or the message is too large for it.", FULL),
    Category.POLICY: Advice(
        "A rule of the receiver is against it; its text says which, if anything does.", ASK_RECEIVER
    ),
    Category.TLS: Advice("The receiver wants encryption that it did not get.", ENCRYPT),
    Category.DNS: Advice("A record that the receiver looked up is missing or wrong, or was not answered.", RECORDS),
    Category.THEIRS: Advice("The receiver has trouble of its own, or wants to be asked again.", WAIT),
    Category.OURS: Advice("The receiver did not like how this server, or its client, talks.", LOG),
    Category.UNKNOWN: Advice(
        "Nothing is known about it.", "Paste the receiver's whole reply, as the mail log has it behind `status=`."
    ),
}


@dataclass(frozen=True)
class Rule:
    """One row: the replies it fits, what they mean, and a line (addresses replaced) that it must explain.

    `codes` are reply codes or their first digits, `statuses` enhanced status codes, both separated by blanks; empty
    fits any. "0" as a code stands for no reply at all: Postfix tells of its own trouble. Each of `words`, in lower
    case, must be in the reply; "a|b" is either of them.
    """

    name: str
    says: str
    codes: str
    statuses: str
    words: tuple[str, ...]
    category: Category
    retry: Retry
    source: Source
    meaning: str
    to_do: str
    line: str

    def fits(self, reply: Reply) -> bool:
        """True where `reply` is one of this row's."""
        if self.statuses and reply.status not in self.statuses.split():
            return False
        if self.codes and not any(_is_code(reply, code) for code in self.codes.split()):
            return False
        if not self.words and self.says and reply.host and registered(reply.status) and reply.receiver != self.says:
            return False  # a registered code alone is anybody's
        text = reply.text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        return all(any(word in text for word in either.split("|")) for either in self.words)


def _is_code(reply: Reply, code: str) -> bool:
    if reply.code:
        return str(reply.code).startswith(code)
    return code == "0" or code[0] == reply.status[:1]


# -- the rows ---------------------------------------------------------------------------------------------------------

# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("gmail-rate-address", "Gmail", "421 550", "4.7.28 5.7.28", ("originating from your ip address",),
         Category.RATE, Retry.BY_ITSELF, GOOGLE,
         "Too much unsolicited mail came from this address lately.",
         SLOWER_GMAIL,
         "421-4.7.28 [192.0.2.25] Gmail has detected an unusual rate of unsolicited mail originating from your IP "
         "address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited. "
         "For more information, go to 421 4.7.28 https://support.google.com/mail/?p=UnsolicitedRateLimitError "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-rate-netblock", "Gmail", "421 550", "4.7.28 5.7.28", ("ip netblock",),
         Category.RATE, Retry.BY_ITSELF, GOOGLE,
         "Too much unsolicited mail came from the network that this address is in: neighbours count too.",
         SLOWER_GMAIL,
         "421-4.7.28 Gmail has detected an unusual rate of unsolicited email originating from your IP Netblock "
         "[192.0.2.0/24]. To protect our users from spam, email sent from your IP Netblock has been temporarily rate "
         "limited. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-rate-dkim", "Gmail", "421 550", "4.7.28 5.7.28", ("dkim domain",),
         Category.RATE, Retry.BY_ITSELF, GOOGLE,
         "Too much unsolicited mail was signed by this domain lately, from whatever address.",
         SLOWER_GMAIL,
         "421-4.7.28 Gmail has detected an unusual rate of unsolicited email originating from your DKIM domain "
         "[acme.example 35]. To protect our users from spam, email sent from your domain has been temporarily rate "
         "limited. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-rate-spf", "Gmail", "421 550", "4.7.28 5.7.28", ("spf domain",), Category.RATE, Retry.BY_ITSELF, GOOGLE,
         "Too much unsolicited mail had an envelope sender of this domain lately.",
         SLOWER_GMAIL,
         "421-4.7.28 Gmail has detected an unusual rate of unsolicited email originating from your SPF domain "
         "[acme.example 35]. To protect our users from spam, email sent from your domain has been temporarily rate "
         "limited. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-rate-link", "Gmail", "421 550", "4.7.28 5.7.28", ("url domain",),
         Category.RATE, Retry.BY_ITSELF, GOOGLE,
         "Too much unsolicited mail has a link to a domain that is in this message.",
         CONTENT,
         "421-4.7.28 Gmail has detected an unusual rate of unsolicited email containing one of your URL domains. To "
         "protect our users from spam, email with the URL has been temporarily rate limited. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-same-message-id", "Gmail", "421", "4.7.28", ("same message-id",),
         Category.CONTENT, Retry.MENDED, GOOGLE,
         "Many messages have the same Message-ID.",
         HEADER,
         "421-4.7.28 Gmail has detected this sender exceeded the quota for sending messages that have the same "
         "Message-ID:. To best protect our users, the message has been temporarily rejected. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-rate", "Gmail", "421 550", "4.7.28 5.7.28", (), Category.RATE, Retry.BY_ITSELF, GOOGLE,
         "More mail than Gmail takes from this sender now.",
         SLOWER_GMAIL,
         "421-4.7.28 Gmail has detected an unusual rate of email. To protect our users from spam, email has been "
         "temporarily rate limited. To review our bulk email senders guidelines, go to 421 4.7.28 "
         "https://support.google.com/mail/?p=UnsolicitedRateLimitError "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-rate-old", "Gmail", "421", "4.7.0", ("unusual rate of unsolicited mail|unusual amount of",),
         Category.RATE, Retry.BY_ITSELF, GOOGLE,
         "Too much unsolicited mail came from this address lately.",
         SLOWER_GMAIL,
         "421-4.7.0 [192.0.2.25] Our system has detected an unusual rate of 421-4.7.0 unsolicited mail originating "
         "from your IP address. To protect our 421-4.7.0 users from spam, mail sent from your IP address has been "
         "temporarily 421-4.7.0 rate limited. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-ptr", "Gmail", "451 421 550", "4.7.23 5.7.25 4.7.0", ("ptr record", "dns entry|forwarding dns"),
         Category.DNS, Retry.MENDED, GOOGLE,
         "The sending address has no PTR record, or the name in it does not lead back to the address.",
         PTR,
         "550-5.7.25 [192.0.2.25] The IP address sending this message does not have a PTR record setup, or the "
         "corresponding forward DNS entry does not match the sending IP. As a policy, Gmail does not accept messages "
         "from IPs with missing PTR records. Please visit 550-5.7.25 "
         "https://support.google.com/a/answer/81126#ip-practices for more 550 5.7.25 information. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-ipv6", "Gmail", "550", "5.7.1", ("ipv6 sending guidelines",), Category.DNS, Retry.MENDED, GOOGLE,
         "An IPv6 address of this server has no PTR record, or the message was not authenticated; over IPv6 Gmail "
         "insists.",
         PTR,
         "550-5.7.1 [2001:db8::25] Our system has detected that this message does not meet IPv6 sending guidelines "
         "regarding PTR records and authentication. Please review 550-5.7.1 "
         "https://support.google.com/mail/?p=IPv6AuthError for more information. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-spf-suspicious", "Gmail", "451 550", "4.7.24 5.7.24", ("suspicious entries",),
         Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "The domain's SPF record allows far too much (+all, or half of the internet).",
         SPF,
         "550-5.7.24 The SPF record of the sending domain has one or more suspicious entries. For more information, "
         "go to 550 5.7.24 https://support.google.com/mail/?p=SPFSuspicious "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-dmarc-dns", "Gmail", "451", "4.7.26", ("temporary dns failures",),
         Category.DNS, Retry.BY_ITSELF, GOOGLE,
         "The domain's DMARC policy asks for authentication, and its name servers did not answer Gmail.",
         RECORDS_ANSWER,
         "451-4.7.26 Unauthenticated email from acme.example is not accepted due to domain's DMARC policy, but "
         "temporary DNS failures prevent authentication. Please contact the administrator of acme.example domain if "
         "this was a legitimate email. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-dmarc-policy", "Gmail", "550", "5.7.26 5.7.1", ("unauthenticated email from", "dmarc policy"),
         Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "The domain of From: has a DMARC policy of reject or quarantine, and neither SPF nor DKIM passed for it.",
         AUTHENTICATE,
         "550-5.7.26 Unauthenticated email from acme.example is not accepted due to domain's 550-5.7.26 DMARC "
         "policy. Please contact the administrator of acme.example domain if 550-5.7.26 this was legitimate email. "
         "To learn about the DMARC initiative, go to 550 5.7.26 https://support.google.com/mail/?p=DmarcRejection "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-spf-hardfail", "Gmail", "550", "5.7.26", ("spf record with a hard fail policy",),
         Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "The SPF record of the envelope sender's domain ends in -all and does not have this address.",
         SPF,
         "550-5.7.26 The MAIL FROM domain [acme.example] has an SPF record with a hard fail 550-5.7.26 policy (-all) "
         "but it fails to pass SPF checks with the ip: 550-5.7.26 [192.0.2.25]. To best protect our users from spam "
         "and phishing, 550-5.7.26 the message has been blocked. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - "
         "gsmtp"),
    Rule("gmail-unauthenticated", "Gmail", "421 550", "4.7.26 5.7.26",
         ("unauthenticated|does not pass authentication|does not have authentication",),
         Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "Neither SPF nor DKIM passed; Gmail wants one of them from everybody.",
         AUTHENTICATE,
         "550-5.7.26 Your email has been blocked because the sender is unauthenticated. 550-5.7.26 Gmail requires "
         "all senders to authenticate with either SPF or DKIM. 550-5.7.26 550-5.7.26  Authentication results: "
         "550-5.7.26  DKIM = did not pass 550-5.7.26  SPF [acme.example] with ip: [192.0.2.25] = did not pass "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-spf", "Gmail", "421 550", "4.7.27 5.7.27", ("spf",), Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "SPF did not pass; Gmail wants it of who sends 5 000 messages a day or more.",
         SPF,
         "550-5.7.27 Your email has been blocked because SPF authentication didn't pass for this message. Gmail "
         "requires all bulk email senders to authenticate their email with SPF. 550-5.7.27 Authentication results: "
         "SPF acme.example with IP address: 192.0.2.25 = Did not pass. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-tls", "Gmail", "421 550", "4.7.29 5.7.29", ("tls",), Category.TLS, Retry.MENDED, GOOGLE,
         "The message did not come over TLS; Gmail wants it of who sends 5 000 messages a day or more.",
         ENCRYPT,
         "550-5.7.29 Your email has been blocked because it was not sent over a TLS connection. Gmail requires all "
         "bulk email senders to use TLS/SSL for SMTP connections. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 "
         "- gsmtp"),
    Rule("gmail-dkim", "Gmail", "421 550", "4.7.30 5.7.30", ("dkim",), Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "DKIM did not pass; Gmail wants it of who sends 5 000 messages a day or more.",
         DKIM,
         "550-5.7.30 Your email has been blocked because DKIM authentication didn't pass for this message. Gmail "
         "requires all email bulk senders to authenticate their email with DKIM. 550-5.7.30 Authentication results: "
         "DKIM = Did not pass. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-dmarc-missing", "Gmail", "421 550", "4.7.31 5.7.31 4.7.40 5.7.40", ("dmarc record",),
         Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "The domain of From: has no DMARC record, or one without a policy.",
         DMARC,
         "421-4.7.40 Your email has been rate limited because the sending domain doesn't have a DMARC record, or the "
         "DMARC record doesn't specify a DMARC policy. Gmail requires all bulk email senders to add a DMARC record "
         "to their sending domain. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-alignment", "Gmail", "421 550", "4.7.32 5.7.32", (), Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "SPF or DKIM passed, but for another domain than that of From:.",
         ALIGN,
         "421-4.7.32 Your email has been rate limited because the From: header (RFC5322) in this message isn't "
         "aligned with either the authenticated SPF or DKIM organizational domain. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-reputation-address", "Gmail", "421 550", "4.7.0 5.7.1", ("very low reputation of the sending ip",),
         Category.REPUTATION, Retry.MENDED, GOOGLE,
         "The sending address has sent what Gmail's users call spam.",
         WARM_UP,
         "550-5.7.1 [192.0.2.25 19] Gmail has detected that this message is likely suspicious due to the very low "
         "reputation of the sending IP address. To best protect our users from spam, the message has been blocked. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-reputation-domain", "Gmail", "421 550", "4.7.0 5.7.1", ("very low reputation of the sending domain",),
         Category.REPUTATION, Retry.MENDED, GOOGLE,
         "Gmail's users call this domain's mail spam; another address does not help.",
         WARM_UP,
         "550-5.7.1 [192.0.2.25 19] Gmail has detected that this message is likely 550-5.7.1 suspicious due to the "
         "very low reputation of the sending domain. To 550-5.7.1 best protect our users from spam, the message has "
         "been blocked. abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-content-links", "Gmail", "421 550", "4.7.0 5.7.1", ("nature of the content",),
         Category.CONTENT, Retry.MENDED, GOOGLE,
         "The text, or a domain that it links to, looks like spam.",
         CONTENT,
         "421-4.7.0 [192.0.2.25 15] Our system has detected that this message is suspicious due to the nature of the "
         "content and/or the links within. To best protect our users from spam, the message has been blocked. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-spam", "Gmail", "550", "5.7.1", ("likely unsolicited", "gsmtp|gmail"),
         Category.CONTENT, Retry.MENDED, GOOGLE,
         "Gmail takes this message for spam.",
         CONTENT,
         "550-5.7.1 [192.0.2.25 12] Our system has detected that this message is 550-5.7.1 likely unsolicited mail. "
         "To reduce the amount of spam sent to Gmail, 550-5.7.1 this message has been blocked. Please visit "
         "550-5.7.1 https://support.google.com/mail/?p=UnsolicitedMessageError 550 5.7.1 for more information. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-direct", "Gmail", "550", "5.7.1", ("not authorized to send email directly",),
         Category.LISTED, Retry.MENDED, GOOGLE,
         "The address is in a range of dial-up lines or of a provider whose servers may not send themselves.",
         ASK_PROVIDER,
         "550-5.7.1 [192.0.2.25] The IP you're using to send mail is not authorized to 550-5.7.1 send email directly "
         "to our servers. Please use the SMTP relay at your 550-5.7.1 service provider instead. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-header", "Gmail", "550", "5.7.1", ("rfc 5322|from: header|message-id: header", "gsmtp|gmail"),
         Category.CONTENT, Retry.MENDED, GOOGLE,
         "The header is not as RFC 5322 has it: a field is missing, twice there or malformed.",
         HEADER,
         "550-5.7.1 [192.0.2.25 11] Our system has detected that this message is 550-5.7.1 not RFC 5322 compliant: "
         "duplicate headers. To reduce the amount of spam sent 550-5.7.1 to Gmail, this message has been blocked. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-attachment", "Gmail", "552", "5.7.0", ("potential security issue",),
         Category.CONTENT, Retry.NEVER, GOOGLE,
         "An attachment is of a kind that Gmail does not take (programs, scripts, archives that hold them).",
         CONTENT,
         "552-5.7.0 This message was blocked because its content presents a potential 552-5.7.0 security issue. To "
         "review our message content and attachment content 552-5.7.0 guidelines, go to 552 5.7.0 "
         "https://support.google.com/mail/?p=BlockedMessage abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - "
         "gsmtp"),
    Rule("gmail-customer-policy", "Gmail", "550", "5.7.1", ("has a policy that prohibit| gcdp ",),
         Category.POLICY, Retry.NEVER, GOOGLE,
         "A rule that the administrator of the recipient's domain wrote is against it.",
         ASK,
         "550-5.7.1 The user or domain that you are sending to (or from) has a policy that 550-5.7.1 prohibited the "
         "mail that you sent. Please contact your domain 550-5.7.1 administrator for further details. For more "
         "information, go to 550 5.7.1 https://support.google.com/a/answer/172179 "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-tls-recipient", "Gmail", "421", "4.7.0", ("tls required for rcpt domain",),
         Category.TLS, Retry.MENDED, GOOGLE,
         "The recipient's domain takes mail over TLS only.",
         ENCRYPT,
         "421 4.7.0 TLS required for RCPT domain, closing connection. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-allowlist", "Gmail", "421", "4.7.0", ("not in whitelist for rcpt domain",),
         Category.POLICY, Retry.NEVER, GOOGLE,
         "The recipient's domain takes mail from listed addresses only.",
         ASK,
         "421 4.7.0 IP not in whitelist for RCPT domain, closing connection. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-recipient-rate", "Gmail", "450", "4.2.1", ("is receiving mail|is receiving email",),
         Category.RATE, Retry.BY_ITSELF, GOOGLE,
         "The recipient gets more mail than Gmail allows, from everybody together.",
         WAIT,
         "450-4.2.1 The user you are trying to contact is receiving mail at a rate that 450-4.2.1 prevents "
         "additional messages from being delivered. Please resend your 450-4.2.1 message at a later time. If the "
         "user is able to receive mail at that 450-4.2.1 time, your message will be delivered. "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-recipient-rate-lasting", "Gmail", "550", "5.2.1", ("is receiving mail|is receiving email",),
         Category.RATE, Retry.MENDED, GOOGLE,
         "The recipient gets more mail than Gmail allows, and this message will not be taken.",
         LATER,
         "550-5.2.1 The user you are trying to contact is receiving mail at a rate that 550-5.2.1 prevents "
         "additional messages from being delivered. For more 550-5.2.1 information, please visit 550 5.2.1 "
         "https://support.google.com/mail/?p=ReceivingRatePerm abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - "
         "gsmtp"),
    Rule("gmail-full", "Gmail", "452", "4.2.2", ("out of storage space|over quota", "gsmtp|google"),
         Category.SIZE, Retry.BY_ITSELF, GOOGLE,
         "The recipient's storage is full.",
         FULL,
         "452-4.2.2 The recipient's inbox is out of storage space. Please direct the 452-4.2.2 recipient to 452 "
         "4.2.2  https://support.google.com/mail/?p=OverQuotaTemp abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 "
         "- gsmtp"),
    Rule("gmail-full-inactive", "Gmail", "552", "5.2.2", ("out of storage space",),
         Category.RECIPIENT, Retry.NEVER, GOOGLE,
         "The recipient's storage is full, and nobody uses the account.",
         FORGET,
         "552-5.2.2 The recipient's inbox is out of storage space and inactive. Please 552-5.2.2 direct the "
         "recipient to 552 5.2.2  https://support.google.com/mail/?p=OverQuotaPerm "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-no-such-user", "Gmail", "550", "5.1.1", ("email account that you tried to reach does not exist",),
         Category.RECIPIENT, Retry.NEVER, GOOGLE,
         "There is no such account.",
         FORGET,
         "550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 double-checking "
         "the recipient's email address for typos or 550-5.1.1 unnecessary spaces. For more information, go to 550 "
         "5.1.1  https://support.google.com/mail/?p=NoSuchUser abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - "
         "gsmtp"),
    Rule("gmail-inactive", "Gmail", "550", "5.2.1", ("email account that you tried to reach is",),
         Category.RECIPIENT, Retry.NEVER, GOOGLE,
         "The account is disabled or was not used for long.",
         FORGET,
         "550-5.2.1 The email account that you tried to reach is inactive. For more 550-5.2.1 information, go to 550 "
         "5.2.1  https://support.google.com/mail/?p=DisabledUser abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - "
         "gsmtp"),
    Rule("gmail-too-large", "Gmail", "552", "5.3.4", ("google's",), Category.SIZE, Retry.NEVER, GOOGLE,
         "The message, its header or one attachment is larger than Gmail takes.",
         SMALLER,
         "552-5.3.4 Your message exceeded Google's message size limits. To view our 552-5.3.4 message size "
         "guidelines, go to 552 5.3.4  https://support.google.com/mail/?p=MaxSizeError "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("gmail-busy", "Gmail", "421 451", "4.3.0 4.4.5 4.7.0 4.4.2", ("gsmtp",),
         Category.THEIRS, Retry.BY_ITSELF, GOOGLE,
         "Gmail is busy, or closed an idle connection.",
         WAIT,
         "421 4.3.0 Temporary System Problem.  Try again later (10). "
         "abc123-20020a05600c1d0a00b0041668bbsi123456wmb.12 - gsmtp"),
    Rule("yahoo-listed", "Yahoo", "553", "5.7.1", ("[bl|[tss07]",), Category.LISTED, Retry.MENDED, YAHOO_LINES,
         "The sending address is on a list of Spamhaus.",
         DELIST,
         "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.25, because the ip is in Spamhaus's list; "
         "see https://postmaster.yahooinc.com/error-codes"),
    Rule("yahoo-blocked", "Yahoo", "553", "5.7.2", ("will be permanently deferred",),
         Category.REPUTATION, Retry.MENDED, YAHOO_LINES,
         "Yahoo takes nothing from this address any more, because of complaints.",
         WARM_UP,
         "553 5.7.2 [TSS09] All messages from 192.0.2.25 will be permanently deferred; Retrying will NOT succeed. "
         "See https://postmaster.yahooinc.com/error-codes"),
    Rule("yahoo-blocked-for-long", "Yahoo", "421", "4.7.1", ("will be permanently deferred",),
         Category.REPUTATION, Retry.MENDED, YAHOO,
         "Yahoo takes nothing from this address for long: complaints, content or too much of it.",
         WARM_UP,
         "421 4.7.1 [TS03] All messages from 192.0.2.25 will be permanently deferred; Retrying will NOT succeed. See "
         "https://postmaster.yahooinc.com/error-codes"),
    Rule("yahoo-deferred", "Yahoo", "421 451", "4.7.0 4.7.1", ("temporarily deferred", "user complaints|[ts|[ipts"),
         Category.REPUTATION, Retry.BY_ITSELF, YAHOO_LINES,
         "Yahoo saw more mail than it knows from this address, or its users complained.",
         SLOWER,
         "421 4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred due to unexpected volume or user "
         "complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes"),
    Rule("yahoo-per-connection", "Yahoo", "421", "", ("max message per connection reached",),
         Category.RATE, Retry.BY_ITSELF, YAHOO_LINES,
         "So many messages are taken over one connection and no more; the next one takes the rest.",
         WAIT,
         "421 Max message per connection reached, closing transmission channel"),
    Rule("yahoo-recipient-rate", "Yahoo", "450", "", ("user is receiving mail too quickly",),
         Category.RATE, Retry.BY_ITSELF, YAHOO_LINES,
         "The recipient gets more mail than Yahoo allows.",
         WAIT,
         "450 User is receiving mail too quickly"),
    Rule("yahoo-busy", "Yahoo", "451", "", ("resources temporarily unavailable",),
         Category.THEIRS, Retry.BY_ITSELF, YAHOO,
         "Yahoo's servers are busy.",
         WAIT,
         "451 mta1234.mail.bf1.yahoo.com Resources temporarily unavailable. Please try again later [#4.16.1]."),
    Rule("yahoo-sender-domain", "Yahoo", "451 554", "",
         ("unresolvable rfc.5321 from domain|unresolvable rfc.5322 from domain",),
         Category.DNS, Retry.MENDED, YAHOO_LINES,
         "The domain of the envelope sender or of From: has no SOA record that Yahoo sees.",
         RECORDS,
         "451 Message temporarily deferred due to unresolvable RFC.5321 from domain. See "
         "https://senders.yahooinc.com/error-codes#unresolvable-from-domain"),
    Rule("yahoo-unauthenticated", "Yahoo", "550 554", "5.7.9", ("unauthenticated",),
         Category.AUTHENTICATION, Retry.MENDED, YAHOO_LINES,
         "Neither SPF nor DKIM passed; Yahoo wants one of them from everybody, both from who sends much.",
         AUTHENTICATE,
         "550 5.7.9 This mail has been blocked because the sender is unauthenticated. Yahoo requires all senders to "
         "authenticate with either SPF or DKIM."),
    Rule("yahoo-dkim", "Yahoo", "554", "5.7.5", ("(au01)",), Category.AUTHENTICATION, Retry.MENDED, BOUNCES,
         "The domain says that all its mail is signed, and the signature did not verify.",
         DKIM,
         "554 5.7.5 (AU01) Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes"),
    Rule("yahoo-dmarc", "Yahoo", "554", "5.7.9", ("policy reasons",),
         Category.AUTHENTICATION, Retry.MENDED, YAHOO_LINES,
         "DMARC did not pass, and the domain's policy is to reject; Yahoo says the same for content it does not "
         "take.",
         AUTHENTICATE,
         "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes"),
    Rule("yahoo-content", "Yahoo", "554", "", ("[ph",), Category.CONTENT, Retry.NEVER, YAHOO_LINES,
         "Yahoo takes the content, or a link in it, for dangerous.",
         CONTENT,
         "554 Message not allowed - [PH01] Email not accepted for policy reasons. Please visit "
         "https://postmaster.yahooinc.com/error-codes [120]"),
    Rule("yahoo-header", "Yahoo", "554", "", ("headers are not rfc compliant",),
         Category.CONTENT, Retry.MENDED, YAHOO_LINES,
         "The header is not as RFC 5322 has it.",
         HEADER,
         "554 Message not accepted, headers are not RFC compliant. See "
         "https://senders.yahooinc.com/error-codes#rfc-compliance"),
    Rule("yahoo-disabled", "Yahoo", "554", "", ("mailbox is disabled|is no longer valid",),
         Category.RECIPIENT, Retry.NEVER, YAHOO_LINES,
         "The account was closed.",
         FORGET,
         "554 30 Sorry, your message to user@aol.com cannot be delivered. This mailbox is disabled (554.30)."),
    Rule("yahoo-no-such-user", "Yahoo", "552 554", "", ("mailbox not found|this user doesn't have a",),
         Category.RECIPIENT, Retry.NEVER, YAHOO_LINES,
         "There is no such account.",
         FORGET,
         "554 delivery error: dd This user doesn't have a yahoo.com account (user@yahoo.com) [0] - "
         "mta1234.mail.bf1.yahoo.com"),
    Rule("outlook-rate-reputation", "Outlook.com", "421", "", ("rp-001 (|(rp-001)",),
         Category.RATE, Retry.BY_ITSELF, OUTLOOK,
         "More messages than this address may send by its reputation.",
         SLOWER_MS,
         "421 RP-001 (SNT004-MC1F43) The mail server IP connecting to Outlook.com server has exceeded the rate limit "
         "allowed. Reason for rate limitation is related to IP/domain reputation problems."),
    Rule("outlook-rate-connection", "Outlook.com", "421", "", ("rp-002 (|(rp-002)",),
         Category.RATE, Retry.BY_ITSELF, OUTLOOK,
         "More messages over one connection than this address may send by its reputation.",
         SLOWER_MS,
         "421 RP-002 (SNT004-MC1F43) The mail server IP connecting to Outlook.com server has exceeded the rate limit "
         "allowed on this connection."),
    Rule("outlook-connections", "Outlook.com", "421", "", ("rp-003 (|(rp-003)",),
         Category.RATE, Retry.BY_ITSELF, OUTLOOK,
         "More connections at once than this address may have by its reputation.",
         SLOWER_MS,
         "421 RP-003 (SNT004-MC1F43) The mail server IP connecting to Outlook.com server has exceeded the connection "
         "limit allowed."),
    Rule("outlook-rate-address", "Outlook.com", "451", "4.7.650 4.7.651", ("rate limited due to ip reputation",),
         Category.REPUTATION, Retry.BY_ITSELF, EXCHANGE_LINES,
         "The address is new to Outlook.com, or its reputation is poor; it takes a little of its mail.",
         SLOWER_MS,
         "451 4.7.650 The mail server [192.0.2.25] has been temporarily rate limited due to IP reputation. For "
         "e-mail delivery information, see https://postmaster.live.com (S775) "
         "[DB5EUR01FT031.eop-EUR01.prod.protection.outlook.com]"),
    Rule("outlook-too-many-connections", "Outlook.com", "451", "4.7.652", ("maximum number of connections",),
         Category.RATE, Retry.BY_ITSELF, EXCHANGE_LINES,
         "Too many connections at once from this address.",
         SLOWER_MS,
         "451 4.7.652 The mail server [192.0.2.25] has exceeded the maximum number of connections. (S3115) "
         "[DM3NAM03FT010.eop-NAM03.prod.protection.outlook.com]"),
    Rule("outlook-block-list", "Outlook.com", "550", "5.7.1", ("part of their network is on our block list",),
         Category.LISTED, Retry.MENDED, EXCHANGE_LINES,
         "Outlook.com's own list has this address or its network; a new address of a hosting provider often is on "
         "it.",
         DELIST_MS,
         "550 5.7.1 Unfortunately, messages from [192.0.2.25] weren't sent. Please contact your Internet service "
         "provider since part of their network is on our block list (S3150). You can also refer your provider to "
         "http://mail.live.com/mail/troubleshooting.aspx#errors. "
         "[DB3EUR04FT007.eop-eur04.prod.protection.outlook.com]"),
    Rule("outlook-namespace-mining", "Outlook.com", "550", "", ("sc-002 (|(sc-002)",),
         Category.REPUTATION, Retry.MENDED, OUTLOOK,
         "Too many addresses that do not exist were tried from here.",
         FORGET,
         "550 SC-002 (SNT004-MC1F43) Mail rejected by Outlook.com for policy reasons. The mail server IP connecting "
         "to Outlook.com has exhibited namespace mining behavior."),
    Rule("outlook-open-relay", "Outlook.com", "550", "", ("sc-003 (|(sc-003)",),
         Category.REPUTATION, Retry.MENDED, OUTLOOK,
         "Outlook.com takes this address for an open proxy or relay.",
         PROVE_RELAY,
         "550 SC-003 (SNT004-MC1F43) Mail rejected by Outlook.com for policy reasons. Your IP address appears to be "
         "an open proxy/relay."),
    Rule("outlook-complaints", "Outlook.com", "550", "", ("sc-001 (|sc-004 (|(sc-001)|(sc-004)",),
         Category.REPUTATION, Retry.MENDED, OUTLOOK,
         "Outlook.com's users complained, or the content looks like spam.",
         DELIST_MS,
         "550 SC-001 (BAY004-MC4F49) Unfortunately, messages from 192.0.2.25 weren't sent. Please contact your "
         "Internet service provider since part of their network is on our block list."),
    Rule("outlook-dynamic", "Outlook.com", "550", "", ("dy-001 (|dy-002 (|(dy-001)|(dy-002)",),
         Category.LISTED, Retry.MENDED, OUTLOOK,
         "The address is in a range of dial-up lines, or its PTR record looks like one.",
         PTR,
         "550 DY-001 (SNT004-MC1F43) Mail rejected by Outlook.com for policy reasons. We generally do not accept "
         "email from dynamic IP's as they are not typically used to deliver unauthenticated SMTP e-mail to an "
         "Internet mail server."),
    Rule("outlook-policy", "Outlook.com", "550", "", ("ou-001 (|ou-002 (|(ou-001)|(ou-002)",),
         Category.LISTED, Retry.MENDED, OUTLOOK,
         "Outlook.com rejects the address: a list, its reputation, or the content.",
         DELIST_MS,
         "550 OU-002 (SNT004-MC1F43) Mail rejected by Outlook.com for policy reasons. Reasons for rejection may be "
         "related to content with spam-like characteristics or IP/domain reputation."),
    Rule("outlook-authentication", "Microsoft", "550", "5.7.515", (),
         Category.AUTHENTICATION, Retry.MENDED, HIGH_VOLUME,
         "Who sends more than 5 000 messages a day needs SPF, DKIM and DMARC that pass, with From: aligned.",
         AUTHENTICATE,
         "550 5.7.515 Access denied, sending domain acme.example does not meet the required authentication level."),
    Rule("microsoft-dmarc", "Microsoft", "550", "5.7.509", (), Category.AUTHENTICATION, Retry.MENDED, EXCHANGE_LINES,
         "DMARC did not pass for the domain of From:, and its policy is to reject.",
         AUTHENTICATE,
         "550 5.7.509 Access denied, sending domain acme.example does not pass DMARC verification and has a DMARC "
         "policy of reject."),
    Rule("microsoft-banned-address", "Microsoft", "550", "", ("access denied, banned sending ip",),
         Category.LISTED, Retry.MENDED, BOUNCES,
         "Microsoft has banned the address.",
         DELIST_OFFICE,
         "550 5.7.606 Access denied, banned sending IP [192.0.2.25]. To request removal from this list please visit "
         "https://sender.office.com/ and follow the directions. For more information please go to "
         "http://go.microsoft.com/fwlink/?LinkID=526655 (AS16012609) "
         "[DB5EUR01FT031.eop-EUR01.prod.protection.outlook.com]"),
    Rule("microsoft-banned-sender", "Microsoft", "550", "5.7.511", ("banned sender",),
         Category.LISTED, Retry.MENDED, BOUNCES,
         "Microsoft has banned the address; this list is cleared by mail only.",
         DELIST_MAIL,
         "550 5.7.511 Access denied, banned sender[192.0.2.25]. To request removal from this list please forward "
         "this message to delist@messaging.microsoft.com. For more information please go to "
         "http://go.microsoft.com/fwlink/?LinkId=526653. AS(508) "
         "[AM5EUR02FT019.eop-EUR02.prod.protection.outlook.com]"),
    Rule("microsoft-spamhaus", "Microsoft", "550", "5.7.1", ("blocked using spamhaus|listed in spamhaus",),
         Category.LISTED, Retry.MENDED, EOP,
         "A list of Spamhaus has the address, or the name in EHLO.",
         DELIST,
         "550 5.7.1 Service unavailable, Client host [192.0.2.25] blocked using Spamhaus. To request removal from "
         "this list see https://www.spamhaus.org/query/ip/192.0.2.25 (AS16012611) "
         "[VE1EUR03FT051.eop-EUR03.prod.protection.outlook.com]"),
    Rule("microsoft-customer-list", "Microsoft", "550", "5.7.513 5.7.1", ("customer block list",),
         Category.POLICY, Retry.NEVER, EXCHANGE_LINES,
         "The recipient's organization has the address on a list of its own.",
         ASK,
         "550 5.7.513 Service unavailable, Client host [192.0.2.25] blocked by globex.example using Customer Block "
         "list (AS16012607)"),
    Rule("microsoft-ptr-ipv6", "Microsoft", "550 450", "5.7.25 4.7.25", ("must have a reverse dns record",),
         Category.DNS, Retry.MENDED, EXCHANGE_LINES,
         "An IPv6 address of this server has no PTR record.",
         PTR,
         "550 5.7.25 Access denied, the sending IPv6 address [2001:db8::25] must have a reverse DNS record"),
    Rule("microsoft-spf-dkim-ipv6", "Microsoft", "450 550", "4.7.26 5.7.26", ("must pass either spf or dkim",),
         Category.AUTHENTICATION, Retry.MENDED, EXCHANGE_LINES,
         "Over IPv6 Microsoft wants SPF or DKIM to pass.",
         AUTHENTICATE,
         "450 4.7.26 Access denied, a message sent over IPv6 [2001:db8::25] must pass either SPF or DKIM validation, "
         "this message is not signed"),
    Rule("microsoft-helo", "Microsoft", "550", "5.7.506", (), Category.OURS, Retry.MENDED, EXCHANGE_LINES,
         "The name in EHLO is not this server's own.",
         NAME,
         "550 5.7.506 Access Denied, Bad HELO"),
    Rule("microsoft-from", "Microsoft", "550", "5.7.512", (), Category.CONTENT, Retry.MENDED, EXCHANGE_LINES,
         "From: is not exactly one valid address.",
         HEADER,
         "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant"),
    Rule("microsoft-range", "Microsoft", "550", "5.7.508", (), Category.RATE, Retry.MENDED, EXCHANGE_LINES,
         "The IPv6 network of this address sent too much in too short a time.",
         SLOWER,
         "550 5.7.508 Access denied, 2001:db8::25 has exceeded permitted limits within 2001:db8::/64 range"),
    Rule("microsoft-not-from-here", "Microsoft", "550", "5.7.708", (), Category.REPUTATION, Retry.MENDED, EXCHANGE,
         "Microsoft takes no mail from this address: it is new, or its reputation is poor.",
         DELIST_OFFICE,
         "550 5.7.708 Access denied, traffic not accepted from this IP."),
    Rule("microsoft-throttled", "Microsoft", "451", "4.7.500", ("server busy",),
         Category.RATE, Retry.BY_ITSELF, EXCHANGE_LINES,
         "Microsoft puts off what this address sends: it is new, or sent more than before.",
         SLOWER_MS,
         "451 4.7.500 Server busy. Please try again later from [192.0.2.25]. (AS77712344) "
         "[DB5EUR01FT031.eop-EUR01.prod.protection.outlook.com]"),
    Rule("microsoft-suspicious", "Microsoft", "451 450", "4.7.500 4.7.550 4.7.650 4.7.699 4.7.850 4.7.899",
         ("access denied, please try again later",),
         Category.REPUTATION, Retry.BY_ITSELF, EXCHANGE_LINES,
         "Microsoft looks at what this address sends before it takes more.",
         SLOWER_MS,
         "451 4.7.550 Access denied, please try again later (AS4100) "
         "[DB5EUR01FT031.eop-EUR01.prod.protection.outlook.com]"),
    Rule("microsoft-busy", "Microsoft", "421 451 450", "4.3.2 4.7.0 4.7.700 4.4.3 4.4.24 4.4.25 4.3.1 4.4.4",
         ("temporary server error|pfa agent busy|concurrent connections|recipient thread limit|insufficient "
          "system resource|replicated",),
         Category.THEIRS, Retry.BY_ITSELF, EXCHANGE_LINES,
         "Microsoft's servers have trouble of their own.",
         WAIT,
         "451 4.7.0 Temporary server error. Please try again later. PRX4 "
         "NextHop:AM6EUR05FT039.mail.protection.outlook.com [AM6EUR05FT039.eop-eur05.prod.protection.outlook.com]"),
    Rule("microsoft-per-hour", "Microsoft 365", "450 550", "5.2.121 5.2.122 4.2.121 4.2.122", (),
         Category.RATE, Retry.MENDED, EXCHANGE_LINES,
         "The recipient had more messages in an hour, from here or from everybody, than are allowed.",
         LATER,
         "550 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour. "
         "For more information go to http://go.microsoft.com/fwlink/?LinkId=526653."),
    Rule("microsoft-recipients", "Microsoft 365", "452", "4.5.3", ("(as780090)|too many recipients",),
         Category.RATE, Retry.BY_ITSELF, EXCHANGE_LINES,
         "More recipients in one message than are taken at once; Postfix sends the rest in another.",
         WAIT,
         "452 4.5.3 Too many recipients (AS780090) [DB5EUR01FT031.eop-EUR01.prod.protection.outlook.com]"),
    Rule("microsoft-no-such-recipient", "Microsoft 365", "550", "5.4.1", ("recipient address rejected: access denied",),
         Category.RECIPIENT, Retry.NEVER, EOP,
         "The recipient's domain has no such address (its directory is asked at the edge).",
         FORGET,
         "550 5.4.1 Recipient address rejected: Access denied. For more information see https://aka.ms/EXOSmtpErrors "
         "[AM6EUR05FT039.eop-eur05.prod.protection.outlook.com 2026-09-03T05:00:00.000Z 08DEF00000000000]"),
    Rule("microsoft-not-found", "Microsoft 365", "550", "5.1.10", ("recipientnotfound|recipient not found",),
         Category.RECIPIENT, Retry.NEVER, EXCHANGE,
         "The recipient's domain has no such address.",
         FORGET,
         "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient user@globex.example not found by SMTP address lookup"),
    Rule("outlook-no-such-user", "Outlook.com", "550", "5.5.0", ("mailbox unavailable",),
         Category.RECIPIENT, Retry.NEVER, BOUNCES_KUMO,
         "There is no such account, or it was not used for long.",
         FORGET,
         "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). "
         "[AM6EUR05FT039.eop-eur05.prod.protection.outlook.com]"),
    Rule("microsoft-tenant", "Microsoft 365", "550 554", "5.7.64", (), Category.POLICY, Retry.NEVER, EXCHANGE_LINES,
         "The recipient's domain is not, or is no longer, one of Microsoft's customers.",
         RELAY,
         "550 5.7.64 TenantAttribution; Relay Access Denied [ValidationStatus of 'mx1.yard.example' is "
         "EmptyCertificate] [DB5EUR01FT031.eop-EUR01.prod.protection.outlook.com]"),
    Rule("microsoft-members-only", "Microsoft 365", "550", "5.7.133 5.7.134 5.7.124 5.7.12 5.7.135 5.7.136", (),
         Category.POLICY, Retry.NEVER, EXCHANGE_LINES,
         "The address takes mail only from members of its organization or from listed senders.",
         ASK,
         "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction "
         "check failed because the sender was not authenticated when sending to this group"),
    Rule("icloud-rate", "iCloud", "421", "4.7.1", ("due to excessive volume",),
         Category.RATE, Retry.BY_ITSELF, APPLE_LINES,
         "More mail than iCloud takes for this recipient, or from this address.",
         SLOWER,
         "421 4.7.1 Messages to user@icloud.com deferred due to excessive volume. Try again later - "
         "https://support.apple.com/en-us/HT204137"),
    Rule("icloud-unauthenticated", "iCloud", "554 550", "5.7.1", ("[hme1]|failing both spf and dkim",),
         Category.AUTHENTICATION, Retry.MENDED, APPLE_RHOST,
         "Both SPF and DKIM failed.",
         AUTHENTICATE,
         "554 5.7.1 [HME1] This message was blocked for failing both SPF and DKIM authentication checks. See "
         "https://support.apple.com/en-us/HT204137 for mailing best practices"),
    Rule("icloud-dmarc", "iCloud", "550 554", "5.7.1", ("your message was rejected due to", "dmarc policy"),
         Category.AUTHENTICATION, Retry.MENDED, APPLE_RHOST,
         "DMARC did not pass, and the domain's policy is to reject.",
         AUTHENTICATE,
         "554 5.7.1 Your message was rejected due to acme.example's DMARC policy. See "
         "https://support.apple.com/en-us/HT204137 for info"),
    Rule("icloud-domain-listed", "iCloud", "550", "5.7.1", ("domain present in the spamhaus dbl",),
         Category.LISTED, Retry.MENDED, APPLE_LINES,
         "A domain in the message, or that of From:, is on Spamhaus's list of domains.",
         DELIST_DOMAIN,
         "550 5.7.1 Your email was rejected due to having a domain present in the Spamhaus DBL -- see "
         "https://www.spamhaus.org/dbl/"),
    Rule("icloud-policy", "iCloud", "550 554", "5.7.1", ("message rejected due to local policy",),
         Category.CONTENT, Retry.MENDED, APPLE_RHOST,
         "Apple's filter refused it, by its content or by the sender's reputation.",
         ASK_APPLE,
         "554 5.7.1 [HM08] Message rejected due to local policy. Please visit "
         "https://support.apple.com/en-us/HT204137"),
    Rule("icloud-inactive", "iCloud", "550", "5.1.1 5.1.6",
         ("inactive email address|unknown or illegal alias|recipient no longer on server",),
         Category.RECIPIENT, Retry.NEVER, APPLE_RHOST,
         "The account is closed, or does not exist.",
         FORGET,
         "550 5.1.1 <user@icloud.com>: inactive email address"),
    Rule("gmx-listed", "GMX and web.de", "554 421", "", ("nemesis", "block listed|black listed"),
         Category.LISTED, Retry.MENDED, GMX,
         "The address is on a list that GMX and web.de ask.",
         DELIST,
         "554-gmx.net (mxgmx104) Nemesis ESMTP Service not available 554-No SMTP service 554-IP address is block "
         "listed. 554 For explanation visit "
         "https://postmaster.gmx.net/en/case?c=r0201&i=ip&v=192.0.2.25&r=1MNcgj-1ue23t3pyV-00S2YR"),
    Rule("gmx-ptr", "GMX and web.de", "554", "", ("dns ptr resource record",), Category.DNS, Retry.MENDED, GMX,
         "The PTR record of the address is missing, or looks like that of a dial-up line.",
         PTR,
         "554-gmx.net (mxgmx116) Nemesis ESMTP Service not available 554-No SMTP service 554-Bad DNS PTR resource "
         "record. 554 For explanation visit http://postmaster.gmx.com/en/error-messages?ip=192.0.2.25&c=rdns"),
    Rule("gmx-policy", "GMX and web.de", "554 550 421 450", "", ("reject due to policy",),
         Category.REPUTATION, Retry.MENDED, IONOS,
         "Mail to addresses that do not exist, EHLO names that change, or complaints.",
         WARM_UP,
         "554 gmx.net (mxgmx016) Nemesis ESMTP Service not available No SMTP service Reject due to policy "
         "restrictions"),
    Rule("gmx-rate", "", "421", "", ("rate limit reached",), Category.RATE, Retry.BY_ITSELF, IONOS,
         "Too much mail in too short a time.",
         SLOWER,
         "421 Rate limit reached. Please try again later"),
    Rule("gmx-spf", "GMX and web.de", "550", "", ("reject due to spf policy",),
         Category.AUTHENTICATION, Retry.MENDED, UNITED,
         "The domain's SPF record does not have this address.",
         SPF,
         "550 <user@gmx.de>: Reject due to SPF policy. The originating IP of the message is not permitted by the "
         "domain owner"),
    Rule("gmx-no-such-user", "GMX and web.de", "550", "",
         ("requested action not taken: mailbox unavailable", "for explanation visit https://postmaster."),
         Category.RECIPIENT, Retry.NEVER, GMX,
         "There is no such account.",
         FORGET,
         "550-Requested action not taken: mailbox unavailable 550 For explanation visit "
         "https://postmaster.gmx.net/en/case?c=r1601&i=ip&v=192.0.2.25&r=1M9F1a-1xQWNP2EtC-00ZXDV"),
    Rule("tonline-unknown-address", "T-Online", "554", "", ("none/bad reputation",),
         Category.REPUTATION, Retry.MENDED, TONLINE,
         "T-Online does not know the address: it takes nothing from one that has not sent for long, until it is "
         "asked.",
         ASK_TONLINE,
         "554 IP=192.0.2.25 - None/bad reputation. Ask your postmaster for help or to contact tobr@rx.t-online.de "
         "for reset. (NOWL)"),
    Rule("tonline-blocked", "T-Online", "554", "", ("a problem occurred. (ask your postmaster",),
         Category.LISTED, Retry.MENDED, TONLINE,
         "T-Online has blocked the address.",
         ASK_TONLINE,
         "554 IP=192.0.2.25 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de to "
         "clarify.) (BL)"),
    Rule("orange-connections", "Orange", "421", "", ("ofr_|ofr0|trop de connexions", "too many connections"),
         Category.RATE, Retry.BY_ITSELF, ORANGE,
         "More than two or three connections at once; Orange takes no more from one address.",
         SLOWER,
         "421 mwinf5c42 ME Trop de connexions, veuillez verifier votre configuration. Too many connections, slow "
         "down. OFR004_104 [104]"),
    Rule("orange-blocked", "Orange", "550", "", ("ofr_|ofr0", "_102|_103"), Category.LISTED, Retry.MENDED, ORANGE,
         "Orange has blocked the address because of spam.",
         ASK_RECEIVER,
         "550 mwinf5c04 ME Adresse IP source bloquee pour incident de spam. Client host blocked for spamming issues. "
         "OFR006_102 Ref http://csi.cloudmark.com [102]"),
    Rule("orange-put-off", "Orange", "421 450 451", "", ("service refuse", "ofr_|ofr0"),
         Category.RATE, Retry.BY_ITSELF, ORANGE,
         "Orange takes no more from this address for some hours.",
         SLOWER,
         "421 mwinf5c77 ME Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR_999 "
         "[999]"),
    Rule("orange-spam", "Orange", "550", "", ("ofr_506|ofr_513|ofr_515",), Category.CONTENT, Retry.MENDED, ORANGE,
         "Orange takes the message for spam.",
         CONTENT,
         "550 5.2.0 Mail rejete. Mail rejected. ofr_506 [506]"),
    Rule("orange-no-such-user", "Orange", "550", "", ("ofr_416|ofr_418|adresse d au moins un destinataire invalide",),
         Category.RECIPIENT, Retry.NEVER, ORANGE,
         "There is no such account.",
         FORGET,
         "550 5.1.1 hhtzumeItI371 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]"),
    Rule("laposte-refused", "La Poste", "550", "", ("lpn", "service refuse"), Category.REPUTATION, Retry.MENDED, ORANGE,
         "La Poste refuses what this address sends.",
         WARM_UP,
         "550 5.7.1 Service refuse. Veuillez essayer plus tard. service refused, please try later. LPN007_510"),
    Rule("laposte-no-such-user", "La Poste", "550", "", ("lpn", "destinataire invalide"),
         Category.RECIPIENT, Retry.NEVER, ORANGE,
         "There is no such account.",
         FORGET,
         "550-5.1.1 <user@laposte.net>: Recipient address rejected: User unknown 550 5.1.1 <user@laposte.net>: "
         "Adresse destinataire invalide. Invalid recipient. LPN007_416"),
    Rule("free-blocked", "Free", "421 500", "", ("too many spams from your ip",),
         Category.REPUTATION, Retry.BY_ITSELF, FREE,
         "Free has blocked the address for up to a day, because of spam.",
         WARM_UP,
         "421 Too many spams from your IP (192.0.2.25), please visit http://postmaster.free.fr/"),
    Rule("sfr-blocked", "SFR", "450", "4.7.1", ("sfr_in_",), Category.REPUTATION, Retry.BY_ITSELF, SFR,
         "SFR has blocked the address for two hours.",
         SLOWER,
         "450 4.7.1 Service refused due to bad behavior - Too many spam messages SFR_IN_101"),
    Rule("comcast-rate", "Comcast", "421", "", ("throttled - try again later|too many sessions opened",),
         Category.RATE, Retry.BY_ITSELF, COMCAST_RATE,
         "More mail or connections than Comcast takes from this address.",
         SLOWER,
         "421 4.1.0 192.0.2.25 Throttled - try again later. Please see "
         "http://postmaster.comcast.net/smtp-error-codes.php#RL000003"),
    Rule("comcast-dnsbl", "Comcast", "554", "", ("found on one or more dnsbls", "comcast"),
         Category.LISTED, Retry.MENDED, BOUNCES,
         "The address is on Spamhaus's or Cloudmark's list; the code behind # tells which.",
         DELIST,
         "554 resimta-po-11v.sys.comcast.net resimta-po-11v.sys.comcast.net 192.0.2.25 found on one or more DNSBLs, "
         "see http://postmaster.comcast.net/smtp-error-codes.php#BL000010"),
    Rule("comcast-ptr", "Comcast", "554 421", "",
         ("comcast requires that all mail servers must have a ptr record|reverse dns failure",),
         Category.DNS, Retry.MENDED, COMCAST,
         "The address has no PTR record.",
         PTR,
         "554 imta08.westchester.pa.mail.comcast.net comcast 192.0.2.25 Comcast requires that all mail servers must "
         "have a PTR record with a valid Reverse DNS entry. Currently your mail server does not fill that "
         "requirement."),
    Rule("comcast-no-such-user", "Comcast", "550", "", ("not our customer|account closed, please remove",),
         Category.RECIPIENT, Retry.NEVER, BOUNCES_KUMO,
         "There is no such account.",
         FORGET,
         "550 5.1.1 Not our Customer"),
    Rule("spectrum-listed", "Spectrum", "5 4", "", ("aup#in-12|aup#i-12|aup#in-1000|aup#i-1000",),
         Category.LISTED, Retry.MENDED, SPECTRUM,
         "Spectrum, Cloudmark (1200) or Spamhaus (1220 and above) has the address listed.",
         DELIST,
         "554 p-impin012.msg.pkvw.co.charter.net cmsmtp 192.0.2.25 blocked AUP#In-1210 "
         "https://www.spectrum.net/support/internet/understanding-email-error-codes"),
    Rule("spectrum-ptr", "Spectrum", "5 4", "", ("aup#in-11|aup#i-11",), Category.DNS, Retry.MENDED, SPECTRUM,
         "The address has no PTR record, or the name in it does not lead back.",
         PTR,
         "421 p-impin001.msg.pkvw.co.charter.net cmsmtp 192.0.2.25 AUP#I-1110 rDNS validation failed"),
    Rule("spectrum-rate", "Spectrum", "5 4", "", ("aup#in-13|aup#in-14|aup#in-15|aup#i-13|aup#i-14|aup#i-15",),
         Category.RATE, Retry.BY_ITSELF, SPECTRUM,
         "More connections, messages or recipients than Spectrum takes by the address's reputation.",
         SLOWER,
         "421 p-impin008.msg.pkvw.co.charter.net cmsmtp 192.0.2.25 Too many connections. AUP#In-1310"),
    Rule("att-blocked", "AT&T", "553", "5.3.0", ("dnsbl:",), Category.LISTED, Retry.MENDED, BOUNCES,
         "AT&T's own list has the address.",
         ASK_RECEIVER,
         "553 5.3.0 flph825 DNSBL:RBL 521< 192.0.2.25 >_is_blocked.For assistance forward this email to "
         "abuse_rbl@abuse-att.net"),
    Rule("mimecast-greylist", "Mimecast", "451", "", ("internal resource", "temporarily unavailable"),
         Category.THEIRS, Retry.BY_ITSELF, MIMECAST,
         "Greylisting: Mimecast wants to be asked again, after a minute at least.",
         WAIT,
         "451 Internal resource is temporarily unavailable - https://community.mimecast.com/docs/DOC-1369#451 "
         "[Aj3QXapeMpqZYaeFwWhjzw.us32]"),
    Rule("mimecast-reputation", "Mimecast", "550 554", "", ("csi.mimecast.org|local ct ip reputation",),
         Category.REPUTATION, Retry.MENDED, BOUNCES,
         "The reputation of the address is poor at Mimecast.",
         WARM_UP,
         "550 csi.mimecast.org Poor Reputation Sender. - https://community.mimecast.com/docs/DOC-1369#550 "
         "[vH7Ns8biNg-p6EfZ0QaVMQ.us149]"),
    Rule("mimecast-spoofing", "Mimecast", "550", "", ("anti-spoofing policy",), Category.POLICY, Retry.NEVER, MIMECAST,
         "From: is a domain of the recipient's own, or like one, and comes from outside.",
         ASK,
         "550 Rejected by header-based Anti-Spoofing policy: ceo@globex.example - "
         "https://community.mimecast.com/docs/DOC-1369#550 [vH7Ns8biNg-p6EfZ0QaVMQ.us149]"),
    Rule("mimecast-blocked-sender", "Mimecast", "550", "", ("administrative prohibition", "mimecast|envelope blocked"),
         Category.POLICY, Retry.NEVER, MIMECAST,
         "The recipient's organization blocks this sender.",
         ASK,
         "550 Administrative prohibition - envelope blocked - https://community.mimecast.com/docs/DOC-1369#550 "
         "[NfJ2yYcSMbu8_1KbNeXNvw.uk14]"),
    Rule("mimecast-authentication", "Mimecast", "550", "", ("sender invalid - envelope rejected",),
         Category.AUTHENTICATION, Retry.MENDED, MIMECAST,
         "SPF, DKIM or DMARC did not pass.",
         AUTHENTICATE,
         "550 SPF Sender Invalid - envelope rejected - https://community.mimecast.com/docs/DOC-1369#550 "
         "[NfJ2yYcSMbu8_1KbNeXNvw.uk14]"),
    Rule("mimecast-security", "Mimecast", "554", "", ("email rejected due to security policies",),
         Category.CONTENT, Retry.MENDED, MIMECAST,
         "Mimecast takes the message for spam, or dangerous.",
         CONTENT,
         "554 Email rejected due to security policies - MCSpamSignature.x.x - "
         "https://community.mimecast.com/docs/DOC-1369#554 [A1b2C3d4E5f6.us12]"),
    Rule("mimecast-no-such-user", "Mimecast", "550", "", ("invalid recipient", "mimecast"),
         Category.RECIPIENT, Retry.NEVER, MIMECAST,
         "The recipient's domain has no such address.",
         FORGET,
         "550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550 [v6Jq2yYcSMbu81KbNeXNvw.us62]"),
    Rule("proofpoint-blocked", "Proofpoint", "5 4", "",
         ("ipcheck.proofpoint.com|support.proofpoint.com/dnsbl-lookup|proofpoint dynamic reputation",),
         Category.LISTED, Retry.MENDED, PROOFPOINT,
         "Proofpoint's reputation service has blocked the address; iCloud and many companies ask it.",
         DELIST_PROOFPOINT,
         "550 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.25"),
    Rule("proofpoint-local-policy", "Proofpoint", "550", "5.7.0", ("local policy violation",),
         Category.LISTED, Retry.MENDED, BOUNCES,
         "Proofpoint's list has the address, or a rule of the recipient's organization is against it.",
         DELIST_PROOFPOINT,
         "550 5.7.0 Local Policy Violation"),
    Rule("proofpoint-busy", "Proofpoint", "421", "4.3.2", ("all screening ports are busy",),
         Category.THEIRS, Retry.BY_ITSELF, POSTFIX,
         "The recipient's gateway is busy.",
         WAIT,
         "421 4.3.2 All screening ports are busy"),
    Rule("barracuda-listed", "Barracuda", "5 4", "", ("barracuda",), Category.LISTED, Retry.MENDED, BARRACUDA,
         "Barracuda's reputation list has the address (or one that is in the message's Received fields).",
         DELIST_BARRACUDA,
         "554 Service unavailable; Client host [mx1.yard.example] blocked using Barracuda Reputation; "
         "http://www.barracudanetworks.com/reputation/?r=1&ip=192.0.2.25"),
    Rule("barracuda-blocked", "Barracuda", "550", "", ("permanent failure for one or more recipients", ":blocked)"),
         Category.CONTENT, Retry.MENDED, BOUNCES,
         "The gateway of the recipient refused the message.",
         CONTENT,
         "550 permanent failure for one or more recipients (user@globex.example:blocked)"),
    Rule("cloudmark-listed", "Cloudmark", "5 4", "", ("csi.cloudmark.com",), Category.LISTED, Retry.MENDED, CLOUDMARK,
         "Cloudmark's reputation service has the address; a reset can be asked for.",
         DELIST_CLOUDMARK,
         "550 smtp-13.iol.local smtp-13.iol.local IP blacklisted by CSI. For remediation please use "
         "http://csi.cloudmark.com/reset-request/?ip=192.0.2.25 [smtp-13.iol.local; LIB_102]"),
    Rule("cisco-reputation", "Cisco", "554", "", ("your access to this mail system", "poor reputation"),
         Category.REPUTATION, Retry.MENDED, BOUNCES,
         "The address has a poor reputation at Cisco Talos.",
         DELIST_TALOS,
         "554-esa10.dsv.c3s2.iphmx.com 554 Your access to this mail system has been rejected due to the sending "
         "MTA's poor reputation. If you believe that this failure is in error, please contact the intended recipient "
         "via alternate means."),
    Rule("cisco-access", "Cisco", "550", "", ("access to submit messages to this e-mail system has been rejected",),
         Category.REPUTATION, Retry.MENDED, BOUNCES,
         "The gateway of the recipient does not take mail from the address.",
         DELIST_TALOS,
         "550 #5.7.1 Your access to submit messages to this e-mail system has been rejected."),
    Rule("trend-micro", "Trend Micro", "5 4", "", ("trend micro",), Category.LISTED, Retry.MENDED, TREND,
         "Trend Micro's reputation service has the address.",
         DELIST,
         "450 4.7.1 Mail from 192.0.2.25 has been blocked by Trend Micro Email Reputation Service. Please see "
         "https://ers.trendmicro.com/reputations to get detailed information."),
    Rule("cloudflare-listed", "Cloudflare", "554", "", ("found on one or more rbls",),
         Category.LISTED, Retry.MENDED, CLOUDFLARE,
         "A list that Cloudflare asks has the address; its name is in brackets.",
         DELIST,
         "554 192.0.2.25 found on one or more RBLs (abusixip). Refer to "
         "https://developers.cloudflare.com/email-routing/postmaster/#spam-and-abusive-traffic/"),
    Rule("qq-rate", "QQ", "550", "", ("frequency limited",), Category.RATE, Retry.MENDED, QQ,
         "More mail than QQ takes from this address, domain or sender in a time that it does not tell.",
         SLOWER_BACK,
         "550 Sender frequency limited. http://service.exmail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000723"),
    Rule("qq-content", "QQ", "550", "", ("mail content denied",), Category.CONTENT, Retry.MENDED, QQ,
         "QQ's users called the content spam.",
         CONTENT,
         "550 Mail content denied. http://service.exmail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000726"),
    Rule("qq-dmarc", "QQ", "550", "", ("dmarc check failed", "qq.com"), Category.AUTHENTICATION, Retry.MENDED, QQ,
         "DMARC did not pass.",
         AUTHENTICATE,
         "550 DMARC check failed http://service.mail.qq.com/cgi-bin/help?subtype=1&&no=1001508&&id=16."),
    Rule("netease-spam", "NetEase", "451 554", "", ("dt:spm",), Category.CONTENT, Retry.BY_ITSELF, NETEASE,
         "NetEase (163.com, 126.com) takes the message for spam, or wants to be asked again.",
         CONTENT,
         "451 DT:SPM 163 mx12,PMCowAD3X1k,please try again 1447302912 http://mail.163.com/help/help_spam_16.htm"),
    Rule("netease-rate", "NetEase", "421 450 451", "", ("hl:icc|hl:ifc|mi:dmc|mi:sfq",),
         Category.RATE, Retry.BY_ITSELF, NETEASE,
         "More connections or messages than NetEase takes from this address.",
         SLOWER,
         "421 HL:ICC 163 mx12,PMCowAD3X1k http://mail.163.com/help/help_spam_16.htm?ip=192.0.2.25"),
    Rule("mailru-spam", "Mail.ru", "550", "", ("spam message rejected", "mail.ru"),
         Category.CONTENT, Retry.MENDED, BOUNCES,
         "Mail.ru takes the message for spam; the link in the reply leads to a form.",
         ASK_RECEIVER,
         "550 spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c=fhtDsnELae77cN6t9 or  "
         "report details to abuse@corp.mail.ru. Error code: B2431B7EEE690B71. ID: 0000000B0001C50E1E1D3"),
    Rule("mailru-no-such-user", "Mail.ru", "550", "", ("message was not accepted -- invalid mailbox",),
         Category.RECIPIENT, Retry.NEVER, BOUNCES_KUMO,
         "There is no such account, or it is closed.",
         FORGET,
         "550 Message was not accepted -- invalid mailbox.  Local mailbox user@mail.ru is unavailable: user not "
         "found"),
    Rule("yandex-spam", "Yandex", "554", "5.7.1", ("message rejected under suspicion of spam",),
         Category.CONTENT, Retry.MENDED, YANDEX,
         "Yandex takes the message for spam; more of it and the address is blocked for a day.",
         CONTENT,
         "554 5.7.1 [2] Message rejected under suspicion of SPAM; https://ya.cc/1IrBc 1665519620-lIqkcXR7PM-KKhqqURM"),
    Rule("rackspace-new-address", "Rackspace", "451", "4.7.1", ("new or untrusted ip",),
         Category.RATE, Retry.BY_ITSELF, RACKSPACE,
         "The address is new to Rackspace, and sent more than a new one may.",
         SLOWER,
         "451 4.7.1 Received too many messages from a new or untrusted IP (G28)"),
    Rule("rackspace-ptr", "Rackspace", "450", "4.7.1", ("has no ptr record",), Category.DNS, Retry.MENDED, RACKSPACE,
         "The address has no PTR record.",
         PTR,
         "450 4.7.1 Client host 192.0.2.25 has no PTR record (G1F)"),
    Rule("spamhaus-policy-list", "", "5 4", "", ("pbl.spamhaus|spamhaus.org/pbl|spamhaus pbl",),
         Category.LISTED, Retry.MENDED, SPAMHAUS,
         "Spamhaus's PBL has the address: its provider says that it is none to send mail from.",
         ASK_PROVIDER,
         "550 5.7.1 Service unavailable; client [192.0.2.25] blocked using pbl.spamhaus.org; "
         "https://www.spamhaus.org/query/ip/192.0.2.25"),
    Rule("spamhaus-resolver", "", "5 4", "", ("spamhaus", "open resolver|excessive number of queries"),
         Category.THEIRS, Retry.MENDED, SPAMHAUS,
         "The receiver asks Spamhaus through a resolver that Spamhaus does not answer; this address is not listed.",
         ASK,
         "554 5.7.1 Service unavailable; Client host [192.0.2.25] blocked using zen.spamhaus.org; Error: open "
         "resolver; https://check.spamhaus.org/returnc/pub/192.0.2.53/"),
    Rule("spamhaus-domain", "", "5 4", "", ("dbl.spamhaus|spamhaus.org/dbl|uribl|surbl|/query/domain/",),
         Category.LISTED, Retry.MENDED, BOUNCES,
         "A domain in the message, or the sender's, is on a list of domains.",
         DELIST_DOMAIN,
         "554 5.7.1 Service unavailable; Sender address [user@acme.example] blocked using dbl.spamhaus.org; "
         "https://www.spamhaus.org/query/domain/acme.example"),
    Rule("spamhaus-address", "", "5 4", "", ("spamhaus",), Category.LISTED, Retry.MENDED, SPAMHAUS,
         "A list of Spamhaus has the address.",
         DELIST_SPAMHAUS,
         "554 5.7.1 Service unavailable; Client host [192.0.2.25] blocked using zen.spamhaus.org; "
         "https://www.spamhaus.org/query/ip/192.0.2.25"),
    Rule("spamcop", "", "5 4", "", ("spamcop",), Category.LISTED, Retry.MENDED, SPAMCOP,
         "SpamCop has the address: its users reported mail, or a trap got some. The listing ends a day after the "
         "last report.",
         DELIST,
         "554 5.7.1 Service unavailable; Client host [192.0.2.25] blocked using bl.spamcop.net; Blocked - see "
         "http://www.spamcop.net/bl.shtml?192.0.2.25"),
    Rule("sorbs", "", "5 4", "", ("sorbs.net|sorbs dnsbl",), Category.THEIRS, Retry.MENDED, BOUNCES,
         "The receiver asks SORBS, which ended in June 2024.",
         ASK,
         "454 4.7.1 Service unavailable; Client host [192.0.2.25] blocked using dnsbl.sorbs.net; Currently Sending "
         "Spam See: http://www.sorbs.net/lookup.shtml?192.0.2.25"),
    Rule("greylist-list", "", "4", "", ("greylisting|greylisted|grey-listed|greylist",),
         Category.THEIRS, Retry.BY_ITSELF, POSTGREY,
         "Greylisting: the receiver wants to be asked again, after some minutes, by the same address.",
         WAIT,
         "450 4.2.0 <user@globex.example>: Recipient address rejected: Greylisted, see "
         "http://postgrey.schweikert.ch/help/globex.example.html"),
    Rule("listed", "", "5 4", "",
         ("blocked using|is blacklisted|is listed|listed at|found in dns blacklist|found on one or more "
          "dnsbls|blacklisted by|has been blacklisted",),
         Category.LISTED, Retry.MENDED, BOUNCES,
         "A block list has the address; the reply names it.",
         DELIST,
         "554 5.7.1 Service unavailable; Client host [192.0.2.25] blocked using ix.dnsbl.manitu.net; Your e-mail "
         "service was detected by mail.ixlab.de as spamming"),
    Rule("ptr-missing", "", "4 5", "",
         ("cannot find your reverse hostname|cannot find your hostname|missing dns ptr record|reverse dns entry|"
          "fix reverse dns|no ptr record",),
         Category.DNS, Retry.MENDED, POSTFIX,
         "The address has no PTR record, or the name in it does not lead back.",
         PTR,
         "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.25]"),
    Rule("helo-rejected", "", "4 5", "", ("helo command rejected|helo/ehlo argument|ehlo/helo argument|invalid helo",),
         Category.OURS, Retry.MENDED, POSTFIX,
         "The receiver does not like the name in EHLO: it does not resolve, or is not a full name.",
         NAME,
         "450 4.7.1 <mx1.yard.example>: Helo command rejected: Host not found"),
    Rule("sender-domain", "", "4 5", "", ("sender address rejected: domain not found|domain of sender address",),
         Category.DNS, Retry.MENDED, POSTFIX,
         "The envelope sender's domain has neither MX nor address that the receiver sees.",
         RECORDS,
         "450 4.1.8 <app@acme.example>: Sender address rejected: Domain not found"),
    Rule("sender-null-mx", "", "5", "5.7.27", (), Category.DNS, Retry.MENDED, RFC7505,
         "The envelope sender's domain has a null MX record: it says that it takes no mail.",
         NULL_MX,
         "550 5.7.27 <app@acme.example>: Sender address rejected: Domain acme.example does not accept mail (nullMX)"),
    Rule("dmarc-rejected", "", "4 5", "", ("dmarc",), Category.AUTHENTICATION, Retry.MENDED, RFC7372,
         "DMARC did not pass for the domain of From:.",
         AUTHENTICATE,
         "550 5.7.1 rejected by DMARC policy for acme.example"),
    Rule("spf-failed", "", "4 5", "", ("spf fail|spf check|spf: |not authorized by spf|does not designate|openspf",),
         Category.AUTHENTICATION, Retry.MENDED, RFC7372,
         "SPF did not pass for the envelope sender or the name in EHLO.",
         SPF,
         "550 5.7.23 <user@globex.example>: Recipient address rejected: Message rejected due to: SPF fail - not "
         "authorized. Please see http://www.openspf.net/Why?s=mfrom;id=app@acme.example;ip=192.0.2.25;r=<UNKNOWN>"),
    Rule("dkim-failed", "", "4 5", "5.7.20 5.7.21 5.7.22 4.7.20 4.7.21 4.7.22", (),
         Category.AUTHENTICATION, Retry.MENDED, RFC7372,
         "No signature verified, or none of From:'s domain.",
         DKIM,
         "550 5.7.20 No passing DKIM signature found"),
    Rule("too-many-connections", "", "4", "", ("too many connections|too many concurrent|too many sessions",),
         Category.RATE, Retry.BY_ITSELF, POSTFIX,
         "Too many connections at once from this address.",
         WAIT,
         "421 4.7.0 mx1.globex.example Error: too many connections from 192.0.2.25"),
    Rule("rate-limited", "", "4", "",
         ("rate limit|ratelimit|too many messages|too much mail|try to send slower|sending too fast",),
         Category.RATE, Retry.BY_ITSELF, BOUNCES,
         "More mail than the receiver takes from this sender now.",
         SLOWER,
         "450 4.7.1 Error: too much mail from 192.0.2.25"),
    Rule("recipient-null-mx", "", "5", "5.1.10", (), Category.RECIPIENT, Retry.NEVER, RFC7505,
         "The recipient's domain has a null MX record: it takes no mail at all.",
         FORGET,
         "556 5.1.10 <user@globex.example>: Recipient address rejected: Domain globex.example does not accept mail "
         "(nullMX)"),
    Rule("mailbox-full", "", "4 5", "",
         ("mailbox full|mailbox is full|over quota|overquota|quota exceeded|exceeded storage allocation|"
          "boite du destinataire pleine|out of storage|quota limit",),
         Category.SIZE, Retry.BY_ITSELF, BOUNCES,
         "The recipient's mailbox is full.",
         FULL,
         "552 5.2.2 <user@globex.example>: Quota exceeded (mailbox for user is full)"),
    Rule("too-large", "", "5", "",
         ("message size exceeds|message too large|message too big|exceeds fixed limit|maximum email size|"
          "message size limit",),
         Category.SIZE, Retry.NEVER, POSTFIX,
         "The message is larger than the receiver takes.",
         SMALLER,
         "552 5.3.4 Message size exceeds fixed limit"),
    Rule("no-such-user", "", "5", "",
         ("user unknown|unknown user|no such user|no such recipient|user not found|no mailbox here|mailbox "
          "not found|does not exist|recipient not found|invalid recipient|mailbox unavailable|address unknown "
          "| no such mailbox|undeliverable address|unrouteable address|recipient rejected",),
         Category.RECIPIENT, Retry.NEVER, POSTFIX,
         "There is no such address.",
         FORGET,
         "550 5.1.1 <user@globex.example>: Recipient address rejected: User unknown in virtual mailbox table"),
    Rule("user-disabled", "", "5", "",
         ("account disabled|account is disabled|user is terminated|user disabled|mailbox disabled|mailbox is "
          "frozen|account is not active|account has been disabled|mailbox is inactive",),
         Category.RECIPIENT, Retry.NEVER, BOUNCES,
         "The account is closed or disabled.",
         FORGET,
         "550 5.2.1 <user@globex.example>: Account disabled"),
    Rule("relay-denied", "", "4 5", "", ("relay access denied|relaying denied|relay not permitted|unable to relay",),
         Category.POLICY, Retry.NEVER, POSTFIX,
         "The server that the recipient's MX leads to does not take that domain's mail.",
         RELAY,
         "554 5.7.1 <user@globex.example>: Relay access denied"),
    Rule("spam", "", "5", "", ("spam|unsolicited|junk mail|junkmail",), Category.CONTENT, Retry.MENDED, BOUNCES,
         "The receiver takes the message for spam.",
         CONTENT,
         "550 5.7.1 Message rejected as spam by Content Filtering."),
    Rule("virus", "", "5", "", ("virus|malware",), Category.CONTENT, Retry.NEVER, BOUNCES,
         "The receiver found a virus in the message, or thinks so.",
         CONTENT,
         "554 rejected due to virus"),
    Rule("policy-text", "", "5", "",
         ("access denied|rejected for policy|policy violation|administrative prohibition|not allowed to connect",),
         Category.POLICY, Retry.MENDED, POSTFIX,
         "A rule of the receiver is against it, and the reply does not say which.",
         ASK_RECEIVER,
         "554 5.7.1 <unknown[192.0.2.25]>: Client host rejected: Access denied"),
    Rule("system-full", "", "4", "",
         ("insufficient system storage|insufficient disk|insufficient system resources|queue file write error",),
         Category.THEIRS, Retry.BY_ITSELF, POSTFIX,
         "The receiver's disk is full, or it has other trouble.",
         WAIT,
         "452 4.3.1 Insufficient system storage"),
    Rule("busy", "", "4", "",
         ("try again later|service not available|temporary local problem|temporarily unavailable|local error in "
          "processing|server busy|service unavailable|temporary lookup failure",),
         Category.THEIRS, Retry.BY_ITSELF, RFC5321,
         "The receiver has trouble of its own, or wants to be asked again.",
         WAIT,
         "421 Service not available, closing transmission channel"),
    Rule("own-limit", "Sendyard, here", "450 550", "4.7.1 5.7.1", ("may have", "recipients per"),
         Category.OURS, Retry.BY_ITSELF, OWN,
         "The login, or the domain, has had as many recipients as its limit allows.",
         RAISE,
         "450 4.7.1 login app@acme.example may have 20000 recipients per hour and had 20000; try again in 12 minutes"),
    Rule("own-login", "Sendyard, here", "553", "5.7.1", ("not owned by user",), Category.OURS, Retry.NEVER, OWN,
         "The login may not use this envelope sender: it is bound to its own domains.",
         LOGIN,
         "553 5.7.1 <ceo@globex.example>: Sender address rejected: not owned by user app@acme.example"),
    Rule("own-password", "Sendyard, here", "535", "5.7.8", (), Category.OURS, Retry.MENDED, OWN,
         "Name or password of the login is wrong.",
         LOGIN_ANEW,
         "535 5.7.8 Error: authentication failed: (reason unavailable)"),
    Rule("postfix-refused", "Postfix, here", "0", "", ("connect to", "connection refused"),
         Category.THEIRS, Retry.BY_ITSELF, POSTFIX,
         "Nothing listens on port 25 of the receiver, or a firewall says so.",
         NETWORK,
         "status=deferred (connect to mx1.globex.example[192.0.2.80]:25: Connection refused)"),
    Rule("postfix-timeout", "Postfix, here", "0", "",
         ("connect to", "timed out|no route to host|network is unreachable"),
         Category.THEIRS, Retry.BY_ITSELF, POSTFIX,
         "The receiver's port 25 does not answer, or the provider lets none out.",
         NETWORK,
         "status=deferred (connect to mx1.globex.example[192.0.2.80]:25: Connection timed out)"),
    Rule("postfix-dns-again", "Postfix, here", "0", "", ("name service error", "try again|misconfigured"),
         Category.DNS, Retry.BY_ITSELF, POSTFIX,
         "The recipient's domain could not be looked up now: its name servers, or this host's resolver.",
         RESOLVER,
         "status=deferred (Host or domain name not found. Name service error for name=globex.example type=MX: Host "
         "not found, try again)"),
    Rule("postfix-no-domain", "Postfix, here", "0", "", ("host or domain name not found",),
         Category.RECIPIENT, Retry.NEVER, POSTFIX,
         "The recipient's domain does not exist, or takes no mail.",
         FORGET,
         "status=bounced (Host or domain name not found. Name service error for name=globex.exampel type=A: Host not "
         "found)"),
    Rule("postfix-null-mx", "Postfix, here", "0", "", ("does not accept mail (nullmx)",),
         Category.RECIPIENT, Retry.NEVER, RFC7505,
         "The recipient's domain has a null MX record: it takes no mail at all.",
         FORGET,
         "status=bounced (Domain globex.example does not accept mail (nullMX))"),
    Rule("postfix-tls", "Postfix, here", "0", "",
         ("tls is required|cannot start tls|certificate not trusted|certificate not verified",),
         Category.TLS, Retry.BY_ITSELF, POSTFIX,
         "The receiver's DANE records ask for TLS, and its certificate or its STARTTLS does not fit: mail waits "
         "rather than leaks.",
         THEIR_TLS,
         "status=deferred (TLS is required, but was not offered by host mx1.globex.example[192.0.2.80])"),
    Rule("postfix-lost", "Postfix, here", "0", "", ("lost connection with|timed out while",),
         Category.THEIRS, Retry.BY_ITSELF, POSTFIX,
         "The receiver hung up, or fell silent, in the middle.",
         WAIT,
         "status=deferred (lost connection with mx1.globex.example[192.0.2.80] while receiving the initial server "
         "greeting)"),
    Rule("postfix-loop", "Postfix, here", "0", "", ("loops back to myself",), Category.OURS, Retry.NEVER, POSTFIX,
         "The recipient's MX leads to this server, which does not take that domain's mail.",
         RELAY,
         "status=bounced (mail for globex.example loops back to myself)"),
    Rule("postfix-expired", "Postfix, here", "0", "", ("returned to sender",), Category.THEIRS, Retry.MENDED, POSTFIX,
         "It was tried for `sendyard_queue_lifetime` and never taken; the lines before tell why.",
         EARLIER,
         "status=expired, returned to sender"),
    Rule("gmail-codes-spf", "Gmail", "4 5", "4.7.27", (), Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "SPF did not pass.",
         SPF,
         "421 4.7.27"),
    Rule("gmail-codes-dmarc", "Gmail", "4 5", "4.7.31 5.7.31 4.7.40 5.7.40", (),
         Category.AUTHENTICATION, Retry.MENDED, GOOGLE,
         "The domain of From: has no DMARC record, or one without a policy.",
         DMARC,
         "550 5.7.40"),
    Rule("gmail-codes-ptr", "Gmail", "4 5", "4.7.23", (), Category.DNS, Retry.MENDED, GOOGLE,
         "The sending address has no PTR record, or the name in it does not lead back to the address.",
         PTR,
         "451 4.7.23"),
)
# fmt: on
