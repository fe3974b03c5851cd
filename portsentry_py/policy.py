"""Who may be banned: the one place that decides, written into the line as `verdict` and `reason`."""

from portsentry_py.finding import Finding
from portsentry_py.host import HostState, parsed, within
from portsentry_py.settings import Networks


class Policy:
    """Gives a finding its verdict.

    A host that must never be banned (our own, the ignore list) gets `ignore` and so never stands in a line
    that the filter matches.
    """

    def __init__(self, ignore: Networks) -> None:
        self._ignore = ignore
        self._host = HostState()

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses as they are now."""
        self._host = host

    def verdict(self, finding: Finding) -> tuple[str, str]:
        """`ban`, `watch` or `ignore`, and the reason in one word."""
        source = finding.record.source
        exempt = self._exempt(source)
        if exempt is not None:
            return "ignore", exempt
        if finding.record.direction == "outbound":
            return "watch", "outbound"
        if source.startswith("::ffff:"):
            # On the wire such a source is forged, and fail2ban would ban the IPv4 address inside.
            return "watch", "mapped_source"
        if not finding.bannable:
            return "watch", finding.reason
        return "ban", finding.reason

    def _exempt(self, source: str) -> str | None:
        if source in self._host.own or within(source, self._host.home):
            return "own_address"
        if within(source, self._ignore):
            return "ignore_list"
        address = parsed(source)
        if (
            address.is_multicast
            or address.is_unspecified
            or address.is_loopback
            or address.is_link_local
            or source == "255.255.255.255"
        ):
            return "not_bannable"
        return None
