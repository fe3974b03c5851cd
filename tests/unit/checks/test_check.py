"""`check` says what is wrong and the fix, and changes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from portsentry_py.capture.toolchain import Tools
from portsentry_py.checks import check as checking
from portsentry_py.checks.check import Result, check
from portsentry_py.config.settings import Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import CaptureError, OutputError
from portsentry_py.fail2ban.pack import pack_files
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import US, log_lines, lost, micros, strict
from tests.support.disk import fill, small_disk
from tests.support.other_users import as_nobody, shared_folder

TOOLS = Tools("/usr/bin/tshark", "/usr/bin/dumpcap", "4.0.17")


class Capturing:
    """A capture that works, or is refused."""

    refusal: CaptureError | None = None

    def __init__(self, *_: object) -> None:
        if self.refusal is not None:
            raise self.refusal

    def read(self, _timeout_seconds: float) -> list[str]:
        """Nothing comes."""
        return []

    def stop(self) -> list[str]:
        """Nothing was captured."""
        return []


class Counting:
    """A kernel that counts, or may not."""

    refusal: OSError | None = None

    def __init__(self, _launcher: object) -> None:
        """Needs none."""

    def watch(self, _names: object, _served: object) -> None:
        """Refuse, if that is its way."""
        if self.refusal is not None:
            raise self.refusal

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which all is well, without fail2ban."""
    monkeypatch.setattr(checking, "find_tools", lambda: Tools("/usr/bin/tshark", "/bin/true", "4.0.17"))
    monkeypatch.setattr(checking, "LiveCapture", Capturing)
    monkeypatch.setattr(checking, "KernelCounter", Counting)
    monkeypatch.setattr(checking, "available", lambda: ["landlock", "seccomp"])
    monkeypatch.setattr(checking, "unheard", lambda _capture, _names: [])
    monkeypatch.setattr(checking, "sensor_hears", lambda _log, _names: True)
    monkeypatch.setattr(checking, "interface_names", lambda *_: ["eth0", "lo"])
    monkeypatch.setattr(checking, "default_interfaces", lambda: ["eth0"])
    monkeypatch.setattr(checking, "all_interfaces", lambda: ["eth0", "lo", "any"])
    monkeypatch.setattr(checking, "_FAIL2BAN", tmp_path / "fail2ban")
    monkeypatch.setattr(checking, "conflicts", lambda *_: [])


def results(*, live: bool = False, **changes: object) -> dict[str, Result]:
    settings = dataclasses.replace(Settings(), **{"log": "-", **changes})  # type: ignore[arg-type]
    return {result.name: result for result in check(settings, live=live)}


def test_all_is_well() -> None:
    found = results()
    assert {name for name, result in found.items() if result.error} == set()
    assert found["tshark"].text == "/usr/bin/tshark 4.0.17"
    assert "eth0" in found["capture"].text


def test_missing_tools_are_told_and_the_rest_is_still_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Tools:
        raise CaptureError("tshark is not installed")

    monkeypatch.setattr(checking, "find_tools", refuse)
    found = results()
    assert isinstance(found["tshark"].error, CaptureError)
    assert "log" in found
    assert "jail" in found
    assert "capture" not in found


def test_an_interface_that_is_not_there_is_told() -> None:
    found = results(interfaces=("eth0", "eth9"))
    assert found["interfaces"].text == "no interface eth9; there are eth0, lo, any"
    assert isinstance(found["interfaces"].error, CaptureError)


def test_an_interface_that_tshark_alone_knows_may_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "interface_names", lambda *_: ["eth0", "randpkt"])
    assert results(interfaces=("randpkt",))["capture"].error is None


def test_a_machine_with_loopback_alone_is_watched_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "default_interfaces", list)
    monkeypatch.setattr(checking, "interface_names", lambda *_: [])
    found = results()
    assert found["interfaces"].warning
    assert "any" in found["capture"].text


def test_a_refused_capture_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Capturing, "refusal", CaptureError("cannot capture on eth0: no"))
    assert isinstance(results()["capture"].error, CaptureError)


def test_where_losses_are_told_late_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not results()["accounts"].warning
    monkeypatch.setattr(Counting, "refusal", PermissionError(1, "Operation not permitted"))
    found = results()["accounts"]
    assert (found.warning, found.error) == (True, None)
    assert "Operation not permitted" in found.text


