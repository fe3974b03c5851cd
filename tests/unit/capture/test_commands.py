"""The command lines of dumpcap."""

import os
from pathlib import Path

import pytest

from portsentry_py.capture.bpf import PLAIN, FilterHost, kernel_filter
from portsentry_py.capture.commands import dumpcap_commands, environment, worker_count
from portsentry_py.config.settings import Capture, WorkerCount, Workers
from portsentry_py.host.interfaces import Interface

DUMPCAP = "/usr/bin/dumpcap"
US = FilterHost(frozenset({"192.0.2.1"}), frozenset({53}))
ETHERNET = [Interface("eth0", ethernet=True), Interface("tun0", ethernet=False)]


def test_one_worker_has_every_packet_and_the_whole_buffer() -> None:
    settings = Capture(workers=1)
    (both,) = dumpcap_commands(DUMPCAP, ETHERNET, US, settings)
    assert both == [
        *(DUMPCAP, "-q", "-s", "128", "-B", "64", "-C", str(64 << 20)),
        *("-f", kernel_filter(US, vlan=True, direction=True), "-i", "eth0"),
        *("-i", "tun0", "-f", kernel_filter(US, vlan=False, direction=True)),
        *("-w", "-"),
    ]
    (alone,) = dumpcap_commands(DUMPCAP, ETHERNET[:1], PLAIN, settings)
    assert "-C" not in alone, "one interface has no queue besides the kernel's"


@pytest.mark.parametrize(("workers", "buffer_mib", "each_mib"), [(2, 64, 32), (4, 64, 16), (8, 5, 1)])
def test_several_workers_share_packets_and_buffer(workers: WorkerCount, buffer_mib: int, each_mib: int) -> None:
    settings = Capture(workers=workers, buffer_mib=buffer_mib)
    commands = list(dumpcap_commands(DUMPCAP, ETHERNET, US, settings))
    assert len(commands) == workers
    for number, command in enumerate(commands):
        assert command[command.index("-B") + 1] == str(each_mib)
        for vlan in (True, False):
            assert kernel_filter(US, vlan=vlan, direction=True, worker=number, workers=workers) in command


def test_many_interfaces_share_one_filter() -> None:
    many = [Interface(f"eth{number}", ethernet=True) for number in range(100)]
    (command,) = dumpcap_commands(DUMPCAP, many, US, Capture(workers=1))
    assert command.count("-f") == 1
    assert command.index("-f") < command.index("-i"), "dumpcap applies it to all"


def test_on_loopback_no_frame_is_known_to_be_forged() -> None:
    loopback = [Interface("lo", ethernet=False, loopback=True)]
    (command,) = dumpcap_commands(DUMPCAP, loopback, US, Capture(workers=1))
    assert "inbound" not in command[command.index("-f") + 1]


@pytest.mark.parametrize(
    ("wanted", "cores", "workers"), [("auto", 3, 1), ("auto", 4, 2), ("auto", 64, 2), (1, 64, 1), (8, 1, 8)]
)
def test_four_cores_are_enough_for_two_workers(wanted: Workers, cores: int, workers: int) -> None:
    assert worker_count(wanted, cores) == workers


def test_only_the_cores_that_this_process_may_use_count() -> None:
    assert worker_count("auto") == worker_count("auto", len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("name", ["WIRESHARK_EXTCAP_DIR", "WIRESHARK_PLUGIN_DIR", "HOME"])
def test_tshark_finds_no_programs_and_plugins_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path))
    assert not Path(environment()[name]).exists()
