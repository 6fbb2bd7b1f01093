"""The rules of the business, pure: no I/O, no clock, no randomness, no Ray, no protobuf.

Time, identifiers and random draws come in as arguments; values go out.
"""
