"""What is wrong on this machine, and the fix."""
