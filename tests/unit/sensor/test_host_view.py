"""What cannot be read now stays as it was."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.core.host_state import HostState
from portsentry_py.errors import CaptureError
from portsentry_py.host.interfaces import OTHERS
from portsentry_py.sensor import host_view
from portsentry_py.sensor.allowlist import Allowlist
from portsentry_py.sensor.host_view import HostView
from tests.support.build import HOST, SCANNER, US

NO_LIST = Allowlist("off", int)
HOME = (ip_network("192.0.2.0/24"),)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> HostView:
    """A host with one address."""
    monkeypatch.setattr(host_view, "host_state", lambda home, traps: HostState(own=US.own, home=home, open_traps=traps))
    monkeypatch.setattr(host_view, "own_addresses", lambda: US.own)
    return HostView((), frozenset({23}), NO_LIST)


def fail(*_: object) -> None:
    raise FileNotFoundError(2, "No such file or directory")


def test_a_refresh_reads_the_host_with_its_networks_and_traps(host: HostView) -> None:
    assert host.refresh(HOME)
    assert host.state == HostState(own=US.own, home=HOME, open_traps=frozenset({23}))


def test_a_host_that_cannot_be_read_now_stays_as_it_was(host: HostView, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes end while /proc is read; the next refresh reads it again."""
    before = host.state
    monkeypatch.setattr(host_view, "host_state", fail)
    assert not host.refresh(HOME)
    assert host.state is before


def test_a_host_that_cannot_be_read_at_the_start_is_an_error(host: HostView, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host
    monkeypatch.setattr(host_view, "host_state", fail)
    with pytest.raises(CaptureError, match="cannot read addresses and sockets: No such file or directory"):
        HostView((), frozenset(), NO_LIST)


def test_a_new_address_is_noticed(host: HostView, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not host.has_changed()
    monkeypatch.setattr(host_view, "own_addresses", lambda: frozenset({HOST, "192.0.2.11"}))
    assert host.has_changed()
    monkeypatch.setattr(host_view, "own_addresses", fail)
    assert not host.has_changed()


@pytest.mark.usefixtures("host")
def test_another_allowlist_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "allowlist"
    host = HostView((), frozenset(), Allowlist(str(file), int))
    assert not host.has_changed()
    file.write_text(SCANNER)
    assert host.has_changed()
    assert host.refresh(())
    assert host.state.allowed == (ip_network(SCANNER),)
    assert not host.has_changed()


def test_this_host_has_what_its_parts_say() -> None:
    host = HostView((), frozenset(), NO_LIST)
    assert set(host.interfaces()) <= host.links_up() | {OTHERS}
    assert not host.has_changed()


def test_the_host_is_read_again_with_the_networks_that_it_had(host: HostView, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.refresh(HOME)
    assert host.read_again() == HostState(own=US.own, home=HOME, open_traps=frozenset({23}))
    monkeypatch.setattr(host_view, "host_state", fail)
    assert host.read_again() is None
