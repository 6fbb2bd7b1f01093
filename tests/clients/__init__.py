"""Clients that others wrote, each in an environment of its own, against the sandbox's wires: see `run.py`."""
