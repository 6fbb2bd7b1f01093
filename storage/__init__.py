"""PostgreSQL, the truth: tables, one module of statements per aggregate, migrations, and the embedded server."""
