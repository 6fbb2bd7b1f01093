"""Benchmarks. Each measures its reference in the same run, and prints one JSON object as its last line with --json."""
