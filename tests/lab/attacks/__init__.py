"""What an attacker who has read the source code would try, what is expected of it, and what happens."""
