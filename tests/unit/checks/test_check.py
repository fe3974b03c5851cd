"""`check` names what is wrong and the fix, and changes nothing."""

from dataclasses import replace
from pathlib import Path

from portsentry_py.capture.toolchain import Tools
from portsentry_py.checks.check import Host, Result, Trial, check
from portsentry_py.config.settings import DEFAULT_LOG, Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import CaptureError, ConfigError, OutputError
from portsentry_py.fail2ban.installer import install
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import US, log_lines, lost, micros, strict
from tests.support.disk import fill, small_disk
from tests.support.other_users import as_nobody, shared_folder

# A host without a fault, and without fail2ban.
HOST = Host(
    find_tools=lambda: Tools("/usr/bin/tshark", "/usr/bin/dumpcap", "4.0.17"),
    default_interfaces=lambda: ["eth0"],
    all_interfaces=lambda: ["eth0", "lo", "any"],
    tshark_interfaces=lambda _tools: ["eth0", "lo"],
    try_capture=lambda *_: Trial(),
    confinement=lambda: ["landlock", "seccomp"],
    sensor_receives=lambda _log, _names: True,
    root=Path("/nonexistent"),
)


def results(
    host: Host = HOST, *, live: bool = False, log: str | Path = "-", interfaces: tuple[str, ...] = ()
) -> dict[str, Result]:
    settings = replace(Settings(), log=str(log), interfaces=interfaces)
    return {result.name: result for result in check(settings, host, live=live)}


def test_a_host_without_a_fault_has_no_errors() -> None:
    found = results()
    assert {name for name, result in found.items() if result.error} == set()
    assert found["tshark"].text == "/usr/bin/tshark 4.0.17"
    assert found["capture"].text == "works on eth0"


def test_without_tshark_the_rest_is_still_checked() -> None:
    def refuse() -> Tools:
        raise CaptureError("tshark is not installed")

    found = results(replace(HOST, find_tools=refuse))
    assert isinstance(found["tshark"].error, CaptureError)
    assert set(found) == {"tshark", "known scanners", "log", "jail"}


def test_a_table_of_known_scanners_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    assert results()["known scanners"].text.endswith(" networks (shipped)")
    settings = replace(Settings(), log="-", known_scanners_table=str(tmp_path / "none.csv"))
    found = {result.name: result for result in check(settings, HOST)}
    assert isinstance(found["known scanners"].error, ConfigError)


def test_an_interface_that_does_not_exist_is_an_error() -> None:
    found = results(interfaces=("eth0", "eth9"))
    assert found["interfaces"].text == "no interface eth9; choose among eth0, lo, any."
    assert isinstance(found["interfaces"].error, CaptureError)


def test_an_interface_that_only_tshark_knows_can_be_watched() -> None:
    host = replace(HOST, tshark_interfaces=lambda _tools: ["eth0", "randpkt"])
    assert results(host, interfaces=("randpkt",))["capture"].error is None


def test_a_host_with_loopback_alone_watches_any() -> None:
    found = results(replace(HOST, default_interfaces=list, tshark_interfaces=lambda _tools: []))
    assert found["interfaces"].warning
    assert found["capture"].text == "works on any"


def test_a_refused_capture_is_an_error() -> None:
    def refuse(*_: object) -> Trial:
        raise CaptureError("cannot capture on eth0: no")

    assert isinstance(results(replace(HOST, try_capture=refuse))["capture"].error, CaptureError)


def test_a_kernel_that_cannot_count_is_a_warning() -> None:
    assert not results()["counter"].warning
    found = results(replace(HOST, try_capture=lambda *_: Trial(counter_fault="not permitted")))["counter"]
    assert (found.warning, found.error) == (True, None)
    assert "(not permitted)" in found.text


def test_a_missing_confinement_is_a_warning() -> None:
    assert not results()["sandbox"].warning
    found = results(replace(HOST, confinement=lambda: ["seccomp"]))["sandbox"]
    assert found.text == "tshark is confined without landlock, which this system lacks"
    assert found.warning


