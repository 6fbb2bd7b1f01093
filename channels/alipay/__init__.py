"""Alipay: one gateway, signed parameters out, a signed object in; key mode and certificate mode."""
