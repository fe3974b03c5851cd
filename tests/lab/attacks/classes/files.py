"""Files that others may write, and what main could ask the launcher for."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from portsentry_py.privsep import launcher
from tests.lab.attacks.attack import Attack
from tests.lab.attacks.classes.common import syns
from tests.lab.attacks.live import Wire
from tests.lab.attacks.parties import FOUR
from tests.lab.attacks.tape import Tape
from tests.support.needs import require_tool
from tests.support.sensor import Sensor
from tests.support.waiting import wait_for

REFUSED, RAN = "refused or told", "planted code ran"
_NOBODY = 65_534
_PLUGIN = 'local mark = io.open("{mark}", "w") mark:write("ran") mark:close()\n'
_RUN_US = "runpy.run_module('portsentry_py', run_name='__main__', alter_sys=True)"


def _configured(spoil: Callable[[Path], Path]) -> Callable[[Wire], None]:
    """A configuration that somebody else may change: it is refused, or at least told of."""

    def play(stage: Wire) -> None:
        folder = stage.folder / "etc"
        folder.mkdir()
        path = folder / "portsentry.yaml"
        path.write_text(f"ignore: [{FOUR.attacker}]\nstate: off\n")
        used = spoil(path)
        log, errors = stage.folder / "portsentry.log", stage.folder / "stderr"
        with errors.open("w") as stderr:
            process = stage.lab.target.start(
                *(sys.executable, "-m", "portsentry_py", "run", "-c", used, "-i", "eth0", "--log", log), stderr=stderr
            )
        try:
            wait_for(lambda: process.poll() is not None or "watches" in errors.read_text(), "a start or an end")
        finally:
            process.terminate()
            process.wait(30)
        said = errors.read_text()
        stage.facts[REFUSED] = str(used) in said or str(path) in said
        stage.facts["said"] = said.strip().splitlines()[:1]

    return play


def _writable(mode: int) -> Callable[[Path], Path]:
    def spoil(path: Path) -> Path:
        path.chmod(mode)
        return path

    return spoil


def _of_somebody(path: Path) -> Path:
    os.chown(path, _NOBODY, _NOBODY)
    return path


def _in_a_shared_folder(path: Path) -> Path:
    path.parent.chmod(0o777)
    return path


def _by_a_link(path: Path) -> Path:
    """A link in a folder that everybody may write."""
    shared = path.parent / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    link = shared / "portsentry.yaml"
    link.symlink_to(path)
    return link


def _planted(place: str, variable: str, content: str = _PLUGIN) -> Callable[[Wire], None]:
    """Code for Wireshark where its own user may write; the environment says where that is."""

    def play(stage: Wire) -> None:
        home = stage.folder / "home"
        mark = stage.folder / "mark"
        path = home / place
        path.parent.mkdir(parents=True)
        path.write_text(content.format(mark=mark))
        path.chmod(0o755)
        value = home / Path(place).parent if variable in {"WIRESHARK_PLUGIN_DIR", "WIRESHARK_EXTCAP_DIR"} else home
        capture = stage.folder / "some.pcap"
        tape = Tape()
        tape.scan(*syns(FOUR.attacker, FOUR.victim))
        tape.write(capture)
        environment = ("env", f"{variable}={value}")
        module = (sys.executable, "-m", "portsentry_py")
        stage.lab.target.run(*environment, *module, "replay", "-c", os.devnull, capture)
        code = f"import os, runpy; os.environ[{variable!r}] = {str(value)!r}; {_RUN_US}"
        sensor = Sensor(stage.lab.target, stage.folder / "live", program=("-c", code))
        sensor.wait_until_ready()
        sensor.stop()
        stage.facts[RAN] = mark.exists()

    return play


def _asks_the_launcher(request: bytes) -> Callable[[Wire], None]:
    """A request that the launcher has no verb for; whether it starts a program."""

    def play(stage: Wire) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, (stage.folder / "out").open("wb") as out:
            words = [sys.executable, "-I", "-S", launcher.__file__, require_tool("dumpcap"), str(theirs.fileno())]
            process = subprocess.Popen(words, pass_fds=[theirs.fileno()])
            ours.settimeout(10)
            socket.send_fds(ours, [request], [out.fileno(), out.fileno()])
            answer, given, _, _ = socket.recv_fds(ours, launcher.MAX_MESSAGE, 1)
            for descriptor in given:
                os.close(descriptor)
            stage.facts[REFUSED] = b"errno" in answer
        process.wait(30)

    return play


def _many_dumpcaps(stage: Wire) -> None:
    """Two hundred captures: the launcher must stop at some number."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    started = 0
    with ours, theirs, (stage.folder / "out").open("wb") as out:
        words = [sys.executable, "-I", "-S", launcher.__file__, require_tool("dumpcap"), str(theirs.fileno())]
        process = subprocess.Popen(words, pass_fds=[theirs.fileno()])
        ours.settimeout(10)
        for _ in range(200):
            request = b'{"do":"capture","options":["-q","-i","lo","-f","port 9"]}'
            socket.send_fds(ours, [request], [out.fileno(), out.fileno()])
            answer, given, _, _ = socket.recv_fds(ours, launcher.MAX_MESSAGE, 1)
            for descriptor in given:
                os.close(descriptor)
            if b"errno" in answer:
                break
            started += 1
    process.wait(30)
    stage.facts["dumpcaps"] = started


