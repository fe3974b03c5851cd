"""What hosts tell each other, over a message broker of the operator's."""
