"""What must hold in the booted machine, in this order: each check says in a few words what it saw."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.lab.boot.machine import ADDRESS, LOG, SCANNERS, UNIT, Machine, Process
from tests.lab.boot.tree import SSH_PORT
from tests.support.waiting import wait_for

Check = Callable[[Machine], str]

MOST_EXPOSED = 2.0
NET_RAW = 1 << 13  # linux/capability.h
_FILTER = 2  # linux/seccomp.h: SECCOMP_MODE_FILTER
_MEMORY = """
import psutil, sys
print(psutil.Process(int(sys.argv[1])).memory_info().rss)
"""
_HOSTILE = """
import os, socket, sys
sensor = int(sys.argv[1])
tries = {
    "read the log": lambda: open("/var/log/portsentry.log"),
    "read a configuration": lambda: open("/etc/ssh/sshd_config"),
    "read the sensor's code": lambda: os.listdir("/opt/portsentry-py"),
    "read the sensor's memory": lambda: open(f"/proc/{sensor}/mem", "rb"),
    "list processes": lambda: os.listdir("/proc"),
    "write the log": lambda: open("/var/log/portsentry.log", "a"),
    "write the state": lambda: open("/var/lib/portsentry-py/program", "w"),
    "write to /tmp": lambda: open("/tmp/program", "w"),
    "open an IP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX),
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "signal the sensor": lambda: os.kill(sensor, 0),
    "become root": lambda: os.setuid(0),
    "take 3 GiB": lambda: bytearray(3 << 30),
}
for name, attempt in tries.items():
    try:
        attempt()
    except (OSError, MemoryError):
        continue
    print(name)
print(len(tries))
"""
_IN_THE_BOX = """
import os, sys
from portsentry_py.privsep.sandbox import sandboxed
command = sandboxed(sys.argv[1:])
os.execv(command[0], command)
"""
_FETCH = (
    *("/opt/portsentry-py/bin/python", "-c"),
    (
        "import sys, urllib.request as u\n"
        "print(u.urlopen('http://127.0.0.1:9797/' + sys.argv[1], timeout=5).read().decode())"
    ),
)
_TRY = """
import os, subprocess, sys
def may(what, *words):
    try:
        what(*words)
    except OSError as error:
        return error.strerror
    return "done"
for path in ("/etc/shadow", "/var/log/btmp", "/run/dbus/system_bus_socket", "/etc/ssh/ssh_host_ed25519_key"):
    print("read", path, may(os.stat if "dbus" in path else open, path))
for folder in ("/tmp", "/var/tmp", "/var/lib/portsentry-py"):
    with open(f"{folder}/program", "w") as program:
        program.write("#!/bin/sh")
    os.chmod(program.name, 0o700)
    print("run", program.name, may(subprocess.run, [program.name]))
    os.remove(program.name)
for path in ("/var/log/other.log", "/etc/x", "/usr/x", "/opt/x", "/run/x", "/proc/sys/net/ipv4/ip_forward"):
    print("write", path, may(open, path, "w"))
"""
CONFIG = "etc/portsentry-py/portsentry.yaml"


def it_runs(machine: Machine) -> str:
    """Systemd started it at boot, as the user portsentry, when it said that it was ready."""
    assert machine.show("ActiveState") == "active", machine.evidence()
    assert machine.show("Type") == "notify"
    main = machine.main()
    assert main is not None
    user = machine.told("id", "-u", "portsentry").strip()
    owners = {process.uid for process in machine.processes()}
    assert owners == {int(user)}, owners
    assert machine.matching(event_type="status", state="started")
    assert not machine.told("systemctl", "--failed", "--plain", "--no-legend").strip()
    return f"active as portsentry, {len(machine.processes())} processes, all of that user"


def it_is_not_exposed(machine: Machine) -> str:
    """What systemd itself says of the unit."""
    line = machine.told("systemd-analyze", "security", "--no-pager", UNIT).strip().splitlines()[-1]
    score = float(line.rpartition("portsentry-py.service: ")[2].split()[0])
    assert score <= MOST_EXPOSED, line
    return f"systemd-analyze security: {score}"


def no_process_holds_a_right_it_does_not_need(machine: Machine) -> str:
    """No capabilities but the launcher's: dumpcap gives up its own when it has opened its socket."""
    processes = machine.processes()
    main = machine.main()
    assert main is not None
    for which in ("Eff", "Prm", "Inh", "Amb"):
        assert main.capabilities(which) == 0, (which, main.status)
    holders = {
        "launcher" if any("launcher" in word for word in process.words) else process.name
        for process in processes
        if process.capabilities("Prm") or process.capabilities("Eff") or process.capabilities("Amb")
    }
    assert holders == {"launcher"}, holders
    for process in processes:
        assert process.capabilities("Prm") & ~NET_RAW == 0, process.status
        for thread in process.threads:
            assert thread["NoNewPrivs"] == "1", thread
            assert int(thread["Seccomp"]) == _FILTER, thread
    return f"the launcher holds CAP_NET_RAW, {len(processes) - 1} others nothing; no_new_privs, seccomp in all"


