"""The files that are shipped to /etc: inside an installed package, at the top of a checkout."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).parent


def shipped(folder: Literal["config", "fail2ban"]) -> Path:
    """The folder of these files; a checkout has it once, beside the package, and the build copies it inside."""
    installed = _PACKAGE / "data" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder
