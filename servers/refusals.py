"""How a refusal crosses the wire: one total table of codes, and `google.rpc.Status` with details."""

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import StatusCode
from grpc_status import rpc_status

from domain.refusals import Kind, Refusal

DOMAIN = "paydesk"

CODES: dict[Kind, StatusCode] = {
    Kind.INVALID: StatusCode.INVALID_ARGUMENT,
    Kind.NOT_FOUND: StatusCode.NOT_FOUND,
    Kind.REUSED: StatusCode.ALREADY_EXISTS,
    Kind.FORBIDDEN_BY_STATE: StatusCode.FAILED_PRECONDITION,
    Kind.MOVED: StatusCode.ABORTED,
    Kind.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    Kind.UNAVAILABLE: StatusCode.UNAVAILABLE,
    Kind.TOO_LATE: StatusCode.DEADLINE_EXCEEDED,
    Kind.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    Kind.PERMISSION_DENIED: StatusCode.PERMISSION_DENIED,
}
assert CODES.keys() == set(Kind)

# A caller may simply repeat these, with the same request_id.
RETRYABLE = frozenset({Kind.MOVED, Kind.OVERLOADED, Kind.UNAVAILABLE, Kind.TOO_LATE})
RETRY_AFTER_S = 1


def status_message(refusal: Refusal) -> status_pb2.Status:
    """Return the refusal as `google.rpc.Status` with ErrorInfo, BadRequest and RetryInfo details."""
    code: int = code_pb2.Code.Value(CODES[refusal.kind].name)
    status = status_pb2.Status(code=code, message=refusal.message[:1024])
    metadata = {**dict(refusal.metadata), "retryable": str(refusal.kind in RETRYABLE).lower()}
    _add(status, error_details_pb2.ErrorInfo(reason=refusal.reason, domain=DOMAIN, metadata=metadata))
    if refusal.violations:
        bad = error_details_pb2.BadRequest()
        for violation in refusal.violations[:100]:
            bad.field_violations.add(field=violation.field, description=violation.rule)
        _add(status, bad)
    if refusal.kind is Kind.OVERLOADED:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = RETRY_AFTER_S
        _add(status, retry)
    return status


def _add(status: status_pb2.Status, detail: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)  # type: ignore[arg-type]
    status.details.append(packed)


def grpc_status(refusal: Refusal) -> object:
    """Return what `context.abort_with_status` takes."""
    return rpc_status.to_status(status_message(refusal))
