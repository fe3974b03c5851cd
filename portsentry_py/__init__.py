"""Port-scan sensor: watches traffic through tshark and writes JSON lines for fail2ban."""

__version__ = "0.1.0"
