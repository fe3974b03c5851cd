"""Files of other programs, in their form, for the import."""

from pathlib import Path

from portsentry_py.config.importers.source import Source

PORTSENTRY_12 = """\
# PortSentry 1.2, as it was set up on a mail server.
TCP_PORTS="1,11,15,79,111,540,12345,12346"
UDP_PORTS="1,7,9,69,161"
ADVANCED_PORTS_TCP="20"
ADVANCED_PORTS_UDP="10"
ADVANCED_EXCLUDE_TCP="7,13"
IGNORE_FILE="/etc/portsentry/portsentry.ignore"
HISTORY_FILE="/var/lib/portsentry/portsentry.history"
BLOCKED_FILE="/var/lib/portsentry/portsentry.blocked"
RESOLVE_HOST = "1"
BLOCK_UDP="0"
BLOCK_TCP="1"
KILL_ROUTE="/sbin/route add -host $TARGET$ reject"
KILL_HOSTS_DENY="ALL: $TARGET$ : DENY"
KILL_RUN_CMD_FIRST = "1"
KILL_RUN_CMD="/usr/local/bin/page-me $TARGET$ $PORT$ $MODE$"
SCAN_TRIGGER="0"
PORT_BANNER="Go away."
"""
DEFAULT = 'TCP_MODE="atcp"\nUDP_MODE="udp"\n'
PORTSENTRY_2 = """\
TCP_PORTS="1,7,512-515,1080"
UDP_PORTS="7,517-518"
IGNORE_FILE="/etc/portsentry/portsentry.ignore"
HISTORY_FILE="/var/log/portsentry.log"
BLOCK_TCP="2"
BLOCK_UDP="2"
KILL_RUN_CMD="logger -t scan $TARGET$ | cat"
SCAN_TRIGGER="2"
"""
IGNORE = """\
# Ours.
127.0.0.1/32
192.0.2.0/24   # the office
2001:db8:1::/48
198.51.100.77/29
"""
PSAD = """\
### psad
EMAIL_ADDRESSES             root@localhost, noc@example.org;
HOME_NET                    192.0.2.0/24, 2001:db8::/48;
DANGER_LEVEL1               5;    ### Number of packets.
DANGER_LEVEL2               20;
IGNORE_PORTS                udp/53, tcp/61000-61002;
IGNORE_INTERFACES           eth1;
ENABLE_AUTO_IDS             Y;
AUTO_IDS_DANGER_LEVEL       5;
AUTO_BLOCK_TIMEOUT          7200;
AUTO_BLOCK_DL5_TIMEOUT      0;   ### permanent
IPTABLES_BLOCK_METHOD       Y;
TCPWRAPPERS_BLOCK_METHOD    Y;
ENABLE_EXT_SCRIPT_EXEC      Y;
EXTERNAL_SCRIPT             /usr/local/bin/page-me SRCIP;
ENABLE_DSHIELD_ALERTS       N;
AUTO_DL_FILE                /etc/psad/auto_dl;
iptablesCmd                 /sbin/iptables;
"""
AUTO_DL = """\
#  <IP address>  <danger level>  <optional protocol>/<optional ports>;
203.0.113.7       5;                # A bad one.
192.0.2.0/24      0;                # Ours.
198.51.100.1      0    tcp/22;
"""
PARAMS = """\
/* Compiled in. */
#ifndef _SCANLOGD_PARAMS_H
#define SCANLOGD_USER\t\t"scanlogd"
#define SCANLOGD_DEVICE\t\t"eth0"
#define PORT_WEIGHT_PRIV\t3
#define SCAN_MIN_COUNT\t\t5 /* was 7 */
#define SCAN_DELAY_THRESHOLD\t(CLK_TCK * 3)
#undef SCANLOGD_CHROOT
#endif
"""
WHITELIST = """\
name: "my/whitelist"
description: "Our addresses"
whitelist:
  reason: "ours"
  ip:
    - "192.0.2.1"
    - "2001:db8::1"
  cidr:
    - "198.51.100.0/24"
  expression:
    - evt.Enriched.IsoCode == 'FR'
"""
EXAMPLES = {
    "portsentry.conf": PORTSENTRY_12,
    "portsentry": DEFAULT,
    "portsentry2.conf": PORTSENTRY_2,
    "portsentry.ignore": IGNORE,
    "psad.conf": PSAD,
    "auto_dl": AUTO_DL,
    "params.h": PARAMS,
    "whitelist.yaml": WHITELIST,
}


def source(text: str, name: str = "file") -> Source:
    return Source(Path("/etc", name), text)
