"""A log of weeks, made by a formula: the same numbers give the same bytes."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

_START = datetime(2026, 9, 1, tzinfo=timezone.utc)
_PORTS = (22, 23, 80, 443, 445, 3389, 5900, 8080, 1433, 3306, 6379, 9200, 2222, 25, 110, 139, 21, 5060, 5432, 7547)
_RULES = (
    ("ban", "port_scan", "ports_in_window", "syn", "nmap"),
    ("ban", "port_scan", "ports_in_window", "connect", ""),
    ("ban", "slow", "likelihood", "syn", "zmap"),
    ("ban", "sweep", "hosts_in_window", "syn", "masscan"),
    ("watch", "distributed", "network_together", "udp", ""),
    ("watch", "stealth", "impossible_flags", "odd_flags", "nmap"),
    ("ignore", "port_scan", "ignore_list", "syn", ""),
)
_HEAD = '{"timestamp":"%s","event_type":"%s","verdict":"%s","src_ip":"%s","source_verified":%s,"scan_type":"%s",'
_CONNECTION = (
    '"technique":"none","direction":"inbound","src_port":%d,"dest_ip":"192.0.2.1","dest_port":%d,"proto":"tcp",'
    '"outcome":"refused","suppressed":%d,"schema":1}\n'
)
_EVIDENCE = (
    '"technique":"%s","state":"%s","direction":"inbound","dest_ip":"192.0.2.1","dest_port":%d,"proto":"tcp",'
    '"ports":%d,"ports_sample":%s,"hosts":1,"first_seen":"%s","last_seen":"%s","attempts":%d,"closed":8,"open":0,'
    '"score":24,%s"src_net":"%s","reason":"%s","event_id":"%016x","schema":1}\n'
)
_STATUS = (
    '{"timestamp":"%s","event_type":"status","verdict":"none","state":"%s","reason":"none","version":"0.1.0",'
    '"packets_seen":%d,"packets_pending":0,"packets_dropped":%d,"packets_missed":0,"packets":%d,"packets_decoded":%d,'
    '"packets_ignored":0,"packets_malformed":0,"packets_held":0,"probes_unjudged":0,"lines_suppressed":0,'
    '"lines_lost":0,"sources_evicted":0,"flows_evicted":0,"restarts":0,"renewals":0,"packets_forged":0,"schema":1}\n'
)


def long_log(lines: int, days: int) -> Iterator[str]:
    """So many lines over so many days: of 20, 14 are about connections, 5 about scans, 1 about the sensor."""
    random_ = random.Random(lines)
    step = timedelta(days=days) / lines
    for number in range(lines):
        moment = _START + number * step
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        kind = number % 20
        source = random_.getrandbits(22)
        address = f"203.{source >> 16}.{source >> 8 & 255}.{source & 255}"
        port = _PORTS[min(random_.getrandbits(5), random_.getrandbits(5)) % len(_PORTS)]
        if kind == 0:
            state = "started" if number == 0 else "running"
            yield _STATUS % (stamp, state, number * 9, number // 1_000_000, number * 9, number * 9)
        elif kind < 15:
            yield _HEAD % (stamp, "connection", "none", address, "false", "syn")
            yield _CONNECTION % (1024 + source % 60_000, port, source % 3)
        else:
            yield _scan(moment, number, address, port, source)


def _scan(moment: datetime, number: int, address: str, port: int, source: int) -> str:
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    verdict, technique, reason, scan_type, tool = _RULES[number // 20 % len(_RULES)]
    first = (moment - timedelta(seconds=1 + source % 90)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    sample = f"[{port},{1 + source % 3000}]"
    tool = f'"tool":"{tool}",' if tool else ""
    head = _HEAD % (stamp, "scan", verdict, address, "true" if source % 2 else "false", scan_type)
    net = address.rpartition(".")[0] + ".0/24"
    state = "new" if number % 20 == 15 else "ongoing"
    keys = (technique, state, port, 8 + source % 50, sample, first, stamp, 9 + source % 90, tool, net, reason, number)
    return head + _EVIDENCE % keys
