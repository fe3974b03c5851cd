"""A day in the life of an ordinary host: who lives on it, who scans it, and who is banned in the end."""
