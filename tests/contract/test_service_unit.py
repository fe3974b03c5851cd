"""The unit is little exposed, and it agrees with the files beside it about user, paths and modes."""

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.errors import ConfigError, OutputError, PermissionDenied, UsageError
from portsentry_py.fail2ban.pack import pack_files
from tests.support.needs import require_root, require_tool
from tests.support.paths import ROOT
from tests.support.running import ran, run

CONFIG = ROOT / "config"
UNIT = CONFIG / "portsentry-py.service"
USER, READERS, MODE = "portsentry", "adm", "0640"
LOG, FLEET_LOG = Settings().log, Settings().fleet.log
MOST_EXPOSED = 2.0
_OFFLINE_SINCE = 250


def _values(key: str, section: str = "Service") -> list[str]:
    """The words of a key of the unit, of all its lines together."""
    text = UNIT.read_text(encoding="utf-8").partition(f"[{section}]\n")[2].partition("\n[")[0]
    return [word for found in re.findall(rf"^{key}=(.*)$", text, re.MULTILINE) for word in found.split()]


def _directives(name: str) -> list[list[str]]:
    """The lines of a configuration file, split into words, without comments."""
    lines = (CONFIG / name).read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _systemd_version() -> int:
    return int(run(require_tool("systemd-analyze"), "--version").split()[1])


@pytest.mark.parametrize("name", ["portsentry-py", "portsentry-py-fleet", "portsentry-py-fleet-unban"])
def test_the_unit_is_little_exposed(name: str) -> None:
    """The score of systemd: 0 is nothing at all, 10 is root without any restriction."""
    if _systemd_version() < _OFFLINE_SINCE:
        pytest.skip("this systemd cannot judge a unit that is not installed")
    done = ran("systemd-analyze", "security", "--offline=yes", "--no-pager", CONFIG / f"{name}.service")
    score = re.search(rf"exposure level for {name}.service: ([\d.]+)", done.stdout)
    assert score is not None, done.stderr
    print(f"systemd-analyze security: {score[1]}")
    assert float(score[1]) <= MOST_EXPOSED, done.stdout


@pytest.mark.parametrize("name", ["portsentry-py", "portsentry-py-fleet", "portsentry-py-fleet-unban"])
def test_systemd_understands_every_line(tmp_path: Path, name: str) -> None:
    """It skips what it does not know, with a warning: a typing error must not lose a restriction."""
    require_tool("systemd-analyze")
    text = (CONFIG / f"{name}.service").read_text(encoding="utf-8")
    installed = tmp_path / f"{name}.service"
    installed.write_text(text.replace("/usr/bin/portsentry-py", "/bin/true"), encoding="utf-8")
    done = ran("systemd-analyze", "verify", "--man=no", installed)
    about_us = [line for line in done.stderr.splitlines() if "portsentry-py" in line]
    assert not about_us
    broken = tmp_path / "broken.service"
    broken.write_text(text.replace("ProtectHome=", "ProtectHomes="), encoding="utf-8")
    done = ran("systemd-analyze", "verify", "--man=no", broken)
    assert "ProtectHomes" in done.stderr, "a typing error would not be seen"


def test_the_unit_runs_the_console_script() -> None:
    (script,) = (entry.name for entry in entry_points(module="portsentry_py.cli.main"))
    assert _values("ExecStart") == [f"/usr/bin/{script}", "run"]


def test_an_error_that_only_a_person_can_fix_causes_no_restart() -> None:
    assert _values("Restart") == ["always"]
    errors = (UsageError, OutputError, PermissionDenied, ConfigError)
    assert set(map(int, _values("RestartPreventExitStatus"))) == {error.exit_code for error in errors}


def test_a_reload_reads_the_configuration_before_it_tells_the_sensor() -> None:
    text = UNIT.read_text(encoding="utf-8")
    assert re.findall(r"^ExecReload=(.*)$", text, re.MULTILINE) == [
        "/usr/bin/portsentry-py check --config-only",
        "/bin/kill -HUP $MAINPID",
    ]