def _everything() -> Iterator[Attack]:
    spoilt: dict[str, Callable[[Path], Path]] = {
        "writable-for-all": _writable(0o666),
        "writable-for-a-group": _writable(0o664),
        "of-somebody": _of_somebody,
        "in-a-shared-folder": _in_a_shared_folder,
        "by-a-link": _by_a_link,
    }
    for name, spoil in spoilt.items():
        yield Attack(
            f"file-configuration-{name}",
            "A local user has the scanner ignored.",
            _configured(spoil),
            way="live",
            starts=False,
        )
    planted = {
        "plugin-in-home": (".local/lib/wireshark/plugins/evil.lua", "HOME", _PLUGIN),
        "plugin-in-config": ("wireshark/plugins/evil.lua", "XDG_CONFIG_HOME", _PLUGIN),
        "init-in-home": (".config/wireshark/init.lua", "HOME", _PLUGIN),
        "init-in-config": ("wireshark/init.lua", "XDG_CONFIG_HOME", _PLUGIN),
        "plugin-folder": ("plugins/evil.lua", "WIRESHARK_PLUGIN_DIR", _PLUGIN),
        "extcap-folder": ("extcap/evil", "WIRESHARK_EXTCAP_DIR", "#!/bin/sh\necho ran > {mark}\n"),
        "extcap-in-home": (".local/lib/wireshark/extcap/evil", "HOME", "#!/bin/sh\necho ran > {mark}\n"),
    }
    for name, (place, variable, content) in planted.items():
        yield Attack(
            f"file-{name}",
            "Code that main wrote runs with the right to capture, after a restart.",
            _planted(place, variable, content),
            way="live",
            starts=False,
        )
    requests = {
        "unknown-verb": b'{"do":"exec","options":["-q","-i","lo"]}',
        "no-verb": b'{"options":["-q","-i","lo"]}',
        "list-as-verb": b'{"do":["capture"],"options":["-q","-i","lo"]}',
        "file-option": b'{"do":"capture","options":["-q","-w","/tmp/x"]}',
        "pipe": b'{"do":"capture","options":["-i","/tmp/pipe"]}',
    }
    for name, request in requests.items():
        yield Attack(
            f"file-launcher-{name}",
            "Main has the launcher do what it is not for.",
            _asks_the_launcher(request),
            way="live",
            starts=False,
        )
    yield Attack(
        "file-launcher-many",
        "Main has the launcher start captures without end.",
        _many_dumpcaps,
        way="live",
        starts=False,
    )


ATTACKS = tuple(_everything())
