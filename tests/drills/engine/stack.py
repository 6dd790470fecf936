# Copyright: Sendyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small configurations of every subsystem, enough to serve: what the roles' templates are held to, without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FQDN = "mx1.yard.example"
SELECTOR = "s1"
MILTERS = ["unix:gate/gate.sock", "unix:opendkim/opendkim.sock"]
ROOT = Path(__file__).resolve().parents[3]

MAIN = f"""\
compatibility_level = 3.6
myhostname = {FQDN}
inet_protocols = ipv4
mydestination = $myhostname
mynetworks =
alias_maps = lmdb:/etc/postfix/aliases
alias_database =
default_database_type = lmdb
local_recipient_maps = $alias_maps
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_non_fqdn_recipient
submission_sender_restrictions = check_sender_access inline:{{{{<>=REJECT null}}}}, reject_sender_login_mismatch
smtpd_sender_login_maps = pcre:/etc/postfix/owners.pcre
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_tls_chain_files = /etc/sendyard/tls/ecdsa.pem
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtp_tls_security_level = may
milter_default_action = tempfail
non_smtpd_milters = {", ".join(MILTERS)}
maillog_file = /var/log/postfix-test.log
"""

_SUBMISSION = """\
{name} inet n - y - - smtpd
  -o syslog_name=postfix/{name}
  -o {tls}
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
  -o smtpd_sender_restrictions=$submission_sender_restrictions
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
  -o smtpd_milters={milters}
  -o milter_macro_daemon_name=ORIGINATING
  -o cleanup_service_name=subcleanup
"""

_SERVICES = """\
smtp inet n - y - - smtpd
subcleanup unix n - y - 0 cleanup
pickup unix n - y 60 1 pickup
cleanup unix n - y - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - y 1000? 1 tlsmgr
rewrite unix - - y - - trivial-rewrite
bounce unix - - y - 0 bounce
defer unix - - y - 0 bounce
trace unix - - y - 0 bounce
verify unix - - y - 1 verify
flush unix n - y 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - y - - smtp
relay unix - - y - - smtp
showq unix n - y - - showq
error unix - - y - - error
retry unix - - y - - error
discard unix - - y - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - y - 1 anvil
scache unix - - y - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

MASTER = _SERVICES + "".join(
    _SUBMISSION.format(name=name, tls=tls, milters=",".join(MILTERS))
    for name, tls in (
        ("submission", "smtpd_tls_security_level=encrypt"),
        ("submissions", "smtpd_tls_wrappermode=yes"),
        ("2525", "smtpd_tls_security_level=encrypt"),
    )
)

OWNERS = rf"""/^[^@]+@acme\.example$/ app@acme.example
/^(probe-[0-9a-f]{{16,64}})@([a-z0-9.-]+)$/ $1=$2@{FQDN}
"""


def _file(path: str, content: str, **options: str) -> dict[str, Any]:
    return {"path": path, "content": content, **options}


def postfix(
    main: str = MAIN, master: str = MASTER, extra: tuple[tuple[str, str], ...] = (), **settings: Any
) -> dict[str, Any]:
    """Postfix with four listeners. `extra` are further files, as (path, content)."""
    return {
        "subsystem": "postfix",
        "files": [
            _file("/etc/postfix/main.cf", main),
            _file("/etc/postfix/master.cf", master),
            _file("/etc/postfix/owners.pcre", OWNERS),
            _file("/etc/postfix/aliases", "postmaster: root\nroot: /dev/null\n"),
            *(_file(path, content) for path, content in extra),
        ],
        "settings": {"fqdn": FQDN, "milters": MILTERS, **settings},
    }


_SOCKET = """\
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
# Tests guess more often than people do; Dovecot would answer them later and later.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""
_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_@=+"
DOVECOT = {
    "2.3": f"""\
protocols =
ssl = no
auth_mechanisms = plain login
disable_plaintext_auth = no
auth_username_chars = {_CHARACTERS}
passdb {{
  driver = passwd-file
  args = scheme=SSHA512 /run/sendyard/probe-logins
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
{_SOCKET}""",
    "2.4": f"""\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols =
ssl = no
auth_mechanisms = plain login
auth_allow_cleartext = yes
auth_username_chars = {_CHARACTERS}
passdb probe {{
  driver = passwd-file
  passwd_file_path = /run/sendyard/probe-logins
  default_password_scheme = SSHA512
}}
userdb static {{
  fields {{
    uid = nobody
    gid = nogroup
    home = /nonexistent
  }}
}}
{_SOCKET}""",
}


