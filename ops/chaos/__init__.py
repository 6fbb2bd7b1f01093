"""Chaos: kill anything at any moment under load, and prove that no money was lost, taken twice or kept quiet."""
