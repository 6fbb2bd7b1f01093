"""Whatever one tenant has put in as keys and certificates, its channel is made: others take their money through it."""

import base64
import functools
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from channels import registry
from domain.credentials import Credentials, Material
from storage import materials
from storage.desk import AccountRow
from tests.certificates import certificate_pem, private_pem, public_pem

_PEM = serialization.Encoding.PEM
_RSA, _NOBODYS = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("01", "63"))
KINDS = sorted(set(registry.KINDS) - {"sandbox"})


def odd(pem: str) -> str:
    """Return what names an algorithm that no library knows."""
    first, *lines, last = pem.strip().splitlines()
    der = base64.b64decode("".join(lines)).replace(_RSA, _NOBODYS, 1 if "KEY" in first else 2)
    return f"{first}\n{base64.encodebytes(der).decode()}{last}\n"


@functools.cache
def variants() -> dict[str, dict[str, str]]:
    """Return values by material: of another kind, unknown, cut off, and good ones that do not belong together."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    good = certificate_pem(4_000_000_000_000)
    return {
        "another kind": {"PRIVATE_KEY": private, "PUBLIC_KEY": public, "CERTIFICATE": good, "TEXT": "x"},
        "unknown": {"PRIVATE_KEY": odd(private_pem()), "PUBLIC_KEY": odd(public_pem()), "CERTIFICATE": odd(good), "TEXT": "\ud800"},
        "cut off": {"PRIVATE_KEY": private[:60], "PUBLIC_KEY": public[:60], "CERTIFICATE": good[:60], "TEXT": ""},
        "strangers": {"PRIVATE_KEY": private_pem(), "PUBLIC_KEY": public_pem(), "CERTIFICATE": good, "TEXT": "x" * 32},
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", variants())
def test_a_channel_is_made_whatever_an_account_holds(kind: str, variant: str) -> None:
    needs, values = registry.needs_of(kind), variants()[variant]
    for names in (*needs.complete, needs.materials.keys(), *({name} for name in needs.materials)):
        held = {name: values[needs.materials[name].replace("CERTIFICATES", "CERTIFICATE")] for name in names}
        account = AccountRow("a", "pnc", "c", "M1", {"methods": ["QR"], "plan_id": []}, (Credentials(1, held),))
        line: Any = None
        with capture_logs():
            assert registry.make_channel(kind, "c", {}, [account], line)
            registry.make_callback_reader(kind, "c", {}, [account])


@pytest.mark.parametrize("material", [Material.PRIVATE_KEY, Material.PUBLIC_KEY])
def test_a_key_of_an_unknown_algorithm_is_refused_by_its_name(material: Material) -> None:
    value = variants()["unknown"][material]
    shown, violations = materials.read({"key": value}, {"key": material}, now_ms=0, digest=lambda *_: b"")
    assert not shown and [str(one.field) for one in violations] == ["values.key"] and "not known" in str(violations[0])
