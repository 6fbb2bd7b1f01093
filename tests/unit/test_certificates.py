"""Client certificates before they are bound: chains to the authority, and proofs by keys of each sort."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from domain.refusals import Refused
from servers import certificates

_PEM = serialization.Encoding.PEM
NOW_MS = round(datetime.datetime.now(datetime.UTC).timestamp() * 1000)


def issued(name: str, key: Any, issuer: str, issuer_key: Any, *, is_authority: bool = False) -> str:
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
    made = (
        x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False).sign(issuer_key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(_PEM).decode()


def key_pem(key: Any) -> bytes:
    made: bytes = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made


def presented(pem: str, key: Any, authority: Path, name: str = "", principal_id: str = "orders") -> certificates.Presented:
    proof = certificates.prove(pem, key_pem(key), tenant_id="pnc", principal_id="orders")
    return certificates.present(
        pem, name=name, proof=proof, authority=authority, tenant_id="pnc", principal_id=principal_id, now_ms=NOW_MS
    )


ROOT_KEY, LEAF_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    file.write_text(issued("root", ROOT_KEY, "root", ROOT_KEY, is_authority=True))
    return file


@pytest.mark.parametrize("key", [
    rsa.generate_private_key(public_exponent=65_537, key_size=2048), ed25519.Ed25519PrivateKey.generate(), LEAF_KEY,
], ids=["RSA", "Ed25519", "elliptic curve"])  # fmt: skip
def test_a_key_of_each_sort_proves_what_it_signed_and_nothing_else(authority: Path, key: Any) -> None:
    pem = issued("orders.example", key, "root", ROOT_KEY)
    assert presented(pem, key, authority, "orders.example")[:2] == ("SAN", "orders.example")
    assert presented(pem, key, authority).kind == "FINGERPRINT"
    with pytest.raises(Refused, match="proof"):
        presented(pem, key, authority, principal_id="another")
    with pytest.raises(ValueError, match="not the certificate's"):
        certificates.prove(pem, key_pem(ROOT_KEY), tenant_id="pnc", principal_id="orders")


@pytest.mark.parametrize("is_authority", [True, False], ids=["an authority between", "a client that plays one"])
def test_a_chain_leads_through_authorities_alone(authority: Path, is_authority: bool) -> None:
    between_key = ec.generate_private_key(ec.SECP256R1())
    between = issued("between", between_key, "root", ROOT_KEY, is_authority=is_authority)
    chain = issued("orders.example", LEAF_KEY, "between", between_key) + between
    if is_authority:
        assert presented(chain, LEAF_KEY, authority).subject == "CN=orders.example"
    else:
        with pytest.raises(Refused, match="not issued by the authority"):
            presented(chain, LEAF_KEY, authority)
    with pytest.raises(Refused, match="not issued by the authority"):
        presented(chain.removesuffix(between), LEAF_KEY, authority)
