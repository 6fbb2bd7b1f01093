"""Changes of the schema, run by alembic; `storage.migrate` is the way to run them."""
