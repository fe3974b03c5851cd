"""The rules of other port-scan sensors, one file each."""