def it_can_connect_to_nothing(machine: Machine) -> str:
    """IPAddressDeny=: no process of the unit can connect, and packets are captured all the same."""
    join = f'echo $$ >/sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs && exec "$@"'
    connect = ["timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{SSH_PORT}"]
    assert machine.run(*connect).returncode == 0, "nobody else could connect either"
    code = machine.run("sh", "-c", join, "sh", *connect).returncode
    assert code != 0
    return "a connection from its control group comes to nothing"


def tshark_is_in_its_box(machine: Machine) -> str:
    """More seccomp filters than the others, no descriptor but its pipes, and the sensor sees its memory."""
    main, tshark = machine.main(), _named(machine, "tshark")
    assert main is not None
    filters = int(tshark.status["Seccomp_filters"])
    assert filters > int(main.status["Seccomp_filters"])
    # The sensor renews tshark when it has grown: hidden by ProtectProc= it would not seem to grow.
    seen = _as_sensor(machine, _MEMORY, str(tshark.inner_pid))
    assert int(seen) > 1 << 20, seen
    limits = Path(f"/proc/{tshark.pid}/limits").read_text(encoding="ascii")
    address_space = next(line for line in limits.splitlines() if line.startswith("Max address space"))
    assert "unlimited" not in address_space, limits
    return f"{filters} seccomp filters, {' '.join(address_space.split()[3:4])} bytes of address space at most"


def code_in_tshark_can_do_nothing(machine: Machine) -> str:
    """What an attacker with code in tshark would try, in its sandbox alone, without what the unit adds."""
    main = machine.main()
    assert main is not None
    words = ("/usr/bin/python3", "-I", "-S", "-c", _HOSTILE, str(main.inner_pid))
    *succeeded, tried = _as_sensor(machine, _IN_THE_BOX, *words).splitlines()
    assert not succeeded, succeeded
    *outside, _ = _as_sensor(machine, _HOSTILE, str(main.inner_pid)).splitlines()
    assert {"read the log", "write the state", "open an IP socket", "signal the sensor"} < set(outside)
    return f"{tried} attempts: all refused; outside it, the same user succeeds with {len(outside)}"


def the_sensor_sees_and_writes_no_more_than_it_must(machine: Machine) -> str:
    """What code in the main process could read and write, tried with its user in its namespaces."""
    answers = _as_sensor(machine, _TRY).splitlines()
    assert answers
    assert not [line for line in answers if line.endswith(" done")], answers
    return f"{len(answers)} files: no secret read, nothing of others written, nothing that it wrote run"


def a_scan_is_banned(machine: Machine) -> str:
    """From the packet to fail2ban and the kernel's firewall."""
    begun = time.monotonic()
    scan_until_banned(machine, SCANNERS[0])
    seconds = time.monotonic() - begun
    wait_for(lambda: SCANNERS[0] in machine.blocked(), "the firewall's rule", evidence=machine.evidence)
    return f"nmap's address in fail2ban's list after {seconds:.1f} s, and in the nft set"


