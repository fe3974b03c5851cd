"""What the host serves: a real nginx and a real sshd, whose messages come to a log as syslog writes them."""

import signal
import subprocess
from pathlib import Path

from tests.lab.ordinary.network import HOST
from tests.lab.support import own_dev
from tests.support.namespaces import Host
from tests.support.running import run
from tests.support.waiting import wait_for

BIG_BYTES = 8_000_000
_PAGE_BYTES = 20_000
_TIME_LETTERS = 15  # "Nov 20 08:41:57"

_NGINX = """\
user root;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 4000; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_timeout 5;
    server {{
        listen 80 backlog=4096;
        listen [::]:80 backlog=4096;
        listen 443 ssl backlog=4096;
        listen [::]:443 ssl backlog=4096;
        ssl_certificate {folder}/web.crt;
        ssl_certificate_key {folder}/web.key;
        root {folder}/web;
    }}
}}
"""

_SSHD = """\
Port 22
HostKey {folder}/host_key
PidFile none
LogLevel VERBOSE
UsePAM yes
KbdInteractiveAuthentication no
PasswordAuthentication yes
PermitRootLogin yes
AuthorizedKeysFile {folder}/login_key.pub
StrictModes no
Subsystem sftp internal-sftp
"""


class AuthLog(own_dev.Syslog):
    """Writes what a program says to /dev/log into a file, as rsyslog does on Debian."""

    def __init__(self, folder: Path) -> None:
        self.written = folder / "auth.log"
        self._file = self.written.open("a", buffering=1)
        super().__init__(folder / "devlog")

    def close(self) -> None:
        super().close()
        self._file.close()

    def take(self, line: str) -> None:
        """Write a line, with a host's name and without its priority."""
        line = line.partition(">")[2]
        self._file.write(f"{line[:_TIME_LETTERS]} ordinary{line[_TIME_LETTERS:]}\n")


class Services:
    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.auth = AuthLog(folder)
        _prepare(folder)
        self._nginx = self._start_nginx()
        self._sshd = self._start_sshd()
        wait_for(self._answer, "the services to answer", evidence=self.evidence)

    def stop_nginx(self) -> None:
        """End it; its ports are closed until it is started again."""
        self._nginx.send_signal(signal.SIGTERM)
        self._nginx.wait(30)

    def start_nginx(self) -> None:
        self._nginx = self._start_nginx()

    def stop_sshd(self) -> None:
        """End the listener; sessions go on."""
        self._sshd.send_signal(signal.SIGTERM)
        self._sshd.wait(30)

    def start_sshd(self) -> None:
        self._sshd = self._start_sshd()

    def close(self) -> None:
        self._nginx.terminate()
        self._sshd.terminate()
        self.auth.close()

    def counts(self) -> tuple[int, int]:
        """How many requests nginx answered and how many logins sshd accepted."""
        access = self.folder / "access.log"
        requests = access.read_text().count("\n") if access.exists() else 0
        return requests, self.auth.written.read_text().count("]: Accepted publickey")

    def evidence(self) -> str:
        texts = [path.read_text()[-2000:] for path in self.folder.glob("*.err")]
        return "\n".join([*texts, self.auth.written.read_text()[-2000:]])

    def _answer(self) -> bool:
        return all(self.host.reaches(HOST, port) for port in (22, 80, 443))

    def _start_nginx(self) -> subprocess.Popen[str]:
        config = self.folder / "nginx.conf"
        with (self.folder / "nginx.err").open("a") as errors:
            return self.host.start("nginx", "-e", "stderr", "-c", config, "-p", self.folder, stderr=errors)

    def _start_sshd(self) -> subprocess.Popen[str]:
        # No process ids of its own: its sessions outlive it.
        words = ("unshare", "--mount", "sh", "-euc", own_dev.SET_UP, self.auth.path)
        with (self.folder / "sshd.err").open("a") as errors:
            return self.host.start(*words, "/usr/sbin/sshd", "-D", "-f", self.folder / "sshd.conf", stderr=errors)


def _prepare(folder: Path) -> None:
    """Write keys, settings and pages."""
    for name in ("host_key", "login_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", "/CN=ordinary.example", "-days", "2"),
        *("-keyout", folder / "web.key", "-out", folder / "web.crt"),
    )
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
    (folder / "sshd.conf").write_text(_SSHD.format(folder=folder))
    askpass = folder / "askpass"
    askpass.write_text("#!/bin/sh\necho mistyped\n")
    askpass.chmod(0o755)
    web = folder / "web"
    web.mkdir()
    (web / "index.html").write_bytes(b"x" * _PAGE_BYTES)
    (web / "big").write_bytes(b"x" * BIG_BYTES)
