"""The edge: gRPC services and HTTP. Translation only: what would have to be written again for a second edge belongs inside."""
