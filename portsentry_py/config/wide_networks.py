"""Networks in the settings that hold a great part of all addresses: with them next to nothing is banned."""

from collections.abc import Iterator

from portsentry_py.config.settings import Network, Settings

# Longer prefixes are owned: 10.0.0.0/8, fc00::/7.
_SHORTEST = {4: 8, 6: 7}


def is_wide(network: Network) -> bool:
    """Whether no single owner can have a network of this size."""
    return network.prefixlen < _SHORTEST[network.version]


def wide_networks(settings: Settings) -> Iterator[str]:
    """One sentence for each key with such a network."""
    effects = {
        "home": "every source in it counts as ours, and no scan from there is banned; name your own networks",
        "ignore": "no scan from there is ever banned; name the addresses that you know",
    }
    for key, effect in effects.items():
        wide = [str(network) for network in getattr(settings, key) if is_wide(network)]
        if wide:
            yield f"{key}: {', '.join(wide)} holds a great part of all addresses: {effect}."
