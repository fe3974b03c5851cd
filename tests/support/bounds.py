"""The bound of every table of the pipeline."""

from portsentry_py.config.settings import Limits
from portsentry_py.core import (
    admission,
    bans,
    expectation,
    icmp_errors,
    outbound_table,
    rate_limit,
    reflection,
    route_probes,
    standing,
)
from portsentry_py.core.pipeline import Pipeline


def held_within(engine: Pipeline, limits: Limits) -> None:
    sources, flows, expected, scans = engine._sources, engine._flows, engine._flows.expected, engine._scans
    budget, networks = scans._budget, engine._detection.standing._networks
    assert sources.attempts <= limits.max_attempts
    assert len(sources) <= 2 * limits.max_sources
    records = [record for table in (sources._known, sources._newcomers) for _, record in table.items()]
    assert sources.attempts == sum(len(record.unserved) for record in records)
    assert not any(record.evicted for record in records)
    for per_flow in (flows.inbound, flows.outbound, flows.strays, expected._queried, expected._late):
        assert len(per_flow) <= limits.max_flows
    assert max(len(flows._pending), len(flows._open)) <= limits.max_flows
    for per_source in (scans._fast, scans._slow, scans._banned, engine._detection._connection_limit._sources):
        assert len(per_source) <= limits.max_sources
    assert max(len(flows.latest._attempts), len(flows.latest._replies)) <= icmp_errors._MAX_LATEST
    assert len(expected._servers) <= expectation._MAX_SERVERS
    assert max(len(expected._contacts), len(expected._contact_networks)) <= expectation._MAX_CONTACTS
    assert len(expected._refused) <= expectation._MAX_REFUSED
    assert len(expected._sockets) <= expectation._MAX_SOCKETS
    assert len(expected.reflection._reflectors) <= reflection._MAX_REFLECTORS
    assert len(expected._excused._excused) <= expectation._MAX_EXCUSED_SOURCES
    assert all(len(things) <= expectation._MAX_EXCUSED for _, (_, things) in expected._excused._excused.items())
    assert all(len(late.ports) <= expectation._MAX_LATE_PORTS for _, late in expected._late.items())
    assert all(len(refused.probes) <= expectation._SCAN_PORTS for _, refused in expected._refused.items())
    assert len(expected._unasked) <= expectation._MAX_SWEEPS
    assert all(len(datagrams) <= expectation._MAX_SWEPT for _, datagrams in expected._unasked.items())
    assert max(len(flows.routes._runs), len(flows.routes._targets._excused)) <= route_probes._MAX_RUNS
    outbound = engine._detection._outbound
    assert len(outbound._hosts) <= outbound_table._MAX_SOURCES
    assert all(len(asked) <= outbound_table.MAX_OUTCOMES for _, asked in outbound._hosts.items())
    assert max(len(outbound._known_hosts), len(outbound._known_ports)) <= outbound_table._MAX_KNOWN
    assert len(networks) <= standing._MAX_NETWORKS
    assert all(len(members) <= standing._MAX_NEIGHBOURS for _, members in networks.items())
    assert len(budget._senders) <= bans._MAX_STACKS
    assert all(len(seen) <= bans._ONE_SENDER_NETWORKS for _, seen in budget._senders.items())
    owners = (budget._verified, scans._verified_lines)
    for buckets in (budget._networks, *(part for one in owners for part in (one._near, one._wide))):
        assert len(buckets._buckets) <= rate_limit._MAX_NETWORKS
    assert len(engine._admission._networks) <= admission._MAX_NETWORKS
