"""The bound of every table of the pipeline."""

from portsentry_py.config.settings import Limits
from portsentry_py.core.pipeline import Pipeline


def held_within(engine: Pipeline, limits: Limits) -> None:
    ledger, flows, scans = engine._sources, engine._flows, engine._scans
    assert ledger.attempts <= limits.max_attempts
    assert len(ledger) <= 2 * limits.max_sources
    records = [record for table in (ledger._known, ledger._newcomers) for _, record in table.items()]
    assert ledger.attempts == sum(len(record.unserved) for record in records)
    assert not any(record.evicted for record in records)
    for flow_table in (flows._inbound, flows._outbound):
        assert len(flow_table) <= limits.max_flows
    assert len(flows._pending) <= limits.max_flows
    assert len(flows._handshakes) <= limits.max_flows
    assert len(flows._strays) <= limits.max_flows
    assert max(len(scans._fast), len(scans._slow)) <= limits.max_sources
    assert len(engine._connection_limit._sources) <= limits.max_sources
