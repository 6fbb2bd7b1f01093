"""UnionPay, as strict as the real one: forms, certificates, the payer's page, notices, files."""
