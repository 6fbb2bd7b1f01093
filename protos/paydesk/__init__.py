"""Packages of the wire, by version."""
