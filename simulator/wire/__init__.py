"""The real channels' wires, spoken by the sandbox: the same world, faults and ledger behind their HTTP and signatures."""
