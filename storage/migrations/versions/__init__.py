"""One file per change, named in order."""
