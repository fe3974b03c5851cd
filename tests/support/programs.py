"""Scripts that stand in for programs."""

from __future__ import annotations

from pathlib import Path


def write_program(path: Path, script: str) -> Path:
    """A script that everybody may run; its first line names the interpreter."""
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)
    return path


def fake_capture_tools(folder: Path, script: str) -> None:
    """A tshark and a dumpcap that run this shell script."""
    for name in ("tshark", "dumpcap"):
        write_program(folder / name, f"#!/bin/sh\n{script}\n")
