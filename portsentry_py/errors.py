"""Errors that a user can cause or that the machine can; each carries its exit code (sysexits.h)."""


class PortsentryError(Exception):
    """One sentence for the user: the cause and the fix."""

    exit_code = 70


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
    """The launcher has ended, and what it alone could do cannot be done any more."""


class OutputError(PortsentryError):
    """The log or another output cannot be written."""

    exit_code = 73


class PermissionDenied(PortsentryError):
    """The user may not do this."""

    exit_code = 77


class ConfigError(PortsentryError):
    """The configuration is wrong; one line per problem."""

    exit_code = 78
