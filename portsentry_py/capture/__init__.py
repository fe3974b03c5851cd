"""Packets in: dumpcap into tshark, supervised and counted."""
