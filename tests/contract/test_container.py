"""The recipes of the containers agree with each other, with the package and with logrotate."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from portsentry_py.config.settings import DEFAULT_LOG
from tests.support.needs import require_root, require_tool
from tests.support.paths import ROOT
from tests.support.running import run

DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SENSOR, FAIL2BAN = COMPOSE["services"]["portsentry-py"], COMPOSE["services"]["fail2ban"]
# Mounted from this host: nothing else of it is in the container.
HOST_FILES = {
    *("/etc/portsentry-py", "/etc/systemd", "/run/systemd/netif/leases", "/run/systemd/resolve"),
    *("/run/systemd/sessions", "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d"),
}


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Each place in the container, with what is mounted there and how."""
    parts = [volume.split(":") for volume in service["volumes"]]
    return {there: (here, mode[0] if mode else "rw") for here, there, *mode in parts}


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    assert "." in copied
    for name in set(copied) - {"."}:
        assert f"!{name}" in ignored
        assert os.access(ROOT / name, os.X_OK), f"{name} is a program"
    for name in ("portsentry_py", "config", "fail2ban", "pyproject.toml", "README.md", "LICENSE"):
        assert f"!{name}" in ignored


def test_the_image_has_a_compiled_core_and_no_compiler() -> None:
    assert "HATCH_BUILD_HOOK_ENABLE_CUSTOM=true" in DOCKERFILE
    assert "!docker/packages/compile_core.py" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    first, final = DOCKERFILE.split("\nFROM ", 2)[1:]
    assert " gcc " in first
    assert "gcc" not in final


def test_the_image_has_labels_and_a_health_check() -> None:
    assert set(re.findall(r"org\.opencontainers\.image\.(\w+)=", DOCKERFILE)) >= {
        "title",
        "source",
        "licenses",
        "version",
    }
    assert re.search(r"^HEALTHCHECK .* CMD entrypoint check --live", DOCKERFILE, re.MULTILINE)


def test_the_log_is_where_the_shipped_jail_looks_for_it() -> None:
    folder = str(Path(DEFAULT_LOG).parent)
    assert mounts(SENSOR)[folder] == ("log", "rw")
    assert mounts(FAIL2BAN)[folder] == ("log", "ro")


def test_the_sensor_can_change_nothing_of_the_host() -> None:
    assert SENSOR["read_only"] is True
    assert SENSOR["cap_drop"] == ["ALL"]
    assert SENSOR["cap_add"] == ["NET_RAW", "SETUID", "SETGID"]
    host = {here: mode for here, mode in mounts(SENSOR).values() if here.startswith("/")}
    assert host == dict.fromkeys(HOST_FILES, "ro")


def test_fail2ban_has_the_shipped_files() -> None:
    shipped = {here.removeprefix("../") for here, mode in mounts(FAIL2BAN).values() if here.startswith("../")}
    assert shipped == {"fail2ban/action.d", "fail2ban/filter.d", "fail2ban/jail.d/portsentry-py.conf"}
    assert all((ROOT / name).exists() for name in shipped)


def test_the_log_of_the_container_is_rotated_on_a_host_without_its_user(tmp_path: Path) -> None:
    require_root()
    tmp_path.chmod(0o755)
    text = (DOCKER / "portsentry-py.logrotate").read_text(encoding="utf-8")
    uid = int(re.findall(r"useradd --uid (\d+)", DOCKERFILE)[0])
    folder = tmp_path / "_data"
    folder.mkdir()
    folder.chmod(0o775)
    log = folder / "portsentry.log"
    log.write_text("{}\n", encoding="ascii")
    log.chmod(0o640)
    os.chown(folder, uid, 0)
    os.chown(log, uid, uid)
    rules = tmp_path / "rules"
    rules.write_text(re.sub(r"^/\S+", str(log), text, flags=re.MULTILINE), encoding="utf-8")
    rules.chmod(0o644)
    run(require_tool("logrotate"), "--force", "--state", tmp_path / "state", rules)
    status = log.stat()
    assert (status.st_size, status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, uid, uid, 0o640)
    assert (folder / "portsentry.log.1").read_text(encoding="ascii") == "{}\n"


@pytest.mark.parametrize("capability", ["NET_ADMIN", "SYS_ADMIN", "DAC_OVERRIDE"])
def test_the_sensor_needs_no_more_than_a_packet_socket(capability: str) -> None:
    assert capability not in SENSOR["cap_add"]
