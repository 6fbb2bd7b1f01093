"""One folder per channel, the same file names in each, one contract suite (`tests/contract`) for all."""