def a_source_that_is_logged_in_is_not_banned(machine: Machine) -> str:
    """The login manager tells a sensor that is not root who it is. Sshd listens on port 2222."""
    friend = SCANNERS[1]
    key, allowed = machine.tree.with_name("key"), machine.tree / "root/.ssh/authorized_keys"
    assert machine.scanner.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)).returncode == 0
    allowed.parent.mkdir(mode=0o700, exist_ok=True)
    allowed.write_bytes(key.with_suffix(".pub").read_bytes())
    options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-p", str(SSH_PORT))
    login = ("ssh", "-tt", "-i", str(key), "-b", friend, *options, f"root@{ADDRESS}", "sleep 300")
    session = machine.scanner.start(*login)
    wait_for(
        lambda: friend in machine.told("sh", "-c", "find /run/systemd/sessions -type f -exec cat {} +"), "the session"
    )
    time.sleep(21)  # the sensor looks at the host every ten seconds, later on a busy machine
    machine.scan(friend)
    line = wait_for(lambda: machine.matching(event_type="scan", src_ip=friend), "the scan", evidence=machine.evidence)[
        -1
    ]
    session.kill()
    assert (line["verdict"], line["reason"]) == ("ignore", "ssh_session"), line
    return "a scan beside an SSH login: verdict ignore, reason ssh_session"


def the_journal_is_quiet(machine: Machine) -> str:
    """Nothing was said but that it runs."""
    said = [line for line in machine.journal("-b") if not line.startswith(("Starting ", "Started ", "portsentry-py "))]
    assert not said, said
    return "no line but start and interfaces"


def it_reloads(machine: Machine) -> str:
    """`systemctl reload` is SIGHUP, and no restart."""
    before = machine.show("MainPID")
    machine.told("systemctl", "reload", UNIT)
    wait_for(lambda: machine.matching(event_type="status", state="reloaded"), "the reload", evidence=machine.evidence)
    wait_for(lambda: machine.show("ActiveState") == "active", "it to be active again")
    assert machine.show("MainPID") == before
    return "same process, status line `reloaded`"


def a_broken_configuration_is_refused_at_a_reload(machine: Machine) -> str:
    """`systemctl reload` fails and says why; the sensor hears nothing of it."""
    config, before = machine.tree / CONFIG, machine.show("MainPID")
    config.parent.mkdir(exist_ok=True)
    config.write_text("ignored: []\n")
    assert machine.run("systemctl", "reload", UNIT).returncode
    said = [line for line in machine.journal("-n", "20") if "did you mean ignore?" in line]
    assert len(said) == 1, machine.evidence()
    assert (machine.show("ActiveState"), machine.show("MainPID")) == ("active", before)
    config.unlink()
    return f"`{said[0]}`"


def a_configuration_that_the_service_cannot_read_ends_it_for_good(machine: Machine) -> str:
    """Root can read it: no endless restarts, and one finding of `check`."""
    config = machine.tree / CONFIG
    config.touch(0o600)
    machine.run("systemctl", "restart", UNIT)
    wait_for(lambda: machine.show("ActiveState") == "failed", "the unit to fail", evidence=machine.evidence)
    assert machine.show("NRestarts") == "0", machine.evidence()
    done, shown = machine.run("portsentry-py", "check"), machine.run("portsentry-py", "status")
    found = [line for line in done.stdout.splitlines() if line.startswith("broken")]
    assert (done.returncode, len(found)) == (2, 1), done.stdout
    assert "as portsentry, the user of the service" in found[0], found
    assert shown.returncode == 69, shown.stdout
    assert "systemctl start portsentry-py" in shown.stdout
    config.unlink()
    machine.told("systemctl", "start", UNIT)
    return f"`{found[0]}`"


def whom_the_operator_allows_is_let_back_in(machine: Machine) -> str:
    """The unban in the kernel, and a list that the service can read."""
    assert SCANNERS[0] in machine.banned() & machine.blocked()
    told = machine.told("portsentry-py", "allow", SCANNERS[0], "--for", "1h", "--reason", "the office")
    assert f"unbanned {SCANNERS[0]} in portsentry" in told, told
    assert SCANNERS[0] not in machine.banned() | machine.blocked()
    machine.told("systemctl", "restart", UNIT)
    assert machine.show("ActiveState") == "active", machine.evidence()
    machine.told("portsentry-py", "deny", SCANNERS[0])
    return f"`{told.splitlines()[1]}`; the sensor starts with the list"


