"""A protected address protects itself and the /64 that would hit it."""

from ipaddress import ip_network

import pytest

from portsentry_py.fleet.protection import Protection

PROTECTION = Protection(
    [
        ("9.9.9.9", "resolver"),
        ("2a00:1450::1", "gateway"),
        (ip_network("45.0.0.0/8"), "ignore_list"),
        ("45.1.1.1", "friend"),
    ]
)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("9.9.9.9", "resolver"),
        ("9.9.9.8", None),
        ("2a00:1450::1", "gateway"),
        ("2a00:1450::/64", "gateway"),
        ("2a00:1450::2", None),
        ("2a00:1450:0:1::/64", None),
        ("45.9.9.9", "ignore_list"),
        ("45.1.1.1", "friend"),
    ],
)
def test_a_source_has_the_reason(source: str, reason: str | None) -> None:
    assert PROTECTION.reason(source) == reason


def test_without_protected_addresses_nobody_is_protected() -> None:
    assert Protection().reason("9.9.9.9") is None
