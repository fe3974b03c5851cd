"""Bytes of packets that no socket sends: headers, tunnels, pieces; with right checksums."""
