"""The demo: a day of an insurer's orders, paid through a sandbox that lies, with a verdict at the end."""
