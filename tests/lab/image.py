"""Builds the container's image on a Debian tree, runs it with few rights, and scans it.

    python -m tests.lab.image TREE [-o DIR]

TREE is a tree of Debian 13 that debootstrap made with the variant minbase; it is copied, not changed, and takes the
place of the base image. Writes image.md. Exits with 1 if a check fails. Needs root and buildah.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.boot import tree as trees
from tests.lab.support import program
from tests.support.namespaces import IFACE, Lab, opened
from tests.support.needs import require_tool
from tests.support.paths import ROOT
from tests.support.running import ran, run
from tests.support.waiting import wait_for

BASE, IMAGE = "docker.io/library/debian:13-slim", "localhost/portsentry-py-lab"
MOST_MEGABYTES = 250
LOG = "var/log/portsentry.log"
_HEAD = """# The container's image

Written by `make image`: `docker/Dockerfile` is built with buildah on Debian 13 without Python, and its root is run
read-only, with the folders of compose.yaml writable, in a network of its own. The exit code is 1 if a check fails.

The image has {size} MB over its base.

| capabilities at the start | the main process is | it holds | a scan | health check | core |
|---|---|---|---|---|---|
"""
# How an engine can start it, and the user and the capabilities that the sensor then has.
WAYS = (
    ("NET_RAW, SETUID, SETGID (compose.yaml)", "+net_raw,+setuid,+setgid", (), 10001),
    ("NET_RAW, NET_ADMIN", "+net_raw,+net_admin", (), 0),
    (
        "NET_RAW, given to the user (`podman run --user portsentry`)",
        "+net_raw",
        ("--reuid=portsentry", "--regid=portsentry", "--clear-groups", "--ambient-caps=+net_raw"),
        10001,
    ),
)
_START = """
mount --make-rprivate /
mount --bind "$0" "$0" && cd "$0"
for folder in var/log var/lib/portsentry-py; do mount --bind "$1/$folder" $folder; done
for folder in tmp run; do mount -t tmpfs none $folder; done
mount -t proc none proc && mount -t sysfs none sys && mount --rbind /dev dev
mount -o remount,bind,ro "$0"
shift
exec chroot . setpriv --no-new-privs "$@"
"""


def main(words: Sequence[str]) -> int:
    parser = program.parser("image", __doc__)
    parser.add_argument("tree", type=Path)
    arguments = program.begin(parser, words)
    program.need_root(parser)
    require_tool("buildah")
    with _image(arguments.tree) as (root, megabytes):
        page = _HEAD.format(size=megabytes) + "".join(map(_row, WAYS, [root] * len(WAYS)))
    print(page)
    if arguments.output:
        (arguments.output / "image.md").write_text(page, encoding="utf-8")
    return 1 if "**" in page or megabytes > MOST_MEGABYTES else 0


@contextlib.contextmanager
def _image(tree: Path) -> Iterator[tuple[Path, int]]:
    """The root of a container of the image, and the size of the image over its base."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-image-", dir=tree.resolve().parent) as folder:
        base = Path(folder) / "base"
        run("cp", "-a", "--reflink=auto", tree, base, seconds=600)
        trees.inside(base, "apt-get purge -qq -y 'python3*' && apt-get autoremove -qq -y --purge && apt-get clean")
        certificates = Path("/etc/ssl/certs/ca-certificates.crt")
        if certificates.exists():  # what this machine trusts, the build does too: it may sit behind a proxy
            (base / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
            shutil.copy(certificates, base / "etc/ssl/certs")
            local = Path("/usr/local/share/ca-certificates")
            if local.exists():  # python3-pip brings ca-certificates, which writes the bundle again, from these too
                shutil.copytree(local, base / local.relative_to("/"), dirs_exist_ok=True)
            (base / "etc/pip.conf").write_text(f"[global]\ncert={certificates}\ntimeout=180\n", encoding="utf-8")
        scratch = run("buildah", "from", "scratch").strip()
        run("buildah", "add", "--quiet", scratch, base, "/", seconds=600)
        run("buildah", "commit", "--quiet", "--rm", scratch, BASE, seconds=600)
    build = ("--isolation=chroot", "--network=host", "--pull=never", "--format=docker", "--quiet")
    run("buildah", "bud", *build, "--file", ROOT / "docker/Dockerfile", "--tag", IMAGE, ROOT, seconds=1800)
    container = run("buildah", "from", "--pull=never", IMAGE).strip()
    try:
        yield Path(run("buildah", "mount", container).strip()), _megabytes(IMAGE) - _megabytes(BASE)
    finally:
        run("buildah", "rm", container)
        run("buildah", "rmi", "--force", IMAGE, BASE)


def _megabytes(image: str) -> int:
    """The size of an image, all its layers together."""
    (found,) = json.loads(run("buildah", "images", "--json", image))
    number, unit = found["size"].split()
    assert unit == "MB", found
    return round(float(number))


def _row(way: tuple[str, str, tuple[str, ...], int], root: Path) -> str:
    name, capabilities, options, user = way
    with opened() as lab, _running(lab, root, capabilities, options) as (sensor, volumes):
        log = volumes / LOG
        wait_for(lambda: log.exists() and '"started"' in log.read_text(encoding="ascii"), "the sensor")
        lab.scanner.run("nmap", "-n", "-Pn", "-sS", "-e", IFACE, "-p", "1-100", lab.target.ipv4[0])
        wait_for(lambda: '"event_type":"scan"' in log.read_text(encoding="ascii"), "the scan")
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{sensor}/status").read_text().splitlines())
        check = _check(sensor, _bounds(capabilities, options))
    uid = int(status["Uid"].split()[0])
    seen = f"uid {uid}" if uid == user else f"**uid {uid}**"
    holds = "nothing" if int(status["CapEff"], 16) == 0 else "both"
    healthy = 0 if check.returncode == 1 else check.returncode
    health = "exit code 0" if healthy == 0 else f"**exit code {healthy}**"
    core = "compiled" if "ok      core: compiled" in check.stdout.splitlines() else "**not compiled**"
    return f"| {name} | {seen} | {holds} | seen | {health} | {core} |\n"


@contextlib.contextmanager
def _running(lab: Lab, root: Path, capabilities: str, options: Sequence[str]) -> Iterator[tuple[int, Path]]:
    """The process of the sensor, and the folder of its volumes."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-volumes-") as folder:
        volumes = Path(folder)
        volumes.chmod(0o755)
        for name in ("var/log", "var/lib/portsentry-py"):  # a new volume is a copy of the image's folder
            (volumes / name).parent.mkdir(parents=True, exist_ok=True)
            run("cp", "-a", root / name, volumes / name)
        unshare = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        bounds = _bounds(capabilities, options)
        shell = lab.target.inside(*unshare, "sh", "-euc", _START, root, folder, *bounds, "run")
        process = subprocess.Popen(shell, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            sensor = wait_for(lambda: _child(process.pid), "the container")
            yield sensor, volumes
            os.kill(sensor, signal.SIGTERM)
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def _child(parent: int) -> int | None:
    """The first process of the container, once it is the sensor."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split():
        if b"portsentry-py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    return None


def _bounds(capabilities: str, options: Sequence[str]) -> tuple[str, ...]:
    """The options of setpriv, and the program."""
    return (f"--bounding-set=-all,{capabilities}", f"--inh-caps=-all,{capabilities}", *options, "entrypoint")


def _check(sensor: int, bounds: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """The health check, run as an engine runs it: with the capabilities of the container. It is printed too."""
    inside = ("nsenter", "--target", str(sensor), "--mount", "--pid", "--net", "--root", "--wd")
    done = ran(*inside, "setpriv", "--no-new-privs", *bounds, "check", "--live")
    print(done.stdout + done.stderr)
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
