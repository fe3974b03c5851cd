"""`check` names what is wrong and the fix, and changes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from portsentry_py.capture.toolchain import Tools
from portsentry_py.checks.check import Host, Trial, check
from portsentry_py.checks.jail import Fail2banHost
from portsentry_py.checks.result import Result
from portsentry_py.config.settings import Metrics, Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import CaptureError
from portsentry_py.host.choice import Choice
from portsentry_py.output import registry
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import US, log_lines, lost, micros, strict
from tests.support.disk import fill, small_disk
from tests.support.other_users import as_nobody, shared_folder

# A host without a fault, and without fail2ban.
HOST = Host(
    find_tools=lambda: Tools("/usr/bin/tshark", "/usr/bin/dumpcap", "4.0.17"),
    choices=lambda: [Choice(2, "eth0", "itself", "a device"), Choice(1, "lo", "no", "loopback")],
    all_interfaces=lambda: ["eth0", "lo", "any"],
    dumpcap_interfaces=lambda _tools: ["eth0", "lo"],
    try_capture=lambda *_: Trial(),
    confinement=lambda: ["landlock", "seccomp"],
    sensor_receives=lambda _log, _names: True,
    running_sensors=list,
    left_by_drill=lambda: None,
    fail2ban=Fail2banHost(root=Path("/nonexistent")),
)


def results(
    host: Host = HOST, *, live: bool = False, log: str | Path = "-", interfaces: tuple[str, ...] = ()
) -> dict[str, Result]:
    settings = replace(Settings(), log=str(log), interfaces=interfaces)
    return {result.name: result for result in check(settings, host, live=live)}


def test_a_host_without_a_fault_has_no_errors() -> None:
    found = results()
    assert {name for name, result in found.items() if result.level != "ok"} == {"jail"}
    assert found["tshark"].text == "/usr/bin/tshark 4.0.17"
    assert found["capture"].text == "works on eth0"


def test_without_tshark_the_rest_is_still_checked() -> None:
    def refuse() -> Tools:
        raise CaptureError("tshark is not installed")

    found = results(replace(HOST, find_tools=refuse))
    assert found["tshark"].level == "broken"
    assert set(found) == {"tshark", "core", "log", "jail"}


def test_an_interface_that_does_not_exist_is_an_error() -> None:
    found = results(interfaces=("eth0", "eth9"))
    assert found["interfaces"].text == "no interface eth9; choose among eth0, lo, any."
    assert found["interfaces"].level == "broken"


def test_an_interface_that_only_dumpcap_knows_can_be_watched() -> None:
    host = replace(HOST, dumpcap_interfaces=lambda _tools: ["eth0", "nflog"])
    assert results(host, interfaces=("nflog",))["capture"].level == "ok"


def test_a_host_with_loopback_alone_watches_any() -> None:
    found = results(replace(HOST, choices=list, dumpcap_interfaces=lambda _tools: []))
    assert found["interfaces"].level == "warning"
    assert found["capture"].text == "works on any"


def test_a_refused_capture_is_an_error() -> None:
    def refuse(*_: object) -> Trial:
        raise CaptureError("cannot capture on eth0: no")

    assert results(replace(HOST, try_capture=refuse))["capture"].level == "broken"


def test_a_kernel_that_cannot_count_is_a_warning() -> None:
    assert results()["counter"].level == "ok"
    found = results(replace(HOST, try_capture=lambda *_: Trial(counter_fault="not permitted")))["counter"]
    assert found.level == "warning"
    assert "(not permitted)" in found.text


def test_the_core_of_a_checkout_is_interpreted() -> None:
    assert results()["core"] == Result("core", "interpreted")


def test_a_missing_confinement_is_a_warning() -> None:
    assert results()["sandbox"].level == "ok"
    found = results(replace(HOST, confinement=lambda: ["seccomp"]))["sandbox"]
    assert found.text == "tshark is confined without landlock, which this system lacks"
    assert found.level == "warning"


def test_a_confinement_that_the_kernel_refuses_is_an_error() -> None:
    def refuse() -> list[str]:
        raise OSError(1, "landlock_create_ruleset: Operation not permitted")

    found = results(replace(HOST, confinement=refuse))["sandbox"]
    assert found.text.startswith("tshark cannot be confined (landlock_create_ruleset: Operation not permitted); let ")
    assert found.level == "broken"


def test_a_live_check_needs_a_sensor_that_receives_the_packet(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert "sensor" not in results(log=log)
    assert results(live=True, log=log)["sensor"].text == "received the test packet"
    silent = replace(HOST, sensor_receives=lambda _log, _names: False)
    assert results(silent, live=True, log=log)["sensor"].level == "broken"
    assert results(live=True)["sensor"].level == "broken", "standard output cannot be read back"


def test_a_live_check_needs_a_capture_that_receives_the_packet() -> None:
    found = results(replace(HOST, try_capture=lambda *_: Trial(("eth0",))), live=True)
    assert found["capture"].text == "no test packet arrives on eth0; check that the interface is up."
    assert found["capture"].level == "broken"
    assert "sensor" not in found


def test_a_writable_log_is_no_fault_and_is_not_created(tmp_path: Path) -> None:
    assert results(log=tmp_path / "log")["log"].level == "ok"
    assert not (tmp_path / "log").exists()


def test_a_log_without_a_directory_is_an_error(tmp_path: Path) -> None:
    assert results(log=tmp_path / "none" / "log")["log"].level == "broken"


def test_a_directory_in_place_of_the_log_is_an_error(tmp_path: Path) -> None:
    found = results(log=tmp_path)["log"]
    assert found.level == "broken"
    assert "it is a directory" in found.text


def test_a_log_that_is_a_link_is_an_error_with_the_fix(tmp_path: Path) -> None:
    """test_log_file.py has the other faults of a log; `run` and `check` report the same ones."""
    (tmp_path / "log").symlink_to("/etc/passwd")
    found = results(log=tmp_path / "log")["log"]
    assert found.level == "broken"
    assert found.text.endswith("(it is a symbolic link); put a regular file in its place, or name another log.")


def test_a_full_disk_is_a_warning(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        fill(disk)
        found = results(log=disk / "log")["log"]
        assert found.level == "warning"
        assert "its file system is full" in found.text
        assert not (disk / "log").exists()


def test_a_log_that_the_user_may_not_write_is_an_error() -> None:
    with shared_folder() as folder:
        script = f"""
            from portsentry_py.checks import check
            print(check._log("{folder}/log").level)
        """
        assert as_nobody(script) == "broken\n"


def test_dropped_packets_are_a_warning_with_the_fix(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert "sensor" not in results(log=log)
    events = [
        status_event(Pipeline(strict(), US), micros(at), "running", "none", loss=lost(dropped))
        for at, dropped in ((0, 0), (60, 0), (120, 60_123))
    ]
    log.write_bytes(b"".join(log_lines(events[:2])))
    assert "sensor" not in results(log=log)
    log.write_bytes(b"".join(log_lines(events)))
    found = results(log=log)["sensor"]
    assert found.level == "warning"
    assert "60123 packets" in found.text
    assert "capture.buffer_mib" in found.text


def test_packets_in_our_name_are_a_warning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(log_lines([status_event(Pipeline(strict(), US), micros(0), "running", "none", forged=7)])))
    found = results(log=log)["sensor"]
    assert found.level == "warning"
    assert found.text.startswith("7 packets came in with this host's own address")


def test_what_comes_and_goes_is_listed_and_a_long_list_is_cut() -> None:
    ports = [Choice(10 + nth, f"veth{nth:02}", "no", "a port of br0, which sees the same") for nth in range(20)]
    chosen = [
        Choice(2, "eth0", "itself", "a device"),
        Choice(3, "tun0", "others", "tun, which can go at any time"),
        *ports,
    ]
    text = results(replace(HOST, choices=lambda: chosen))["interfaces"].text
    assert text.startswith(
        "eth0 (a device); and all others that come and go, now tun0 (tun, which can go at any time);"
    )
    assert text.endswith("veth11 (a port of br0, which sees the same), 8 more")


def test_the_watched_interfaces_are_listed() -> None:
    assert results()["interfaces"].text == "eth0 (a device); and all others that come and go; not lo (loopback)"
    assert results(interfaces=("lo",))["interfaces"].text == "lo (as configured)"


def test_more_than_one_sensor_is_a_warning() -> None:
    found = results(replace(HOST, running_sensors=lambda: [11, 12]))["sensor"]
    assert found.level == "warning"
    assert found.text.startswith("2 run on this host (pid 11, 12)")
    assert "sensor" not in results(replace(HOST, running_sensors=lambda: [11]))


def test_what_a_drill_could_not_remove_is_a_warning() -> None:
    found = results(replace(HOST, left_by_drill=lambda: ("192.0.2.7", "192.0.2.8")))["drill"]
    assert found.level == "warning"
    assert found.text.startswith("fail2ban may hold bans of 2 addresses of one; run `portsentry-py drill --clean`")
    assert "drill" not in results(replace(HOST, left_by_drill=tuple))


def test_metrics_without_their_package_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(Settings(), log="-", metrics=Metrics(listen="127.0.0.1:9797"))
    assert "metrics" not in {result.name for result in check(settings, HOST)}
    monkeypatch.setattr(registry, "find_spec", lambda _name: None)
    (found,) = [result for result in check(settings, HOST) if result.name == "metrics"]
    assert found.level == "broken"
    assert "pip install portsentry-py[metrics]" in found.text
