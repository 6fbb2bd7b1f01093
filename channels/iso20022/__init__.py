"""A bank that speaks ISO 20022: payouts, direct debits, statements."""
