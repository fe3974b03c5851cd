"""Each fault of a configured fleet is named with its fix; without a fleet nothing is said."""

import os
from pathlib import Path

import pytest

from portsentry_py.checks import fleet as module
from portsentry_py.checks.fleet import FleetHost, check_fleet, require_library
from portsentry_py.checks.result import Level
from portsentry_py.config.settings import Fleet
from portsentry_py.deploy.service_files import FLEET_UNITS
from portsentry_py.deploy.system import System
from portsentry_py.errors import LibraryMissing
from portsentry_py.fleet import credentials, snapshot
from tests.support.fake_fail2ban import JailsClient
from tests.support.fleet import NOW_US, receiver

JAILS = ("portsentry", "portsentry-fleet")
SECRET = credentials.Credentials("web1", ("tls://broker.example:4222",), "SUSECRET", "OPUBLIC", "PEM")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with the credentials, both services and fail2ban."""
    monkeypatch.setattr("portsentry_py.deploy.fleet.must_be_visible", lambda _: None)
    (tmp_path / "etc/fail2ban").mkdir(parents=True)
    credentials.write(tmp_path / "fleet.json", SECRET)
    folder = tmp_path / "etc/systemd/system"
    (folder / "multi-user.target.wants").mkdir(parents=True)
    for name in FLEET_UNITS:
        (folder / name).write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
        (folder / "multi-user.target.wants" / name).symlink_to(f"/etc/systemd/system/{name}")
    write_state(tmp_path, "tls://broker.example:4222")
    return tmp_path


def write_state(root: Path, broker: str) -> None:
    snapshot.write(root / "state.json", snapshot.snapshot(receiver(), "web1", broker, "ban", NOW_US))


def found(
    root: Path, *, mode: str = "ban", jails: tuple[str, ...] = JAILS, running: bool = True, active: bool = True
) -> list[tuple[Level, str]]:
    settings = Fleet(credentials=str(root / "fleet.json"), state=str(root / "state.json"))
    if mode == "ban":
        settings = Fleet(credentials=settings.credentials, state=settings.state, mode="ban")
    client = JailsClient(held={name: set() for name in jails})
    host = FleetHost(System(root, running), None, lambda _: active, client)
    return [(result.level, result.text) for result in check_fleet(settings, host)]


def faults(results: list[tuple[Level, str]]) -> list[tuple[Level, str]]:
    return [result for result in results if result[0] != "ok"]


def test_a_fleet_that_works_is_described(root: Path) -> None:
    assert found(root) == [
        ("ok", f"this host is web1 ({root}/fleet.json)"),
        ("ok", "connected to tls://broker.example:4222, mode ban"),
        ("ok", "the jail [portsentry-fleet] is on"),
    ]


def test_without_a_fleet_nothing_is_said_unless_something_is_left(root: Path, tmp_path: Path) -> None:
    host = FleetHost(System(root, running=True), None, lambda _: True, JailsClient())
    (result,) = check_fleet(Fleet(), host)
    assert (result.level, result.text) == (
        "warning",
        "it is off in the configuration, and its services are installed; run `portsentry-py install`.",
    )
    empty = tmp_path / "empty"
    (empty / "etc").mkdir(parents=True)
    host = FleetHost(System(empty, running=True), None, lambda _: True, JailsClient())
    assert list(check_fleet(Fleet(), host)) == []


def test_a_missing_library_is_broken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_library()
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "nkeys" else name)
    with pytest.raises(LibraryMissing):
        require_library()
    assert faults(found(root)) == [("broken", "nkeys is not installed; run `pip install 'portsentry-py[fleet]'`.")]


def test_credentials_that_others_may_read_are_broken(root: Path) -> None:
    (root / "fleet.json").chmod(0o644)
    assert faults(found(root)) == [
        ("broken", f"{root}/fleet.json: others may read this secret; run: chmod 600 {root}/fleet.json")
    ]


def test_credentials_of_root_cannot_be_read_by_the_user_of_the_service(root: Path) -> None:
    assert os.geteuid() == 0
    for folder in (root, *root.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    host = FleetHost(System(root, running=False), "nobody", lambda _: True, JailsClient(held={JAILS[1]: set()}))
    results = check_fleet(Fleet(credentials=str(root / "fleet.json")), host)
    first = next(results)
    assert first.level == "broken"
    assert first.text.endswith("its owner is the user of the service. (as nobody, the user of the service)")


def test_a_broker_beyond_this_host_needs_tls(root: Path) -> None:
    plain = credentials.Credentials("web1", ("nats://broker.example:4222",), "SUSECRET", "OPUBLIC")
    credentials.write(root / "fleet.json", plain)
    ((level, text),) = faults(found(root))
    assert (level, text.startswith("nats://broker.example:4222: everybody on the way")) == ("broken", True)


def test_services_that_do_not_run_or_not_start_at_boot_are_broken(root: Path) -> None:
    fleet, unban = FLEET_UNITS
    assert faults(found(root, active=False)) == [
        ("broken", f"the service {name} does not run; look into `journalctl -u {name}`.") for name in FLEET_UNITS
    ]
    (root / "etc/systemd/system" / fleet).unlink()
    (root / "etc/systemd/system/multi-user.target.wants" / fleet).unlink()
    assert faults(found(root)) == [
        ("broken", f"the service {fleet} does not start at boot; run `portsentry-py install`.")
    ]
    assert faults(found(root, active=False))[1][1].startswith(f"the service {unban} does not run")
    assert faults(found(root, running=False)) == [], "a container has no services"


def test_a_host_without_a_broker_is_warned_of(root: Path) -> None:
    write_state(root, "")
    ((level, text),) = faults(found(root))
    assert (level, text) == (
        "warning",
        "no connection to a broker; look into `journalctl -u portsentry-py-fleet.service`.",
    )
    (root / "state.json").unlink()
    ((level, text),) = faults(found(root))
    assert (level, "no state of the fleet" in text) == ("warning", True)


def test_a_jail_that_is_off_is_broken_where_others_may_ban(root: Path) -> None:
    ((level, text),) = faults(found(root, jails=("portsentry",)))
    assert (level, text.startswith("nobody that others ban is banned here")) == ("broken", True)
    ((level, text),) = faults(found(root, jails=("portsentry",), mode="watch"))
    assert (level, "`mode: ban` needs" in text) == ("warning", True)