def test_what_the_sandbox_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not results()["sandbox"].warning
    monkeypatch.setattr(checking, "available", lambda: ["seccomp"])
    assert results()["sandbox"].text == "tshark is confined without landlock, which this system lacks"


def test_a_sandbox_that_cannot_be_set_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> list[str]:
        raise OSError(1, "landlock_create_ruleset: Operation not permitted")

    monkeypatch.setattr(checking, "available", refused)
    found = results()["sandbox"]
    assert found.text == "tshark cannot be confined (landlock_create_ruleset: Operation not permitted)"
    assert isinstance(found.error, CaptureError)


def test_a_live_check_says_who_hears(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = results(live=True, log=str(tmp_path / "log"))
    assert (found["capture"].error, found["sensor"].text) == (None, "heard the test packet")
    monkeypatch.setattr(checking, "sensor_hears", lambda _log, _names: False)
    assert isinstance(results(live=True, log=str(tmp_path / "log"))["sensor"].error, CaptureError)
    assert isinstance(results(live=True)["sensor"].error, CaptureError), "standard output cannot be read back"
    monkeypatch.setattr(checking, "unheard", lambda _capture, _names: ["eth0"])
    deaf = results(live=True)
    assert deaf["capture"].text == "no packet comes through on eth0; is the interface up?"
    assert isinstance(deaf["capture"].error, CaptureError)
    assert "sensor" not in deaf


def test_a_log_that_can_be_written_is_fine_and_not_made(tmp_path: Path) -> None:
    assert results(log=str(tmp_path / "log"))["log"].error is None
    assert not (tmp_path / "log").exists()


def test_a_log_without_a_directory_is_told(tmp_path: Path) -> None:
    assert isinstance(results(log=str(tmp_path / "none" / "log"))["log"].error, OutputError)


def test_a_directory_is_no_log(tmp_path: Path) -> None:
    found = results(log=str(tmp_path))["log"]
    assert isinstance(found.error, OutputError)
    assert "it is a directory" in found.text


def test_a_log_that_leads_elsewhere_is_told_with_the_fix(tmp_path: Path) -> None:
    """The rest of what makes a log unfit is in test_log_file.py; `run` and `check` say the same."""
    (tmp_path / "log").symlink_to("/etc/passwd")
    found = results(log=str(tmp_path / "log"))["log"]
    assert isinstance(found.error, OutputError)
    assert found.text.endswith(
        "(it is a symbolic link); put a regular file in its place, or name another log."
    )


def test_a_full_disk_is_told_and_no_reason_not_to_start(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        fill(disk)
        found = results(log=str(disk / "log"))["log"]
        assert (found.error, found.warning) == (None, True)
        assert "its file system is full" in found.text
        assert not (disk / "log").exists()


def test_a_log_that_may_not_be_written_is_told() -> None:
    with shared_folder() as folder:
        script = f"""
            from portsentry_py.checks import check
            print(type(check._log("{folder}/log").error).__name__)
        """
        assert as_nobody(script) == "PermissionDenied\n"


def test_packets_that_the_kernel_dropped_are_told_with_the_fix(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert "sensor" not in results(log=str(log))
    told = [
        status_event(Pipeline(strict(), US), micros(at), state, "none", accounts=lost(dropped))
        for at, state, dropped in ((0, "started", 0), (60, "running", 0), (120, "running", 60_123))
    ]
    log.write_bytes(b"".join(log_lines(told[:2])))
    assert "sensor" not in results(log=str(log))
    log.write_bytes(b"".join(log_lines(told)))
    found = results(log=str(log))["sensor"]
    assert found.warning
    assert found.error is None
    assert "60123 packets" in found.text
    assert "capture.buffer_mib" in found.text


def test_without_fail2ban_nothing_will_be_banned() -> None:
    assert results()["jail"].warning
    assert "not installed" in results()["jail"].text


def test_a_jail_that_is_not_armed_is_told(tmp_path: Path) -> None:
    (tmp_path / "fail2ban").mkdir()
    assert "no jail portsentry" in results()["jail"].text


def test_an_armed_jail_that_reads_another_log_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in pack_files():
        target = tmp_path / "fail2ban" / file.target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
    told = [result.text for result in check(Settings(log="-")) if result.name == "jail"]
    assert "installed" in told[0]
    assert "set logpath" in told[1]
    monkeypatch.setattr(checking, "conflicts", lambda *_: ["something is in the way."])
    told = [result.text for result in check(Settings()) if result.name == "jail"]
    assert told[1:] == ["something is in the way."]
