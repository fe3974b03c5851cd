"""How fast, how big and how late the sensor is, beside other programs: `python -m tests.lab.bench`."""
