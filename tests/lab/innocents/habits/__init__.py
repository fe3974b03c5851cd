"""What the innocent do on a day: each habit is a function that adds its packets to a scene."""
