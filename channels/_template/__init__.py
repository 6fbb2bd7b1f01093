"""A channel to copy: complete, tiny, and passing the contract suite against the bank in `example.py`."""
