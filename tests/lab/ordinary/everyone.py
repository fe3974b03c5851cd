"""Everybody who lives on the host."""

from __future__ import annotations

from tests.lab.ordinary import logins, neighbours, noise, own, regulars, road, scanners, web
from tests.lab.ordinary.population import Population

EVERYONE: tuple[Population, ...] = (
    *web.POPULATIONS,
    *regulars.POPULATIONS,
    *logins.POPULATIONS,
    *road.POPULATIONS,
    *neighbours.POPULATIONS,
    *own.POPULATIONS,
    *noise.POPULATIONS,
    *scanners.POPULATIONS,
)
PLACES = ("host", "world", "lan", "alleys")
