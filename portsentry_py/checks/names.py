"""How long this host takes to look up its own name: fail2ban does so before its first ban (`ignoreself`)."""

import subprocess
import sys

# With name servers that answer, it takes a few milliseconds.
_LONGEST_SECONDS = 3
_LOOK_UP = "import socket; socket.getaddrinfo(socket.getfqdn(), None)"


def own_name_is_slow() -> bool:
    """Whether it takes longer than fail2ban can well wait. A name that does not exist is found missing fast."""
    try:
        subprocess.run(
            [sys.executable, "-I", "-c", _LOOK_UP], capture_output=True, timeout=_LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return False
