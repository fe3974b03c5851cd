"""Reports the sensor's state to systemd by the sd_notify(3) protocol; without systemd it does nothing."""

import contextlib
import os
import socket
import time


class SystemdNotifier:
    """The service manager whose socket the environment names, if any."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # An abstract address is written with @ for its first byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """The sensor captures."""
        self._send("READY=1")

    def watchdog(self) -> None:
        """The sensor works; systemd restarts it when this does not come in time (WatchdogSec=)."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is read again; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The sensor ends."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not disturb the sensor.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
            unix.setblocking(False)
            unix.sendto(message.encode(), self._address)
