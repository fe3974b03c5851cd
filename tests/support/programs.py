"""Scripts that stand in for programs."""

from pathlib import Path

from portsentry_py.capture.toolchain import Tools


def write_program(path: Path, script: str) -> Path:
    """A script that everybody may run; its first line names the interpreter."""
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)
    return path


def fake_capture_tools(folder: Path, script: str) -> Tools:
    """A tshark and a dumpcap that run this shell script."""
    shell = f"#!/bin/sh\n{script}\n"
    tshark, dumpcap = (str(write_program(folder / name, shell)) for name in ("tshark", "dumpcap"))
    return Tools(tshark, dumpcap, "4.0.0")
