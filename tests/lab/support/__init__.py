"""What several programs of the lab share."""
