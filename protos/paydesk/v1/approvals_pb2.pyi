import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from protos.paydesk.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Approval(_message.Message):
    __slots__ = ("approval_id", "kind", "object_kind", "object_id", "state", "outcome", "proposer", "reason", "amount_minor", "approvers_needed", "approvers_count", "shown_json", "shown_hash", "create_time", "update_time", "expire_time", "decisions")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Approval.State]
        STATE_PENDING: _ClassVar[Approval.State]
        STATE_PERFORMED: _ClassVar[Approval.State]
        STATE_REJECTED: _ClassVar[Approval.State]
        STATE_CANCELLED: _ClassVar[Approval.State]
        STATE_EXPIRED: _ClassVar[Approval.State]
        STATE_VOID: _ClassVar[Approval.State]
    STATE_UNSPECIFIED: Approval.State
    STATE_PENDING: Approval.State
    STATE_PERFORMED: Approval.State
    STATE_REJECTED: Approval.State
    STATE_CANCELLED: Approval.State
    STATE_EXPIRED: Approval.State
    STATE_VOID: Approval.State
    class Decision(_message.Message):
        __slots__ = ("principal", "decision", "comment", "create_time")
        PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
        DECISION_FIELD_NUMBER: _ClassVar[int]
        COMMENT_FIELD_NUMBER: _ClassVar[int]
        CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
        principal: str
        decision: DecideApprovalsRequest.Decision
        comment: str
        create_time: _timestamp_pb2.Timestamp
        def __init__(self, principal: _Optional[str] = ..., decision: _Optional[_Union[DecideApprovalsRequest.Decision, str]] = ..., comment: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    APPROVERS_NEEDED_FIELD_NUMBER: _ClassVar[int]
    APPROVERS_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHOWN_JSON_FIELD_NUMBER: _ClassVar[int]
    SHOWN_HASH_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    kind: str
    object_kind: str
    object_id: str
    state: Approval.State
    outcome: str
    proposer: str
    reason: str
    amount_minor: int
    approvers_needed: int
    approvers_count: int
    shown_json: str
    shown_hash: bytes
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    decisions: _containers.RepeatedCompositeFieldContainer[Approval.Decision]
    def __init__(self, approval_id: _Optional[str] = ..., kind: _Optional[str] = ..., object_kind: _Optional[str] = ..., object_id: _Optional[str] = ..., state: _Optional[_Union[Approval.State, str]] = ..., outcome: _Optional[str] = ..., proposer: _Optional[str] = ..., reason: _Optional[str] = ..., amount_minor: _Optional[int] = ..., approvers_needed: _Optional[int] = ..., approvers_count: _Optional[int] = ..., shown_json: _Optional[str] = ..., shown_hash: _Optional[bytes] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decisions: _Optional[_Iterable[_Union[Approval.Decision, _Mapping]]] = ...) -> None: ...

class ApprovalFilter(_message.Message):
    __slots__ = ("state", "kind", "proposer")
    STATE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    state: Approval.State
    kind: str
    proposer: str
    def __init__(self, state: _Optional[_Union[Approval.State, str]] = ..., kind: _Optional[str] = ..., proposer: _Optional[str] = ...) -> None: ...

class ListApprovalsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: ApprovalFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[ApprovalFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListApprovalsResponse(_message.Message):
    __slots__ = ("approvals", "next_page_token")
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    next_page_token: str
    def __init__(self, approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetApprovalRequest(_message.Message):
    __slots__ = ("approval_id",)
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    def __init__(self, approval_id: _Optional[str] = ...) -> None: ...

class DecideApprovalsRequest(_message.Message):
    __slots__ = ("request_id", "approval_ids", "decision", "comment")
    class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DECISION_UNSPECIFIED: _ClassVar[DecideApprovalsRequest.Decision]
        DECISION_APPROVE: _ClassVar[DecideApprovalsRequest.Decision]
        DECISION_REJECT: _ClassVar[DecideApprovalsRequest.Decision]
    DECISION_UNSPECIFIED: DecideApprovalsRequest.Decision
    DECISION_APPROVE: DecideApprovalsRequest.Decision
    DECISION_REJECT: DecideApprovalsRequest.Decision
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_IDS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    approval_ids: _containers.RepeatedScalarFieldContainer[str]
    decision: DecideApprovalsRequest.Decision
    comment: str
    def __init__(self, request_id: _Optional[str] = ..., approval_ids: _Optional[_Iterable[str]] = ..., decision: _Optional[_Union[DecideApprovalsRequest.Decision, str]] = ..., comment: _Optional[str] = ...) -> None: ...

class DecideApprovalsResponse(_message.Message):
    __slots__ = ("results",)
    class Result(_message.Message):
        __slots__ = ("approval_id", "approval", "refusal")
        APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
        APPROVAL_FIELD_NUMBER: _ClassVar[int]
        REFUSAL_FIELD_NUMBER: _ClassVar[int]
        approval_id: str
        approval: Approval
        refusal: _status_pb2.Status
        def __init__(self, approval_id: _Optional[str] = ..., approval: _Optional[_Union[Approval, _Mapping]] = ..., refusal: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DecideApprovalsResponse.Result]
    def __init__(self, results: _Optional[_Iterable[_Union[DecideApprovalsResponse.Result, _Mapping]]] = ...) -> None: ...

class CancelApprovalRequest(_message.Message):
    __slots__ = ("request_id", "approval_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    approval_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., approval_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ApprovalPolicy(_message.Message):
    __slots__ = ("version", "approvers", "expire_after", "acts", "known_kinds")
    class Tier(_message.Message):
        __slots__ = ("up_to_minor", "approvers")
        UP_TO_MINOR_FIELD_NUMBER: _ClassVar[int]
        APPROVERS_FIELD_NUMBER: _ClassVar[int]
        up_to_minor: int
        approvers: int
        def __init__(self, up_to_minor: _Optional[int] = ..., approvers: _Optional[int] = ...) -> None: ...
    class Act(_message.Message):
        __slots__ = ("kind", "tiers")
        KIND_FIELD_NUMBER: _ClassVar[int]
        TIERS_FIELD_NUMBER: _ClassVar[int]
        kind: str
        tiers: _containers.RepeatedCompositeFieldContainer[ApprovalPolicy.Tier]
        def __init__(self, kind: _Optional[str] = ..., tiers: _Optional[_Iterable[_Union[ApprovalPolicy.Tier, _Mapping]]] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    APPROVERS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_AFTER_FIELD_NUMBER: _ClassVar[int]
    ACTS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_KINDS_FIELD_NUMBER: _ClassVar[int]
    version: int
    approvers: int
    expire_after: _duration_pb2.Duration
    acts: _containers.RepeatedCompositeFieldContainer[ApprovalPolicy.Act]
    known_kinds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[int] = ..., approvers: _Optional[int] = ..., expire_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., acts: _Optional[_Iterable[_Union[ApprovalPolicy.Act, _Mapping]]] = ..., known_kinds: _Optional[_Iterable[str]] = ...) -> None: ...

class GetApprovalPolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetApprovalPolicyRequest(_message.Message):
    __slots__ = ("request_id", "policy", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    policy: ApprovalPolicy
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., policy: _Optional[_Union[ApprovalPolicy, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class SetApprovalPolicyResponse(_message.Message):
    __slots__ = ("proposal",)
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    proposal: _common_pb2.Proposal
    def __init__(self, proposal: _Optional[_Union[_common_pb2.Proposal, _Mapping]] = ...) -> None: ...
