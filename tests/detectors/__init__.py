"""One test file for each detector."""
