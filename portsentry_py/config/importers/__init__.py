"""What other programs' configuration files become here: one file for each format."""
