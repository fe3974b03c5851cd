"""Finding tshark and dumpcap, and every way in which they can be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from portsentry_py.capture.commands import environment
from portsentry_py.capture.toolchain import Tools, find_tools, interface_names
from portsentry_py.errors import CaptureError, PermissionDenied
from tests.support.needs import require_root, require_tool
from tests.support.programs import fake_capture_tools


@pytest.fixture
def tools() -> Tools:
    """The real ones."""
    require_tool("tshark")
    return find_tools()


def test_tools_are_found(tools: Tools) -> None:
    assert Path(tools.tshark).name == "tshark"
    assert Path(tools.dumpcap).name == "dumpcap"
    assert tools.version[0].isdigit()


def test_no_tshark_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match="not installed; install it with"):
        find_tools()


@pytest.mark.parametrize("version", ["1.12.6", "2.6.20", "3.5.99"])
def test_a_tshark_that_is_too_old_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_capture_tools(tmp_path, f"echo 'TShark (Wireshark) {version} (Git v{version})'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match=f"version {version} is too old"):
        find_tools()


@pytest.mark.parametrize("version", ["3.6.0", "4.0.17", "10.2.0"])
def test_a_newer_tshark_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    fake_capture_tools(tmp_path, f"echo 'TShark (Wireshark) {version} (Git v{version})'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tools() == Tools(str(tmp_path / "tshark"), str(tmp_path / "dumpcap"), version)


def test_tshark_starts_no_programs_for_other_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 3.6 does to tell its version, and waits for them."""
    monkeypatch.setenv("WIRESHARK_EXTCAP_DIR", str(tmp_path))
    refuse = 'test -n "$WIRESHARK_EXTCAP_DIR" && test ! -e "$WIRESHARK_EXTCAP_DIR" || exit 1'
    fake_capture_tools(tmp_path, f"{refuse}\necho 'TShark (Wireshark) 3.6.2'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_tools().version == "3.6.2"
    given = environment()["WIRESHARK_EXTCAP_DIR"]
    assert given
    assert not Path(given).exists()


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "exec /nonexistent", "true", "printf '\\377'"])
def test_a_tshark_that_is_broken_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    fake_capture_tools(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match="cannot tell its version; reinstall"):
        find_tools()


def test_a_tshark_that_may_not_be_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_capture_tools(tmp_path, "true")
    (tmp_path / "tshark").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermissionDenied, match="may not run it"):
        find_tools()


def test_a_config_ini_in_the_current_directory_is_not_obeyed(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pyshark reads one; as root that would run somebody else's program."""
    fake_capture_tools(tmp_path, "echo 'TShark (Wireshark) 9.9.9'")
    ini = "[tshark]\ntshark_path = ./tshark\n[dumpcap]\ndumpcap_path = ./dumpcap\n"
    (tmp_path / "config.ini").write_text(ini, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert find_tools() == tools


def test_interfaces_are_listed(tools: Tools) -> None:
    require_root()
    assert "lo" in interface_names(tools)


def test_where_interfaces_cannot_be_listed_there_are_none(tmp_path: Path) -> None:
    assert interface_names(fake_capture_tools(tmp_path, "exit 1")) == []
