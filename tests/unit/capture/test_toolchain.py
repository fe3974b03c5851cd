"""Finding tshark and dumpcap, and every way in which they can be missing."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from portsentry_py.capture.toolchain import Tools, find_tools, interface_names, tried_tools
from portsentry_py.errors import CaptureError, PermissionDenied
from portsentry_py.privsep.sandbox import available
from tests.support.needs import require_root, unsupported
from tests.support.programs import fake_capture_tools, write_program
from tests.support.refused_calls import refusing

SEARCHES = pytest.mark.parametrize("search", [find_tools, tried_tools])
Search = Callable[[], Tools]


def test_tools_are_found(tools: Tools) -> None:
    assert Path(tools.tshark).name == "tshark"
    assert Path(tools.dumpcap).name == "dumpcap"
    assert tools.version[0].isdigit()


def test_dumpcap_tells_the_version_that_tshark_tells(tools: Tools) -> None:
    assert tried_tools() == tools


@SEARCHES
def test_a_missing_tshark_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: Search) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match="not installed; install it with"):
        search()


@SEARCHES
@pytest.mark.parametrize("version", ["1.12.6", "2.6.20", "3.5.99"])
def test_a_tshark_that_is_too_old_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: Search, version: str
) -> None:
    fake_capture_tools(tmp_path, f"echo 'TShark (Wireshark) {version} (Git v{version})'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match=f"version {version} is too old"):
        search()


@SEARCHES
@pytest.mark.parametrize("name", ["TShark", "TShark (Wireshark)", "Dumpcap (Wireshark)"])
@pytest.mark.parametrize("version", ["3.6.0", "4.0.17", "10.2.0"])
def test_a_newer_tshark_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: Search, name: str, version: str
) -> None:
    fake_capture_tools(tmp_path, f"echo '{name} {version} (Git v9.9.9 packaged as 9.9.9-1).'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert search() == Tools(str(tmp_path / "tshark"), str(tmp_path / "dumpcap"), version)


def test_tshark_is_not_started_where_dumpcap_tells_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = fake_capture_tools(tmp_path, "echo 'Dumpcap (Wireshark) 4.0.17'")
    write_program(Path(tools.tshark), "#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tools().version == "4.0.17"
    with pytest.raises(CaptureError, match="cannot tell its version"):
        tried_tools()


def test_a_dumpcap_of_another_folder_does_not_tell_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder, version in ((ours, "4.2.0"), (theirs, "4.0.0")):
        folder.mkdir()
        fake_capture_tools(folder, f"echo 'Wireshark {version}'")
    (ours / "dumpcap").unlink()
    monkeypatch.setenv("PATH", f"{ours}:{theirs}")
    assert find_tools() == Tools(str(ours / "tshark"), str(theirs / "dumpcap"), "4.2.0")


def test_a_dumpcap_that_may_not_be_run_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian reserves it for a group; a replay does not need it."""
    fake_capture_tools(tmp_path, "echo 'TShark (Wireshark) 4.0.17'")
    (tmp_path / "dumpcap").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tools().version == "4.0.17"


def test_tshark_starts_no_extcap_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 3.6 would, even for its version, and wait for them."""
    monkeypatch.setenv("WIRESHARK_EXTCAP_DIR", str(tmp_path))
    refuse = 'test -n "$WIRESHARK_EXTCAP_DIR" && test ! -e "$WIRESHARK_EXTCAP_DIR" || exit 1'
    fake_capture_tools(tmp_path, f"{refuse}\necho 'TShark (Wireshark) 3.6.2'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert tried_tools().version == "3.6.2"


def test_tshark_tells_its_version_in_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no rights there, and writes nothing."""
    if "landlock" not in available():
        unsupported("this kernel confines no files")
    script = f"cat /proc/self/status >/dev/null && exit 1; echo x >{tmp_path}/written; echo 'TShark (Wireshark) 4.0.17'"
    tools = fake_capture_tools(tmp_path, script)
    write_program(Path(tools.dumpcap), "#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for search in (find_tools, tried_tools):
        assert search().version == "4.0.17"
    assert not (tmp_path / "written").exists()


@SEARCHES
@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "exec /nonexistent", "true", "printf '\\377'"])
def test_a_broken_tshark_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: Search, script: str
) -> None:
    fake_capture_tools(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match="cannot tell its version; reinstall"):
        search()


def test_a_tshark_that_may_not_be_run_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_capture_tools(tmp_path, "true")
    (tmp_path / "tshark").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermissionDenied, match="may not run it"):
        find_tools()


@pytest.mark.parametrize("folders", ["", ".", ":", "sub:.:"])
def test_tools_of_the_current_directory_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: str
) -> None:
    """As root that would run somebody else's program."""
    for folder in (tmp_path, tmp_path / "sub"):
        folder.mkdir(exist_ok=True)
        fake_capture_tools(folder, "echo 'TShark (Wireshark) 9.9.9'")
    monkeypatch.setenv("PATH", folders)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaptureError, match="not installed"):
        find_tools()


def test_a_current_directory_that_is_gone_does_no_harm(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert tried_tools() == tools


def test_the_environment_stays_as_it_is(tools: Tools) -> None:
    before = dict(os.environ)
    assert tried_tools() == tools
    assert dict(os.environ) == before


def test_a_container_that_refuses_landlock_is_named_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "seccomp" not in available():
        unsupported("without libseccomp nothing can refuse the call")
    python = shlex.join(refusing([sys.executable], "landlock_create_ruleset:EPERM"))
    fake = write_program(tmp_path / "python", f'#!/bin/sh\nexec {python} "$@"\n')
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(CaptureError, match=r"cannot be confined \(landlock_create_ruleset: .*\); let the container"):
        tried_tools()


def test_a_python_that_cannot_be_started_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CaptureError, match=r"cannot start .*python: No such file"):
        tried_tools()


def test_interfaces_are_listed(tools: Tools) -> None:
    require_root()
    assert {"lo", "any"} <= set(interface_names(tools))


@pytest.mark.parametrize("script", ["exit 1", "exec /nonexistent"])
def test_there_are_no_interfaces_where_dumpcap_cannot_list_them(tmp_path: Path, script: str) -> None:
    assert interface_names(fake_capture_tools(tmp_path, script)) == []
