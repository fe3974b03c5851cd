"""Who uses the SSH server: the administrator, the backup, and who guesses passwords."""

import asyncio
import contextlib
import os
from pathlib import Path

from tests.lab.ordinary.clients import knock
from tests.lab.ordinary.network import HOST
from tests.lab.ordinary.population import Meant, Population, Scene, guests

_SECONDS = 120.0
# Three prompts take nine seconds; a client that is banned meanwhile gets no answer.
_GUESS_SECONDS = 12.0
_BACKUP_BYTES = 6_000_000
_GUESSES = 4
_OPTIONS = (
    *("-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10"),
)
_BY_KEY = ("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes")
_BY_PASSWORD = ("-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password")


async def _run(*words: str | Path, environment: dict[str, str] | None = None, seconds: float = _SECONDS) -> None:
    """Run a client; the server's log says what came of it."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except asyncio.TimeoutError:
        with contextlib.suppress(ProcessLookupError):  # it ended at this moment
            process.kill()
        await process.wait()


async def _log_in(scene: Scene, source: str, command: str) -> None:
    key = ("-i", scene.folder / "login_key", *_BY_KEY)
    await _run("ssh", *_OPTIONS, *key, "-b", source, f"root@{HOST}", command)


async def _guess(scene: Scene, source: str, user: str, prompts: int) -> None:
    """Give wrong passwords, this many in one connection."""
    ask = {"SSH_ASKPASS": str(scene.folder / "askpass"), "SSH_ASKPASS_REQUIRE": "force"}
    words = ("-o", f"NumberOfPasswordPrompts={prompts}", "-b", source, f"{user}@{HOST}", "true")
    await _run("ssh", *_OPTIONS, *_BY_PASSWORD, *words, environment=ask, seconds=_GUESS_SECONDS)


async def _administrator(scene: Scene, me: Population) -> None:
    """Work from two places; mistype the password once in the morning and once at night."""
    async for number in scene.day.spread(7, 22, scene.day.times(24, 3)):
        source = me.address(1 + number % 2)
        if scene.day.times(24, 3) // 2 == number or number == 0:
            await _guess(scene, source, "root", 1)
        await _log_in(scene, source, f"uptime; sleep {scene.day.seconds(0.2):.1f}; ls /")


async def _backup(scene: Scene, me: Population) -> None:
    """Copy some megabytes, there and back."""
    saved = scene.folder / "to-save"
    await asyncio.to_thread(saved.write_bytes, os.urandom(_BACKUP_BYTES))
    key = ("-i", scene.folder / "login_key", *_BY_KEY, "-o", f"BindAddress={me.address(7)}")
    async for _ in scene.day.spread(1, 23, scene.day.times(8, 1)):
        there = f"root@{HOST}:{scene.folder / 'saved'}"
        await _run("scp", "-q", *_OPTIONS, *key, saved, there)
        await _run("scp", "-q", *_OPTIONS, *key, there, "/dev/null")


async def _deployer(scene: Scene, me: Population) -> None:
    """Short sessions one after another, also while sshd is restarted."""
    async for _ in scene.day.spread(14.5, 15.6, scene.day.times(20, 3)):
        await knock(me.address(3), 22, tries=8, pause=scene.day.seconds(0.02))
        await _log_in(scene, me.address(3), "true")


async def _guessers(scene: Scene, me: Population) -> None:
    """Three guess passwords, for root and for users whom nobody knows; banned ones try on."""
    async for _ in scene.day.spread(3, 21, _GUESSES):
        await asyncio.gather(
            _guess(scene, me.address(1), "root", 3),
            _guess(scene, me.address(2), "admin", 3),
            _guess(scene, me.address(3), "oracle", 3),
            _guess(scene, me.address(1), "root", 3),
            _guess(scene, me.address(2), "test", 3),
            _guess(scene, me.address(3), "git", 3),
        )


POPULATIONS = (
    Population("administrator", "SSH sessions by key; mistypes a password twice", "world", guests(30), _administrator),
    Population("backup", f"scp of {_BACKUP_BYTES / 1e6:.0f} MB, both ways", "world", guests(31), _backup),
    Population("deployer", "short SSH sessions while sshd is restarted", "world", guests(32), _deployer),
    Population(
        "password guessers", "wrong passwords over SSH, port 22 only", "world", guests(33), _guessers, Meant.LOGIN
    ),
)
