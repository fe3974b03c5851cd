"""A real Prometheus scrapes a real sensor."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fixtures import StartSensor
from tests.support.namespaces import Lab
from tests.support.needs import require_tool
from tests.support.scanning import PORTS, nmap
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

_SCRAPES = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: portsentry
    static_configs: [{targets: ["127.0.0.1:9797"]}]
"""
_FETCH = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=30).read().decode())"


def test_prometheus_scrapes_the_sensor_and_sees_a_scan(lab: Lab, start_sensor: StartSensor, tmp_path: Path) -> None:
    sensor = start_sensor(metrics={"listen": 9797})

    def fetch(url: str) -> str:
        return lab.target.run("python3", "-c", _FETCH, url).stdout

    wait_for(lambda: "hears" in fetch("http://127.0.0.1:9797/-/healthy"), "a healthy sensor")
    checked = lab.target.run(require_tool("promtool"), "check", "metrics", text=fetch("http://127.0.0.1:9797/metrics"))
    assert (checked.returncode, checked.stderr) == (0, "")

    config = tmp_path / "prometheus.yml"
    config.write_text(_SCRAPES, encoding="utf-8")
    with (tmp_path / "prometheus.log").open("w", encoding="utf-8") as diagnostics:
        prometheus = lab.target.start(
            require_tool("prometheus"),
            *(f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"),
            "--web.listen-address=127.0.0.1:9090",
            stderr=diagnostics,
        )
    try:

        def value(query: str) -> float | None:
            answer = fetch(f"http://127.0.0.1:9090/api/v1/query?query={query}")
            found: list[dict[str, Any]] = json.loads(answer)["data"]["result"] if answer else []
            return float(found[0]["value"][1]) if found else None

        def reaches(query: str, least: int) -> None:
            wait_for(lambda: (value(query) or 0) >= least, query)

        wait_for(lambda: value("up") == 1, "the first scrape", evidence=(tmp_path / "prometheus.log").read_text)
        nmap(lab.scanner, "-sS", "-p", PORTS, lab.target.ipv4[0])
        sensor.wait_for_line("the scanner", event_type="scan", src_ip=lab.scanner.ipv4[0], verdict="ban")
        # Each thread counts on its own, and a scrape can come between two of them.
        for query, least in (
            ("portsentry_events_total{event_type='scan',verdict='ban'}", 1),
            ("portsentry_ban_line_delay_seconds_count", 1),
            ("portsentry_packets_total{fate='decoded'}", 1),
            ("portsentry_sources", 1),
            ("portsentry_tshark_resident_memory_bytes", 1_000_000),
            ("portsentry_capture_hears", 1),
        ):
            reaches(query, least)
    finally:
        prometheus.terminate()
        prometheus.wait(60)
    assert sensor.stop() == 0
