"""Vaults for tests: the master key stands in the environment of nobody, and every vault reads data keys for itself."""

from pathlib import Path

from storage.master_keys import VARIABLE, MasterKeys
from storage.vault import Vault

KEY = {VARIABLE: "mk_test dGhpcyBtYXN0ZXIga2V5IGlzIGZvciB0ZXN0cyA6LSk="}


def new_vault() -> Vault:
    """Return a vault that remembers nothing."""
    return Vault(MasterKeys(Path("/nowhere"), environment=KEY))
