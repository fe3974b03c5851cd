"""All that knows fail2ban."""
