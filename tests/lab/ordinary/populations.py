"""Everybody who lives on the host."""

from tests.lab.ordinary import logins, neighbours, noise, other_services, outgoing, path, scanners, web
from tests.lab.ordinary.population import Population

EVERYONE: tuple[Population, ...] = (
    *web.POPULATIONS,
    *other_services.POPULATIONS,
    *logins.POPULATIONS,
    *path.POPULATIONS,
    *neighbours.POPULATIONS,
    *outgoing.POPULATIONS,
    *noise.POPULATIONS,
    *scanners.POPULATIONS,
)
PLACES = ("host", "world", "lan", "scanners")
