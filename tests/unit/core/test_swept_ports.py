"""Ports whose probes are a sweep and not a client."""

import pytest

from portsentry_py.core.swept_ports import is_swept_port


@pytest.mark.parametrize("port", [22, 23, 445, 1, 1023, 2323, 3389, 5555, 6379, 8080, 27_017])
def test_ports_that_scanners_sweep_for(port: int) -> None:
    assert is_swept_port(port)


@pytest.mark.parametrize("port", [25, 53, 80, 123, 443, 853])
def test_ports_of_every_client_are_no_sweep(port: int) -> None:
    assert not is_swept_port(port)


@pytest.mark.parametrize("port", [0, 1024, 6881, 30_303, 32_768, 49_152, 51_413, 65_535])
def test_ports_of_peers_are_no_sweep(port: int) -> None:
    assert not is_swept_port(port)