def the_log_is_rotated(machine: Machine) -> str:
    """Logrotate's new file has the right owner, and the sensor goes on in it."""
    log = machine.tree / LOG
    before = log.stat().st_ino
    machine.told("logrotate", "--force", "/etc/logrotate.d/portsentry-py")
    after = log.stat()
    assert after.st_ino != before
    assert (oct(after.st_mode & 0o7777), _owner(machine)) == ("0o640", "portsentry:adm")
    scan_until_banned(machine, SCANNERS[2])
    assert machine.matching(event_type="scan", src_ip=SCANNERS[2])
    assert any(line.get("src_ip") == SCANNERS[0] for line in machine.lines(f"{LOG}.1"))
    return "the next scan stands in the new file, owned by portsentry:adm, 0640, and is banned"


def a_killed_sensor_comes_back(machine: Machine) -> str:
    """SIGKILL: none of its children is left, systemd starts another, and it sees scans."""
    old = machine.processes()
    main = machine.main()
    assert main is not None
    os.kill(main.pid, signal.SIGKILL)
    seconds = _back(machine, 1, main)
    assert not {process.pid for process in old} & {process.pid for process in machine.processes()}
    scan_until_banned(machine, SCANNERS[3])
    return f"active again after {seconds:.0f} s, the next scan is banned"


def a_frozen_sensor_comes_back(machine: Machine) -> str:
    """SIGSTOP: it feeds the watchdog no more."""
    main = machine.main()
    assert main is not None
    os.kill(main.pid, signal.SIGSTOP)
    seconds = _back(machine, 2, main)
    assert any("atchdog" in line for line in machine.journal()), machine.evidence()
    scan_until_banned(machine, SCANNERS[4])
    return f"active again after {seconds:.0f} s, the next scan is banned"


def a_deleted_log_comes_back(machine: Machine) -> str:
    """The sensor may not create it: it says so and keeps its lines; the next start brings it back too."""
    (machine.tree / LOG).unlink()
    machine.scan(SCANNERS[5])
    said = wait_for(
        lambda: [line for line in machine.journal("-n", "20") if "/" + LOG in line and "watches" not in line],
        "a word about the log",
        evidence=machine.evidence,
    )
    machine.told("systemd-tmpfiles", "--create", "portsentry-py.conf")
    wait_for(lambda: machine.matching(event_type="scan", src_ip=SCANNERS[5]), "the lines that waited")
    (machine.tree / LOG).unlink()
    machine.told("systemctl", "restart", UNIT)
    assert _owner(machine) == "portsentry:adm"
    wait_for(lambda: machine.matching(event_type="status", state="started"), "lines in it")
    return f"`{said[-1]}` Done so, the lines are there; after a restart, the log"


def a_guarded_dumpcap_is_run(machine: Machine) -> str:
    """As `dpkg-reconfigure wireshark-common` leaves it: for a group alone, with capabilities in the file."""
    machine.told("chgrp", "wireshark", "/usr/bin/dumpcap")
    machine.told("chmod", "750", "/usr/bin/dumpcap")
    machine.told("setcap", "cap_net_raw,cap_net_admin=eip", "/usr/bin/dumpcap")
    machine.told("systemctl", "restart", UNIT)
    assert machine.show("ActiveState") == "active", machine.evidence()
    dumpcap = _named(machine, "dumpcap")
    assert dumpcap.capabilities("Prm") & ~NET_RAW == 0, dumpcap.status
    scan_until_banned(machine, SCANNERS[6])
    return "it captures, the next scan is banned"


