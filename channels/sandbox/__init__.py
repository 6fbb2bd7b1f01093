"""The sandbox channel: speaks to the channel simulator, for functional and load tests."""
