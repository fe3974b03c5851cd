"""The detectors, one file each; profiles.py says which of them run."""
