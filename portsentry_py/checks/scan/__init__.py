"""A port scanner for one's own hosts: ten methods, with nmap's states."""
