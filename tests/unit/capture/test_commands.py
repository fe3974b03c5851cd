"""The command lines of dumpcap."""

from __future__ import annotations

import pytest

from portsentry_py.capture import commands as capturing
from portsentry_py.capture.bpf import kernel_filter
from portsentry_py.capture.commands import dumpcap_commands
from portsentry_py.config.settings import Capture
from portsentry_py.host.interfaces import Interface

DUMPCAP = "/usr/bin/dumpcap"
ETHERNET = [Interface("eth0", ethernet=True), Interface("tun0", ethernet=False)]


def test_one_worker_has_every_packet_and_the_whole_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "usable_cores", lambda: 3)
    capturing._automatic_workers.cache_clear()
    expected = [
        *(DUMPCAP, "-q", "-s", "128", "-B", "64", "-C", str(64 << 20)),
        *("-i", "eth0", "-f", kernel_filter({53}, vlan=True)),
        *("-i", "tun0", "-f", kernel_filter({53}, vlan=False)),
        *("-w", "-"),
    ]
    for workers in ("auto", 1):
        settings = Capture(workers=workers)
        commands = dumpcap_commands(DUMPCAP, ETHERNET, frozenset({53}), settings)
        assert list(commands) == [expected]
    (alone,) = dumpcap_commands(DUMPCAP, ETHERNET[:1], frozenset(), settings)
    assert "-C" not in alone, "one interface has no queue beside the kernel's"
    capturing._automatic_workers.cache_clear()


@pytest.mark.parametrize(
    ("workers", "buffer_mib", "each_mib"), [("auto", 64, 32), (2, 64, 32), (4, 64, 16), (8, 5, 1)]
)
def test_several_workers_share_packets_and_buffer(
    monkeypatch: pytest.MonkeyPatch, workers: int | str, buffer_mib: int, each_mib: int
) -> None:
    monkeypatch.setattr(capturing, "usable_cores", lambda: 4)
    capturing._automatic_workers.cache_clear()
    settings = Capture(workers=workers, buffer_mib=buffer_mib)
    commands = list(dumpcap_commands(DUMPCAP, ETHERNET, frozenset({53}), settings))
    count = 2 if workers == "auto" else workers
    assert len(commands) == count
    for number, command in enumerate(commands):
        assert command[command.index("-B") + 1] == str(each_mib)
        for vlan in (True, False):
            assert kernel_filter({53}, vlan=vlan, worker=number, workers=len(commands)) in command
    capturing._automatic_workers.cache_clear()
