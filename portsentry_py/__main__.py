"""`python -m portsentry_py` runs the same command as `portsentry-py`."""

from portsentry_py.cli.main import main

if __name__ == "__main__":
    main()
