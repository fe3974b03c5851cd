"""The drill: a stranger of our own scans this host, and each step from the packet to the ban is looked at."""