def auth(text: str) -> dict[str, Any]:
    """Dovecot for SASL, with logins that a probe makes."""
    return {
        "subsystem": "auth",
        "files": [
            _file("/etc/dovecot/dovecot.conf", text),
            _file(
                "/etc/tmpfiles.d/sendyard-auth.conf",
                "d /run/sendyard 0755 root root -\nf /run/sendyard/probe-logins 0640 root dovecot -\n",
            ),
        ],
        "directories": [{"path": "/var/spool/postfix/private", "mode": "0700", "owner": "postfix"}],
    }


OPENDKIM = """\
Mode s
Syslog yes
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
RequiredHeaders yes
SigningTable file:/etc/sendyard/SigningTable
KeyTable file:/etc/sendyard/KeyTable
InternalHosts 0.0.0.0/0,::/0
ExternalIgnoreList 0.0.0.0/0,::/0
Socket local:/var/spool/postfix/opendkim/opendkim.sock
UMask 007
"""

_UNIT = """\
[Service]
Type=exec
User={user}
UMask=0007
StateDirectory=sendyard-gate
Environment=PYTHONPATH=/usr/lib/sendyard
ExecStart={command}
ExecReload=/bin/kill -USR1 $MAINPID
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
GATE_UNIT = _UNIT.format(
    user="sendyard-gate",
    command="/usr/bin/python3 -B -m sendyard.gate --socket unix:/var/spool/postfix/gate/gate.sock "
    f"--owners /etc/sendyard/owners --own-domain {FQDN} --state /var/lib/sendyard-gate/sent.json",
)
OPENDKIM_UNIT = _UNIT.format(user="opendkim", command="/usr/sbin/opendkim -f -x /etc/sendyard/opendkim.conf")
GATE = (ROOT / "agent/sendyard/gate.py").read_text() if (ROOT / "agent/sendyard/gate.py").exists() else ""


def signer(
    gate: str = GATE, opendkim: str = OPENDKIM, gate_unit: str = GATE_UNIT, key_table: str = ""
) -> dict[str, Any]:
    """The gate and OpenDKIM."""
    package = "/usr/lib/sendyard/sendyard"
    others = ("__init__.py", "from_header.py", "limits.py")
    return {
        "subsystem": "signer",
        "files": [
            _file("/etc/sysusers.d/sendyard-gate.conf", 'u sendyard-gate - "Sendyard gate" / /usr/sbin/nologin\n'),
            *(_file(f"{package}/{name}", (ROOT / "agent/sendyard" / name).read_text()) for name in others),
            _file(f"{package}/gate.py", gate),
            _file("/etc/systemd/system/sendyard-gate.service", gate_unit),
            _file("/etc/systemd/system/sendyard-opendkim.service", OPENDKIM_UNIT),
            _file("/etc/sendyard/opendkim.conf", opendkim),
            _file("/etc/sendyard/KeyTable", key_table or f"all %:{SELECTOR}:/etc/opendkim/keys/%.pem\n"),
            _file("/etc/sendyard/SigningTable", "* all\n"),
        ],
        "directories": [
            {"path": "/var/spool/postfix/gate", "mode": "2710", "owner": "sendyard-gate", "group": "postfix"},
            {"path": "/var/spool/postfix/opendkim", "mode": "2710", "owner": "opendkim", "group": "postfix"},
            {"path": "/etc/opendkim/keys", "mode": "0750", "group": "opendkim"},
            {"path": "/etc/sendyard/owners"},
        ],
        "settings": {"fqdn": FQDN, "selector": SELECTOR},
    }


RULES = """\
table inet sendyard
delete table inet sendyard
table inet sendyard {
  set served { type inet_service; elements = { 22, 25, 465, 587, 2525 } }
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    tcp dport @served accept
  }
}
"""
FIREWALL_UNIT = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft --file /etc/sendyard/firewall.nft
ExecStop=/usr/sbin/nft 'table inet sendyard; delete table inet sendyard'
[Install]
WantedBy=sysinit.target
"""


def firewall(rules: str = RULES, **settings: Any) -> dict[str, Any]:
    """Our own table."""
    return {
        "subsystem": "firewall",
        "files": [
            _file("/etc/sendyard/firewall.nft", rules),
            _file("/etc/systemd/system/sendyard-firewall.service", FIREWALL_UNIT),
        ],
        "settings": {"ssh_ports": [22], **settings},
    }


UNBOUND = """\
server:
  interface: 127.0.0.1
  local-zone: "probe.example." static
  local-data: "probe.example. IN A 127.0.0.9"
"""


def resolver(text: str = UNBOUND, **settings: Any) -> dict[str, Any]:
    """Unbound, answering one name by itself: these hosts reach no other name server."""
    return {
        "subsystem": "resolver",
        "files": [
            _file("/etc/unbound/unbound.conf.d/sendyard.conf", text),
            _file("/etc/resolv.conf", "nameserver 127.0.0.1\noptions edns0 trust-ad\n"),
        ],
        "settings": {"probe_name": "probe.example", "probe_type": "A", "deadline": 6, **settings},
    }
