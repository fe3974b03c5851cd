"""Errors that a user, the machine or the network can cause. Each class has one exit code of sysexits.h."""

from portsentry_py.text import printable


class PortsentryError(Exception):
    """One sentence for the user: the cause and the fix."""

    exit_code = 70

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class UsageError(PortsentryError):
    """The command line asks for something that makes no sense."""

    exit_code = 64


class InputError(PortsentryError):
    """A capture or other input file cannot be read."""

    exit_code = 65


class CaptureError(PortsentryError):
    """Capturing is unavailable: tools, interface or filter."""

    exit_code = 69


class RightsLost(CaptureError):
    """The launcher has ended, and with it the right to capture."""


class Fail2banError(PortsentryError):
    """fail2ban is unavailable: it is not installed, does not answer, or lacks our jail."""

    exit_code = 69


class LibraryMissing(PortsentryError):
    """A library is missing that only one command uses."""

    exit_code = 69

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed; run `pip install 'portsentry-py[{extra}]'`.")


class FleetError(PortsentryError):
    """The broker of the fleet is unavailable."""

    exit_code = 69


class ScanError(PortsentryError):
    """A scan is unavailable: no address, no route, no sockets."""

    exit_code = 69


class InstallError(PortsentryError):
    """The service cannot be installed or removed."""

    exit_code = 69


class DrillError(PortsentryError):
    """The drill cannot be carried out on this host."""

    exit_code = 69


class OutputError(PortsentryError):
    """The log or another output cannot be written."""

    exit_code = 73


class OutputEnded(OutputError):
    """An output can never be written again; the sensor ends with it."""


class ReaderGone(OutputEnded):
    """The reader of standard output has read enough (`| head`); this is no failure."""

    exit_code = 0


class PermissionDenied(PortsentryError):
    """The user lacks a right."""

    exit_code = 77


class ConfigError(PortsentryError):
    """The configuration is wrong; one line per problem."""

    exit_code = 78

    def __init__(self, *problems: str) -> None:
        Exception.__init__(self, "\n".join(map(printable, problems)))
