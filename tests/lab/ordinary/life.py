"""Lets the host live through the day, and keeps what there is to judge."""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.lab.ordinary import bans, recordings
from tests.lab.ordinary.accounts import Account, Accounts
from tests.lab.ordinary.bans import Ban
from tests.lab.ordinary.day import HOURS, Day
from tests.lab.ordinary.network import Network, opened
from tests.lab.ordinary.player import Player
from tests.lab.ordinary.populations import EVERYONE, PLACES
from tests.lab.ordinary.recordings import Playlist
from tests.lab.ordinary.services import Services
from tests.lab.support import labelled
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.namespaces import IFACE
from tests.support.sensor import Line, Sensor

_SETUP_SECONDS = 3.0
_GRACE_SECONDS = 300.0
_QUIET_SECONDS = 4.0
_PORTSENTRY = "portsentry"
_LOCAL = NFTABLES + "[sshd]\nenabled = true\nlogpath = {log}\n"


@dataclass
class Lived:
    """A day that is over.

    Attributes:
        day: when it was.
        accounts: who came, by the name of the population.
        bans: by either jail.
        lines: the sensor's log.
        playlist: the captures that were played; empty if there were none.
        played: packets of them that were sent.
        requests: answered by nginx.
        logins: accepted by sshd.
        faults: what went wrong with the day itself; it proves nothing if there are any.
    """

    day: Day
    accounts: dict[str, Account]
    bans: list[Ban]
    lines: list[Line]
    playlist: Playlist
    played: int
    requests: int
    logins: int
    faults: list[str]


def live(minutes: float, captures: Path | None, keep: Path | None = None) -> Lived:
    """Let a day of 24 hours pass in this many minutes.

    Args:
        minutes: how long it takes.
        captures: a directory with `index.csv`, whose innocent captures are played.
        keep: a folder for the logs and what the sensor captured; without it they go with the day.
    """
    with tempfile.TemporaryDirectory(prefix="ordinary-") as temporary, opened() as network, ExitStack() as stack:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        recording = folder / "recording.pcap"
        found = labelled.read(captures) if captures is not None else []
        playlist = recordings.record(found, Day(0, minutes), recording)
        services = Services(network.host, folder)
        stack.callback(services.close)
        (folder / "mac").write_text(_mac(network))
        accounts = Accounts(network.host, folder, EVERYONE)
        server = Fail2banServer(network.host, folder, _LOCAL.format(log=services.auth.written))
        stack.callback(server.stop)
        _move_in(network, playlist)
        sensor = Sensor(network.host, folder, {}, copy=keep is not None, iface="")
        stack.callback(sensor.stop)
        sensor.wait_until_ready()
        day = Day(time.time() + _SETUP_SECONDS, minutes)
        player = Player(network, day, recording)
        crowds = _crowds(network, day, folder)
        if playlist.packets:
            player.start()
        _restart_things(services, day)
        faults = [*_wait(crowds, day, folder), *_wait_for_the_player(player, playlist)]
        _settle(sensor)
        faults += [] if sensor.stop() == 0 else [f"the sensor: {sensor.evidence()}"]
        time.sleep(_QUIET_SECONDS)
        faults += [f"fail2ban: {line}" for line in server.errors()]
        banned = bans.read(folder / "fail2ban.sqlite3")
        counts = services.counts()
        return Lived(day, accounts.read(), banned, sensor.lines(), playlist, player.played, *counts, faults)


def _move_in(network: Network, playlist: Playlist) -> None:
    """Give the host the addresses of those whose part it plays."""
    for address in sorted(playlist.homes):
        length, words = ("128", ["nodad"]) if ":" in address else ("32", [])
        done = network.host.run("ip", "addr", "add", f"{address}/{length}", "dev", "lo", *words)
        if done.returncode != 0:
            raise AssertionError(done.stderr)


def _mac(network: Network) -> str:
    """The host's MAC address; /sys shows the machine's own interfaces."""
    listed = network.host.run("ip", "--json", "link", "show", "dev", IFACE)
    return str(json.loads(listed.stdout)[0]["address"])


def _crowds(network: Network, day: Day, folder: Path) -> dict[str, subprocess.Popen[str]]:
    crowds = {}
    for place in PLACES:
        words = ("-m", "tests.lab.ordinary.residents", place, str(day.start), str(day.minutes), folder)
        with (folder / f"crowd-{place}.err").open("w") as errors:
            crowds[place] = network.place(place).start(sys.executable, *words, stderr=errors)
    return crowds


def _restart_things(services: Services, day: Day) -> None:
    """Restart the web server at noon, and sshd three hours later."""
    for hour, action in (
        (12.0, services.stop_nginx),
        (12.2, services.start_nginx),
        (15.0, services.stop_sshd),
        (15.2, services.start_sshd),
    ):
        time.sleep(day.left(hour))
        action()


def _wait(crowds: dict[str, subprocess.Popen[str]], day: Day, folder: Path) -> list[str]:
    """Wait until everybody has gone; give what went wrong."""
    faults = []
    for place, crowd in crowds.items():
        try:
            code = crowd.wait(day.left(HOURS) + _GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            code = -1
        said = (folder / f"crowd-{place}.err").read_text()[-2000:]
        if code != 0 or said:
            faults.append(f"the crowd of {place} ended with {code}: {said}")
    return faults


def _wait_for_the_player(player: Player, playlist: Playlist) -> list[str]:
    if not playlist.packets:
        return []
    player.wait(_GRACE_SECONDS)
    if player.failed:
        return [f"the player: {player.failed}"]
    return [] if player.played == playlist.packets else [f"{player.played} of {playlist.packets} frames were sent"]


def _settle(sensor: Sensor) -> None:
    """Return when the log has been still for a while: what was captured has come through."""
    deadline = time.monotonic() + _GRACE_SECONDS
    size, since = -1, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < _QUIET_SECONDS:
        if sensor.log.stat().st_size != size:
            size, since = sensor.log.stat().st_size, time.monotonic()
        time.sleep(0.2)
