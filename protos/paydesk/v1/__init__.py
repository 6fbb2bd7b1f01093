"""Version 1: one module pair per service. Written by `make protos`."""
