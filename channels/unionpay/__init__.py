"""UnionPay's all-channel platform (ACP 5.1.0): the payer's browser, bound cards, collection, payout, settlement files."""
