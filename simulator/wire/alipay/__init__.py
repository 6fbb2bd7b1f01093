"""Alipay's gateway as merchants meet it: one address, signed parameters in, a signed object out."""
