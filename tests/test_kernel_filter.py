"""The capture filter compiles, and keeps what the core needs."""

from __future__ import annotations

import subprocess

import pytest

from portsentry_py.kernel_filter import kernel_filter
from tests.tools import require_root, require_tool


def compiled(expression: str) -> subprocess.CompletedProcess[str]:
    """What dumpcap makes of a filter on loopback, which it may open only as root."""
    require_root()
    command = [require_tool("dumpcap"), "-i", "lo", "-f", expression, "-d"]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("vlan", [False, True])
@pytest.mark.parametrize("served", [set[int](), {53}, set(range(1, 60))])
def test_it_compiles(served: set[int], vlan: bool) -> None:
    done = compiled(kernel_filter(served, vlan=vlan))
    assert "ret" in done.stdout, done.stderr


def test_a_broken_filter_would_be_noticed() -> None:
    done = compiled("tcp[13] & nonsense")
    assert "ret" not in done.stdout
    assert "syntax error" in done.stderr


def test_served_udp_stays_in_the_kernel() -> None:
    expression = kernel_filter({443, 53}, vlan=False)
    assert expression.index("not port 53") < expression.index("not port 443")
    assert "not port" not in kernel_filter((), vlan=False)


def test_the_same_ports_give_the_same_filter() -> None:
    assert kernel_filter([53, 123], vlan=True) == kernel_filter([123, 53], vlan=True)


@pytest.mark.parametrize("vlan", [False, True])
def test_brackets_are_balanced(vlan: bool) -> None:
    expression = kernel_filter({53}, vlan=vlan)
    depth = 0
    for character in expression:
        depth += {"(": 1, ")": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("part", ["tcp[13] & 0x17 != 0x10", "ip6[53] & 0x17 != 0x10", "icmp", "0x3fff"])
def test_both_families_fragments_and_errors_pass(part: str) -> None:
    assert part in kernel_filter({53}, vlan=False)


def test_tagged_frames_pass_where_the_link_has_tags() -> None:
    assert "vlan" not in kernel_filter((), vlan=False)
    assert kernel_filter((), vlan=True).count("vlan and") == 2
