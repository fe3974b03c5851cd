"""Tells the service manager how we are: systemd's sd_notify(3) protocol, and silence without it."""

import contextlib
import os
import socket
import time


class SystemdNotifier:
    """Whoever started us and wants to know, by the socket that the environment names."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # An abstract address is written with @ for its first byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def is_ready(self) -> None:
        """We do what we are for."""
        self._tell("READY=1")

    def is_well(self) -> None:
        """We are not hanging: said in time, or we are started again (WatchdogSec)."""
        self._tell("WATCHDOG=1")

    def is_reloading(self) -> None:
        """The configuration is read again; `is_ready` follows."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def is_stopping(self) -> None:
        """We were told to end."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # Whether it listens or not is its own affair.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
            unix.setblocking(False)
            unix.sendto(message.encode(), self._address)
