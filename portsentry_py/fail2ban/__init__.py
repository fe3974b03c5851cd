"""Everything that knows fail2ban."""
