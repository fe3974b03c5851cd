"""What breaks around the sensor, broken on purpose: what is promised, what happens, and what it costs."""
