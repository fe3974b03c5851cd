"""The stage of a replay: a capture file with simulated time, in which the victim answers by the model."""

import json
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.lab.attacks.attack import SERVED_TCP, SERVED_UDP, Attack, Observed, Sent
from tests.lab.attacks.model import Model, our_sequence
from tests.lab.attacks.parties import FOUR, SIX
from tests.lab.attacks.shipped_filter import banned_by
from tests.lab.attacks.wire.ip import Frame, Packet, framed
from tests.lab.attacks.wire.upper import ACK, FIN, PSH, STACK_OPTIONS, SYN, tcp, udp

EPOCH = 1_790_000_000.0
"""When each capture begins: a moment in September 2026."""
REPLAY_SECONDS = 600
_MACS = {
    "victim": bytes.fromhex("020000000001"),
    "attacker": bytes.fromhex("020000000066"),
    "router": bytes.fromhex("0200000000fe"),
    "everybody": b"\xff" * 6,
}
_ETHERNET, _COOKED = 1, 113  # link types of pcap
_TO_US, _BROADCAST, _FROM_US = 0, 1, 4  # packet types of cooked captures
_ANSWER_SECONDS = 0.0004
_HEARTBEAT_SECONDS = 600.0
_MOST_HEARTBEATS = 100
_REGULAR = "192.0.2.99"


class Tape:
    """Frames with their times. `limit`: the attacker sends no more packets than that.

    `cooked` writes a Linux cooked capture, in which the kernel says of each packet whether it came or went.
    """

    def __init__(self, *, limit: int | None = None) -> None:
        self.now = EPOCH
        self.cooked = False
        self.model = Model()
        self.facts: dict[str, Any] = {}
        self.sent: list[float] = []
        self.probes = 0
        self.link = "router"
        """From where plain packets come."""
        self._limit = limit
        self._frames: list[tuple[float, bool, Frame]] = []
        self._ports: dict[str, int] = {}
        self.visit(_REGULAR, 1)  # a capture of a host that lives: its link address is seen

    # ---- what both stages can

    def send(self, *packets: Sent, every: float = 0.002) -> None:
        """See Stage."""
        for packet in packets:
            if self._limit is None or len(self.sent) < self._limit:
                self.sent.append(self.now)
                self._arrive(packet)
            self.now += every

    def scan(self, *packets: Sent, every: float = 0.002) -> None:
        """See Stage."""
        for packet in packets:
            self.probes += 1
            self._arrive(packet)
            self.now += every

    def pause(self, seconds: float) -> None:
        """See Stage: a regular guest comes now and then, and at the end."""
        until = self.now + seconds
        step = max(_HEARTBEAT_SECONDS, seconds / _MOST_HEARTBEATS)
        while self.now + step < until:
            self.now += step
            self.visit(_REGULAR, 1)
        self.now = max(self.now, until)
        self.visit(_REGULAR, 1)

    def visit(self, guest: str, sessions: int, *, port: int = 80, every: float = 0.05) -> None:
        """See Stage."""
        victim = self._victim_of(guest)
        for _ in range(sessions):
            src_port = self._port(guest)
            opened = tcp(guest, victim, src_port, port, SYN, seq=7, options=STACK_OPTIONS, window=64_240)
            ours = our_sequence(opened)
            self._talk(
                (False, opened),
                (True, tcp(victim, guest, port, src_port, SYN | ACK, seq=ours, ack=8, options=STACK_OPTIONS)),
                (False, tcp(guest, victim, src_port, port, ACK, seq=8, ack=ours + 1)),
                (False, tcp(guest, victim, src_port, port, PSH | ACK, seq=8, ack=ours + 1, data=b"GET /\n")),
                (True, tcp(victim, guest, port, src_port, PSH | ACK, seq=ours + 1, ack=14, data=b"x" * 200)),
                (False, tcp(guest, victim, src_port, port, FIN | ACK, seq=14, ack=ours + 201)),
                (True, tcp(victim, guest, port, src_port, FIN | ACK, seq=ours + 201, ack=15)),
                (False, tcp(guest, victim, src_port, port, ACK, seq=15, ack=ours + 202)),
            )
            self.now += every

    def ask(self, server: str, port: int = 53) -> None:
        """See Stage."""
        victim, src_port = self._victim_of(server), self._port("victim")
        self._talk(
            (True, udp(victim, server, src_port, port, b"\0" * 30, ttl=64)),
            (False, udp(server, victim, port, src_port, b"\0" * 60)),
        )

    # ---- what only a capture can

    def say(self, *packets: Packet, every: float = 0.002) -> None:
        """The victim itself sends packets."""
        for packet in packets:
            self._add(packet, out=True)
            self.now += every

    def hear(self, *packets: Packet, every: float = 0.002) -> None:
        """Somebody innocent sends packets; the victim does not answer."""
        for packet in packets:
            self._add(packet, out=False)
            self.now += every

    @property
    def at(self) -> float:
        """Seconds since the begin of the capture."""
        return self.now - EPOCH

    def write(self, path: Path, macs: Mapping[str, bytes] = _MACS) -> None:
        """Write the capture file; `macs` are the Ethernet addresses of an Ethernet capture."""
        kind = _COOKED if self.cooked else _ETHERNET
        with path.open("wb", buffering=1 << 20) as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, kind))
            for time, out, frame in sorted(self._frames, key=lambda one: one[0]):
                head = _cooked(frame, out) if self.cooked else _ethernet(frame, macs)
                data = head + frame.content
                micros = round(time * 1e6)
                file.write(struct.pack("<IIII", *divmod(micros, 1_000_000), len(data), len(data)) + data)

    def _arrive(self, packet: Sent) -> None:
        self._add(packet, out=False)
        if isinstance(packet, Packet):
            for answer in self.model.answers(packet):
                self._frames.append((self.now + _ANSWER_SECONDS, True, framed(answer, link="victim", to="router")))

    def _add(self, packet: Sent, *, out: bool) -> None:
        if isinstance(packet, Packet):
            packet = framed(packet, link="victim", to="router") if out else framed(packet, link=self.link)
        self._frames.append((self.now, out, packet))

    def _talk(self, *spoken: tuple[bool, Packet]) -> None:
        for out, packet in spoken:
            self._add(packet, out=out)
            self.now += _ANSWER_SECONDS

    def _port(self, speaker: str) -> int:
        self._ports[speaker] = (self._ports.get(speaker, 0) + 1) % 20_000
        return 41_000 + self._ports[speaker]

    @staticmethod
    def _victim_of(other: str) -> str:
        return SIX.victim if ":" in other else FOUR.victim