def test_a_confinement_that_the_kernel_refuses_is_an_error() -> None:
    def refuse() -> list[str]:
        raise OSError(1, "landlock_create_ruleset: Operation not permitted")

    found = results(replace(HOST, confinement=refuse))["sandbox"]
    assert found.text == "tshark cannot be confined (landlock_create_ruleset: Operation not permitted)"
    assert isinstance(found.error, CaptureError)


def test_a_live_check_needs_a_sensor_that_receives_the_packet(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert "sensor" not in results(log=log)
    assert results(live=True, log=log)["sensor"].text == "received the test packet"
    silent = replace(HOST, sensor_receives=lambda _log, _names: False)
    assert isinstance(results(silent, live=True, log=log)["sensor"].error, CaptureError)
    assert isinstance(results(live=True)["sensor"].error, CaptureError), "standard output cannot be read back"


def test_a_live_check_needs_a_capture_that_receives_the_packet() -> None:
    found = results(replace(HOST, try_capture=lambda *_: Trial(("eth0",))), live=True)
    assert found["capture"].text == "no test packet arrives on eth0; check that the interface is up."
    assert isinstance(found["capture"].error, CaptureError)
    assert "sensor" not in found


def test_a_writable_log_is_no_fault_and_is_not_created(tmp_path: Path) -> None:
    assert results(log=tmp_path / "log")["log"].error is None
    assert not (tmp_path / "log").exists()


def test_a_log_without_a_directory_is_an_error(tmp_path: Path) -> None:
    assert isinstance(results(log=tmp_path / "none" / "log")["log"].error, OutputError)


def test_a_directory_in_place_of_the_log_is_an_error(tmp_path: Path) -> None:
    found = results(log=tmp_path)["log"]
    assert isinstance(found.error, OutputError)
    assert "it is a directory" in found.text


def test_a_log_that_is_a_link_is_an_error_with_the_fix(tmp_path: Path) -> None:
    """test_log_file.py has the other faults of a log; `run` and `check` report the same ones."""
    (tmp_path / "log").symlink_to("/etc/passwd")
    found = results(log=tmp_path / "log")["log"]
    assert isinstance(found.error, OutputError)
    assert found.text.endswith("(it is a symbolic link); put a regular file in its place, or name another log.")


def test_a_full_disk_is_a_warning(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        fill(disk)
        found = results(log=disk / "log")["log"]
        assert (found.error, found.warning) == (None, True)
        assert "its file system is full" in found.text
        assert not (disk / "log").exists()


def test_a_log_that_the_user_may_not_write_is_an_error() -> None:
    with shared_folder() as folder:
        script = f"""
            from portsentry_py.checks import check
            print(type(check._log("{folder}/log").error).__name__)
        """
        assert as_nobody(script) == "PermissionDenied\n"


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
    assert found.warning
    assert found.error is None
    assert "60123 packets" in found.text
    assert "capture.buffer_mib" in found.text


def test_packets_in_our_name_are_a_warning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(log_lines([status_event(Pipeline(strict(), US), micros(0), "running", "none", forged=7)])))
    found = results(log=log)["sensor"]
    assert found.warning
    assert found.text.startswith("7 packets came in with this host's own address")


def jail_texts(host: Host, log: str) -> list[str]:
    found = [result for result in check(Settings(log=log), host) if result.name == "jail"]
    assert all(result.warning for result in found[1:])
    return [result.text for result in found]


def test_without_fail2ban_the_jail_has_one_warning() -> None:
    (text,) = jail_texts(HOST, DEFAULT_LOG)
    assert text == "fail2ban is not installed below /nonexistent; run `apt-get install fail2ban`."


def test_a_missing_jail_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "etc/fail2ban").mkdir(parents=True)
    assert "no jail portsentry" in jail_texts(replace(HOST, root=tmp_path), DEFAULT_LOG)[0]


def test_an_installed_jail_that_reads_another_log_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "etc/fail2ban").mkdir(parents=True)
    install(tmp_path)
    host = replace(HOST, root=tmp_path)
    installed, *conflicts = jail_texts(host, DEFAULT_LOG)
    assert installed == f"installed in {tmp_path}/etc/fail2ban"
    assert any("fail2ban is not installed below" in text for text in conflicts)
    assert jail_texts(host, "-") == [
        installed,
        f"it reads {DEFAULT_LOG}, but the log is -; set logpath in jail.local.",
        *conflicts,
    ]
