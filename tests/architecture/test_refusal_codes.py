"""Refusals cross the wire by one total table, and every reason in the code is of one kind."""

import ast
import re

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import StatusCode

from domain.refusals import Kind, Refusal, Violation
from ops import docs
from servers.refusals import CODES, DOMAIN, RETRYABLE, status_message
from tests.architecture.sources import modules, nodes, short


def _details(status: status_pb2.Status) -> dict[str, object]:
    unpacked: dict[str, object] = {}
    for detail in status.details:
        message = getattr(error_details_pb2, detail.type_url.rpartition(".")[2])()
        detail.Unpack(message)
        unpacked[type(message).__name__] = message
    return unpacked


def test_every_kind_has_a_code_of_its_own() -> None:
    assert CODES.keys() == set(Kind)
    assert len(set(CODES.values())) == len(CODES), "a caller must tell kinds apart by code"
    # OK is no refusal; INTERNAL and UNKNOWN are bugs; DATA_LOSS must never be.
    assert not {StatusCode.OK, StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.DATA_LOSS} & set(CODES.values())


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_becomes_a_status_with_details(kind: Kind) -> None:
    status = status_message(Refusal(kind, "SOME_REASON", "why", (Violation("amount", "must be positive"),), (("key", "v"),)))
    details = _details(status)
    info, bad = details["ErrorInfo"], details["BadRequest"]
    assert code_pb2.Code.Name(status.code) == CODES[kind].name
    assert (info.reason, info.domain) == ("SOME_REASON", DOMAIN)
    assert dict(info.metadata) == {"key": "v", "retryable": "true" if kind in RETRYABLE else "false"}
    assert [(field.field, field.description) for field in bad.field_violations] == [("amount", "must be positive")]
    assert ("RetryInfo" in details) == (kind is Kind.OVERLOADED)


def test_a_status_is_bounded() -> None:
    status = status_message(Refusal(Kind.INVALID, "X", "m" * 10_000, tuple(Violation(f"f{n}", "r") for n in range(1_000))))
    assert len(status.SerializeToString()) < 8 * 1024, "the trailers of a call have a limit"


def test_a_reason_is_a_constant_of_one_kind() -> None:
    kinds: dict[str, set[str]] = {}
    for path in modules("domain", "storage", "actors", "servers"):
        for node in nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Refusal" and len(node.args) >= 3:
                assert isinstance(node.args[0], ast.Attribute), f"{short(path)}:{node.lineno}: name the kind itself"
                reason = node.args[1]
                if isinstance(reason, ast.Constant):
                    kinds.setdefault(reason.value, set()).add(node.args[0].attr)
    assert len(kinds) > 20
    assert {reason: found for reason, found in kinds.items() if len(found) > 1} == {}
    assert not [reason for reason in kinds if not re.fullmatch(r"[A-Z][A-Z_]{3,40}", reason)]
    assert kinds.keys() <= {reason.reason for reason in docs.reasons()}
