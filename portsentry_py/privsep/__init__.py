"""Which process holds which right."""