def test_the_unit_has_the_capabilities_of_a_packet_socket_alone() -> None:
    assert _values("AmbientCapabilities") == ["CAP_NET_RAW"]
    assert set(_values("CapabilityBoundingSet")) == {"CAP_NET_RAW", "CAP_NET_ADMIN"}
    assert _values("NoNewPrivileges") == ["yes"]


def test_the_user_is_the_same_everywhere() -> None:
    sysusers, (kind, log, mode, owner, group, _) = _directives("portsentry-py.sysusers"), _tmpfiles()
    assert [line[1] for line in sysusers if line[0] == "u"] == [USER]
    assert {line[1] for line in sysusers} == {USER}
    assert (_values("User"), _values("Group")) == ([USER], [USER])
    assert (kind, log, mode, owner, group) == ("f", LOG, MODE, USER, READERS)
    rotate = _directives("portsentry-py.logrotate")
    assert rotate[0] == [LOG, FLEET_LOG, "{"]
    assert ["create", MODE, USER, READERS] in rotate
    assert ["su", "root", READERS] in rotate


def _tmpfiles() -> list[str]:
    (line,) = _directives("portsentry-py.tmpfiles")
    return line


def test_the_unit_may_write_the_folder_of_its_log_and_its_state_alone() -> None:
    assert _values("ProtectSystem") == ["strict"]
    assert _values("ReadWritePaths") == [str(Path(LOG).parent)]
    assert _values("ExecStartPre") == ["+systemd-tmpfiles", "--create", "portsentry-py.conf"]
    writable = {"/tmp", "/var/tmp", *_values("ReadWritePaths"), f"/var/lib/{_values('StateDirectory')[0]}"}  # noqa: S108 - names
    assert set(_values("NoExecPaths")) == writable


def test_the_jail_reads_what_the_sensor_writes() -> None:
    named = {path for file in pack_files() for path in re.findall(r"/var/log/[\w.-]*", file.content.decode())}
    assert named == {LOG, FLEET_LOG}


def test_systemd_creates_the_user(tmp_path: Path) -> None:
    require_root()
    (tmp_path / "etc").mkdir()
    run(require_tool("systemd-sysusers"), f"--root={tmp_path}", CONFIG / "portsentry-py.sysusers")
    passwd = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    (ours,) = [line for line in passwd if line[0] == USER]
    assert ours[5:] == ["/var/lib/portsentry-py", "/usr/sbin/nologin"]
    assert 0 < int(ours[2]) < 1000, "a system account"
    groups = {line.split(":")[0]: line.split(":")[3] for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert groups == {USER: "", "wireshark": USER}


def test_the_log_of_the_fleet_belongs_to_the_sensors_user() -> None:
    ((kind, log, mode, owner, group, _),) = _directives("portsentry-py-fleet.tmpfiles")
    assert (kind, log, mode, owner, group) == ("f", FLEET_LOG, MODE, USER, READERS)


@pytest.mark.parametrize("before", ["missing", "of_root", "open_to_all", "link"])
def test_systemd_creates_the_log(tmp_path: Path, before: str) -> None:
    """A log that is missing or of another user becomes ours; a link is not followed."""
    require_root()
    etc, log = tmp_path / "etc", tmp_path / LOG[1:]
    etc.mkdir()
    log.parent.mkdir(parents=True)
    (etc / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{USER}:x:990:990::/:/bin/false\n")
    (etc / "group").write_text(f"root:x:0:\n{READERS}:x:4:\n{USER}:x:990:\n")
    victim = tmp_path / "victim"
    victim.write_text("secret")
    victim.chmod(0o600)
    if before == "link":
        log.symlink_to(victim)
    elif before != "missing":
        log.write_text("a line\n")
        log.chmod(0o666 if before == "open_to_all" else 0o640)
    done = ran(require_tool("systemd-tmpfiles"), "--create", f"--root={tmp_path}", CONFIG / "portsentry-py.tmpfiles")
    assert (victim.stat().st_uid, oct(victim.stat().st_mode & 0o777)) == (0, "0o600")
    if before == "link":
        return
    assert done.returncode == 0, done.stderr
    status = log.stat()
    assert (status.st_uid, status.st_gid, oct(status.st_mode & 0o7777)) == (990, 4, "0o640")
    assert log.read_text() == ("" if before == "missing" else "a line\n")
