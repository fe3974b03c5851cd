"""Faults of the network interfaces."""

import time
from collections.abc import Callable

from tests.lab.faults.accounting import Gap, time_of
from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import Scene, playing, refused
from tests.support.namespaces import IFACE, ip
from tests.support.waiting import wait_for

_DOWN_SECONDS = 1.0
_RENAMED, _ADDRESS, _PORT = "wan0", "203.0.113.9", 4_000
_ALL = ""


def _down_and_up(stage: Stage) -> Observed:
    with playing(stage) as scene:
        target = stage.lab.target.namespace
        ip("-n", target, "link", "set", IFACE, "down")
        time.sleep(_DOWN_SECONDS)
        ip("-n", target, "link", "set", IFACE, "up")
        scene.mended()
        scene.sees()
        return scene.observed()


def _renamed(stage: Stage) -> Observed:
    with playing(stage, iface=_ALL) as scene:
        target = stage.lab.target
        rename = ("ip", "link", "set", IFACE, "name", _RENAMED)
        text = "while it is up"
        if target.run(*rename).returncode:
            text = "while it is down"
            ip("-n", target.namespace, "link", "set", IFACE, "down")
            target.run(*rename)
            ip("-n", target.namespace, "link", "set", _RENAMED, "up")
        scene.mended()
        scene.sees()
        return scene.observed(f"renamed {text}")


def _created_anew(iface: str) -> Callable[[Stage], Observed]:
    def happens(stage: Stage) -> Observed:
        with playing(stage, iface=iface) as scene:
            ip("-n", stage.lab.target.namespace, "link", "delete", IFACE)
            time.sleep(_DOWN_SECONDS)
            _create(stage)
            scene.mended()
            scene.sees()
            return scene.observed(
                "seen once its address is ours again", gaps=[_until_ours(scene)], counted=iface == _ALL
            )

    return happens


def _appears(stage: Stage) -> Observed:
    ip("-n", stage.lab.target.namespace, "link", "delete", IFACE)
    with playing(stage, iface=_ALL, steady=False) as scene:
        _create(stage)
        scene.mended()
        scene.sees()
        return scene.observed("seen once its address is ours", gaps=[_until_ours(scene)])


def _until_ours(scene: Scene) -> Gap:
    """The time from the fault on until the sensor knows that what comes is meant for it."""
    times = map(time_of, scene.sensor.matching(event_type="connection"))
    return scene.struck, min(time for time in times if time > scene.cured)


def _create(stage: Stage) -> None:
    """Make the target's interface again, with the addresses that it had."""
    lab = stage.lab
    switch, name, port = lab.switch.namespace, lab.target.namespace, f"to-{lab.target.role}"
    ip(
        *("-n", switch, "link", "add", port, "type", "veth"),
        *("peer", "name", IFACE, "address", stage.address, "netns", name),
    )
    ip("-n", switch, "link", "set", port, "master", "br0", "up")
    ip("-n", name, "link", "set", IFACE, "up")
    for address in lab.target.ipv4:
        ip("-n", name, "addr", "add", f"{address}/24", "dev", IFACE)


def _another_address(stage: Stage) -> Observed:
    lab = stage.lab
    with playing(stage) as scene:
        ip("-n", lab.scanner.namespace, "route", "add", _ADDRESS, "dev", IFACE)
        ip("-n", lab.target.namespace, "addr", "add", f"{_ADDRESS}/24", "dev", IFACE)

        def ours() -> bool:
            lab.scanner.connect(_ADDRESS, _PORT)
            return bool(scene.sensor.matching(dest_ip=_ADDRESS, direction="inbound", event_type="connection"))

        wait_for(ours, "the new address to be ours", evidence=scene.sensor.evidence)
        took = time.time() - scene.struck
        scan = lab.scanner.run("nmap", "-n", "-Pn", "-sS", "-p", "100-130", _ADDRESS)
        assert scan.returncode == 0, scan.stderr
        scene.sensor.wait_for_line("the scan", event_type="scan", dest_ip=_ADDRESS, verdict="ban")
        return scene.observed(f"after {took:.1f} s a scan of it is a scan of ours")


def _mtu(stage: Stage) -> Observed:
    with playing(stage) as scene:
        ip("-n", stage.lab.target.namespace, "link", "set", IFACE, "mtu", "1300")
        scene.mended()
        scene.sees()
        return scene.observed()


def _unknown(stage: Stage) -> Observed:
    said = refused(stage, "cannot capture on nosuch0", iface="nosuch0")
    return Observed("exit code 69", f"“{said}”")


FAULTS = (
    Fault("iface-down", "interface down for a second", "seen again when it is up", _down_and_up),
    Fault("iface-renamed", "interface renamed", "seen; a loss is reported", _renamed),
    Fault(
        "iface-deleted", "interface deleted and recreated", "reported, seen again when it is there", _created_anew(_ALL)
    ),
    Fault(
        "iface-named",
        "interface named in the configuration deleted and recreated",
        "reported, seen again when it is there",
        _created_anew(IFACE),
    ),
    Fault("iface-appears", "no interface at the start but `lo`, one later", "seen within seconds", _appears),
    Fault("address-added", "one more address", "ours within seconds; nothing is lost", _another_address),
    Fault("mtu-changed", "another MTU", "nothing is lost", _mtu),
    Fault("iface-unknown", "no interface of that name at the start", "refuses to start, says why", _unknown),
)
