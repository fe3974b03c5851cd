"""What hosts that share their bans do for each other, and what a stolen key does to them; writes fleet.md."""
