"""A change of a ban is no sweep, and has no doubt."""

from portsentry_py.fleet.change import Change
from tests.support.fleet import NOW_US, ban


def test_a_ban_of_another_host_has_no_port_and_no_doubt() -> None:
    change = Change(True, ban(), ("web1",), NOW_US)
    assert (change.port, change.is_doubtful) == (None, False)