def metrics_are_served_once_the_unit_permits_it(machine: Machine) -> str:
    """Its own journal says what is missing; docs/integrations.md has the change."""
    config, change = (
        machine.tree / name
        for name in ("etc/portsentry-py/portsentry.yaml", "etc/systemd/system/portsentry-py.service.d/metrics.conf")
    )
    before = config.read_text(encoding="utf-8") if config.exists() else ""
    file = "/var/lib/prometheus/node-exporter/portsentry.prom"
    machine.told("install", "-d", "-g", "portsentry", "-m", "2775", str(Path(file).parent))
    config.parent.mkdir(exist_ok=True)
    config.write_text(f"outputs: {{journald: true}}\nmetrics: {{listen: 9797, textfile: {file}}}\n", encoding="utf-8")
    machine.told("systemctl", "restart", UNIT)

    def is_written(text: str) -> bool:
        return any(text in line for line in machine.journal())

    for complaint in ("add IPAddressAllow=localhost", "metrics.textfile: cannot write"):
        wait_for(partial(is_written, complaint), complaint, evidence=machine.evidence)
    change.parent.mkdir(exist_ok=True)
    change.write_text(f"[Service]\nIPAddressAllow=localhost\nReadWritePaths={Path(file).parent}\n", encoding="utf-8")
    machine.told("systemctl", "daemon-reload")
    machine.told("systemctl", "restart", UNIT)
    wait_for(lambda: "hears" in machine.run(*_FETCH, "-/healthy").stdout, "its health", evidence=machine.evidence)
    assert "portsentry_capture_hears 1.0" in machine.told(*_FETCH, "metrics")
    wait_for((machine.tree / file[1:]).exists, file, evidence=machine.evidence)
    kept = machine.told("journalctl", "-u", UNIT, "PORTSENTRY_EVENT_TYPE=status", "-o", "cat")
    assert '"state":"started"' in kept
    config.write_text(before, encoding="utf-8")
    change.unlink()
    machine.told("systemctl", "daemon-reload")
    machine.told("systemctl", "restart", UNIT)
    return "refused with the fix in the journal; then healthy over HTTP and in the textfile; lines in the journal too"


def it_stops_clean(machine: Machine) -> str:
    """`systemctl stop`: the last line is written, and no process is left."""
    processes = machine.processes()
    machine.told("systemctl", "stop", UNIT)
    assert machine.show("Result") == "success", machine.evidence()
    assert not [process for process in processes if Path(f"/proc/{process.pid}").exists()]
    assert machine.lines()[-1]["state"] == "stopped", machine.lines()[-1]
    return f"{len(processes)} processes ended, the last line says `stopped`"


CHECKS: tuple[Check, ...] = (
    it_runs,
    it_is_not_exposed,
    no_process_holds_a_right_it_does_not_need,
    it_can_connect_to_nothing,
    tshark_is_in_its_box,
    code_in_tshark_can_do_nothing,
    the_sensor_sees_and_writes_no_more_than_it_must,
    a_scan_is_banned,
    a_source_that_is_logged_in_is_not_banned,
    the_journal_is_quiet,
    it_reloads,
    a_broken_configuration_is_refused_at_a_reload,
    whom_the_operator_allows_is_let_back_in,
    a_configuration_that_the_service_cannot_read_ends_it_for_good,
    the_log_is_rotated,
    a_killed_sensor_comes_back,
    a_frozen_sensor_comes_back,
    a_deleted_log_comes_back,
    a_guarded_dumpcap_is_run,
    metrics_are_served_once_the_unit_permits_it,
    it_stops_clean,
)


def _named(machine: Machine, name: str) -> Process:
    return next(process for process in machine.processes() if process.name == name)


def _as_sensor(machine: Machine, code: str, *words: str) -> str:
    """What Python code prints with the main process's user, in its view of files and processes."""
    main = machine.main()
    assert main is not None
    done = machine.run(
        *("nsenter", "-t", str(main.inner_pid), "-m", "--"),
        *("setpriv", "--reuid=portsentry", "--regid=portsentry", "--init-groups"),
        *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
        *("/opt/portsentry-py/bin/python", "-c", code, *words),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def scan_until_banned(machine: Machine, source: str) -> None:
    machine.scan(source)
    wait_for(lambda: source in machine.banned(), f"{source} to be banned", evidence=machine.evidence)


def _owner(machine: Machine) -> str:
    return machine.told("stat", "-c", "%U:%G", "/" + LOG).strip()


def _back(machine: Machine, restarts: int, old: Process) -> float:
    """How long it took until another main process was ready."""
    begun = time.monotonic()

    def another() -> bool:
        main = machine.main()
        return main is not None and main.pid != old.pid and machine.show("ActiveState") == "active"

    wait_for(another, "systemd to start it again", seconds=120, evidence=machine.evidence)
    assert int(machine.show("NRestarts")) == restarts, machine.evidence()
    return time.monotonic() - begun
