"""A bank on the wire: ISO 20022 files over HTTP, each with a detached signature."""
