"""End to end: real scanners, the real sensor and the real fail2ban, between network namespaces."""