def observe(attack: Attack, folder: Path, *, limit: int | None = None) -> Observed:
    """Play an attack on a tape, replay the capture, and see what the sensor says."""
    tape = Tape(limit=limit)
    traps = attack.settings.get("traps", {})
    if traps.get("listen"):
        tape.model.served_tcp += tuple(traps["tcp"])
    attack.play(tape)
    capture, config = folder / "attack.pcap", folder / "portsentry.yaml"
    tape.write(capture)
    config.write_text(yaml.safe_dump({**_SERVED, **attack.settings}))
    homes = [word for home in attack.home for word in ("--home", home)]
    done = subprocess.run(
        [sys.executable, "-m", "portsentry_py", "replay", "-c", config, *homes, capture],
        capture_output=True,
        text=True,
        timeout=REPLAY_SECONDS,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return Observed(
        lines,
        len(tape.sent) or tape.probes,
        banned_by(done.stdout.splitlines(), folder),
        facts=tape.facts,
        diagnostics=done.stderr if done.returncode else "",
        code=done.returncode,
        sent=tape.sent,
    )


_SERVED: Mapping[str, Any] = {"served": {"tcp": list(SERVED_TCP), "udp": list(SERVED_UDP)}}


def _ethernet(frame: Frame, macs: Mapping[str, bytes]) -> bytes:
    return macs[frame.to] + macs[frame.link] + frame.head


def _cooked(frame: Frame, out: bool) -> bytes:
    kind = _FROM_US if out else _BROADCAST if frame.to == "everybody" else _TO_US
    return struct.pack("!HHH", kind, 1, 6) + _MACS[frame.link] + bytes(2) + frame.head
