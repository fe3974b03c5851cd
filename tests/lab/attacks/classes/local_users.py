"""Users of the victim itself, without rights: what they open must neither blind nor stop the sensor."""

import time
from collections.abc import Callable, Iterator

from tests.lab.attacks.attack import PORTS, Attack
from tests.lab.attacks.classes.common import datagrams, syns
from tests.lab.attacks.live import Wire
from tests.lab.attacks.parties import FOUR
from tests.support.waiting import wait_for

_OFF = "An unprivileged user switches the sensor off."
_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_UNLIMITED = ("sh", "-c", 'ulimit -n 20000; exec "$0" "$@"')
START_SECONDS, LINE_SECONDS = "seconds to the start", "seconds to the line"
_REFRESH_SECONDS = 35


def _open(stage: Wire, *program: object) -> None:
    stage.command(stage.lab.target, *_UNLIMITED, *_NOBODY, program=program)


def _at_the_start(*program: object) -> Callable[[Wire], None]:
    """Sockets first, then the sensor starts."""

    def play(stage: Wire) -> None:
        _open(stage, *program)
        begun = time.time()
        try:
            stage.start()
        except AssertionError:
            return  # it does not start at all, which the facts that are missing tell
        stage.facts[START_SECONDS] = time.time() - begun
        _scanned(stage)

    return play


def _while_it_runs(*program: object, wait: float = _REFRESH_SECONDS) -> Callable[[Wire], None]:
    """Sockets while the sensor runs; a scan each second, until the sensor has looked at the sockets twice."""

    def play(stage: Wire) -> None:
        _open(stage, *program)
        worst, end = 0.0, time.time() + wait
        number = 0
        while time.time() < end:
            number += 1
            worst = max(worst, _latency(stage, f"198.18.{number}.5"))
        stage.facts[LINE_SECONDS] = worst

    return play


def _scanned(stage: Wire) -> None:
    stage.facts[LINE_SECONDS] = _latency(stage, FOUR.attacker)


def _latency(stage: Wire, source: str) -> float:
    """Seconds from a scan of eight ports to its line."""
    begun = time.time()
    stage.scan(*syns(source, FOUR.victim, PORTS[:8]), every=0.0005)
    try:
        wait_for(lambda: stage.sensor.matching(src_ip=source, event_type="scan"), "the line", seconds=60)
    except AssertionError:
        return 999.0
    return time.time() - begun


def _restarted(stage: Wire) -> None:
    """Tshark is killed while the sockets are open: there must be a capture again."""
    _open(stage, "sockets", 4_000)
    stage.pause(12)
    for tool in stage.sensor.capture_tools():
        if tool.name() == "tshark":
            tool.kill()
    stage.facts[LINE_SECONDS] = _latency(stage, FOUR.attacker)


def _covered(stage: Wire) -> None:
    """A local user opens the port from which an accomplice's UDP scan comes."""
    _open(stage, "serve", "", "2049")
    stage.pause(25)
    stage.scan(*datagrams(FOUR.attacker, FOUR.victim, range(600, 640), src_port=2049))


def _listens_everywhere(stage: Wire) -> None:
    """A local user listens on a thousand TCP ports: the others are scanned."""
    _open(stage, "serve", ",".join(map(str, range(20_000, 21_000))), "")
    stage.pause(12)
    stage.scan(*syns(FOUR.attacker, FOUR.victim, range(20_900, 21_100)))


def _interfaces(stage: Wire) -> None:
    """Interfaces come and go (VPN logins, containers): the sensor must not be blind longer and longer."""
    worst = 0.0
    for number in range(6):
        stage.lab.target.run("ip", "link", "add", f"ppp{number}", "type", "dummy")
        stage.lab.target.run("ip", "link", "set", f"ppp{number}", "up")
        end, turn = time.time() + 11, 0
        while time.time() < end:
            turn += 1
            worst = max(worst, _latency(stage, f"198.18.{100 + number}.{turn}"))
            stage.pause(0.3)
    stage.facts[LINE_SECONDS] = worst


def _everything() -> Iterator[Attack]:
    for count in (400, 1_500, 2_600, 4_000, 12_000):
        yield Attack(f"local-sockets-at-start-{count}", _OFF, _at_the_start("sockets", count), way="live", starts=False)
    for count in (1_500, 4_000):
        yield Attack(f"local-sockets-while-running-{count}", _OFF, _while_it_runs("sockets", count), way="live")
    yield Attack("local-sockets-and-restart", _OFF, _restarted, way="live")
    yield Attack("local-udp-port-for-a-scanner", "A local user opens the way for a UDP scan.", _covered, way="live")
    yield Attack(
        "local-thousand-tcp-ports", "Served ports that nobody needs cover a scan.", _listens_everywhere, way="live"
    )
    yield Attack(
        "local-interfaces",
        "Interfaces that come and go keep the sensor blind.",
        _interfaces,
        way="live",
        settings={"interfaces": []},
    )


ATTACKS = tuple(_everything())
