"""What is wrong on this host, and the fix."""
