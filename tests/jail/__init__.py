"""The jail pack in real fail2ban servers, with real firewalls, between network namespaces."""
