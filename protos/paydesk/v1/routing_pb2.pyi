import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.paydesk.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainRouteRequest(_message.Message):
    __slots__ = ("payment_id", "attempt_index")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_INDEX_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    attempt_index: int
    def __init__(self, payment_id: _Optional[str] = ..., attempt_index: _Optional[int] = ...) -> None: ...

class DryRunRouteRequest(_message.Message):
    __slots__ = ("order_no", "product_code", "amount", "method", "terminal", "source", "payer_ref")
    ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PAYER_REF_FIELD_NUMBER: _ClassVar[int]
    order_no: str
    product_code: str
    amount: _common_pb2.Money
    method: _common_pb2.Method
    terminal: _common_pb2.Terminal
    source: str
    payer_ref: str
    def __init__(self, order_no: _Optional[str] = ..., product_code: _Optional[str] = ..., amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., method: _Optional[_Union[_common_pb2.Method, str]] = ..., terminal: _Optional[_Union[_common_pb2.Terminal, str]] = ..., source: _Optional[str] = ..., payer_ref: _Optional[str] = ...) -> None: ...

class RoutingDecision(_message.Message):
    __slots__ = ("payment_id", "chosen_channel_id", "chosen_account_id", "approach", "reason_text", "candidates", "snapshot_version", "snapshot_age_ms", "decide_time")
    class Approach(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        APPROACH_UNSPECIFIED: _ClassVar[RoutingDecision.Approach]
        APPROACH_SCORE: _ClassVar[RoutingDecision.Approach]
        APPROACH_RULE: _ClassVar[RoutingDecision.Approach]
        APPROACH_FORCED: _ClassVar[RoutingDecision.Approach]
        APPROACH_EXPLORE: _ClassVar[RoutingDecision.Approach]
        APPROACH_FALLBACK: _ClassVar[RoutingDecision.Approach]
        APPROACH_FAIL_OVER: _ClassVar[RoutingDecision.Approach]
    APPROACH_UNSPECIFIED: RoutingDecision.Approach
    APPROACH_SCORE: RoutingDecision.Approach
    APPROACH_RULE: RoutingDecision.Approach
    APPROACH_FORCED: RoutingDecision.Approach
    APPROACH_EXPLORE: RoutingDecision.Approach
    APPROACH_FALLBACK: RoutingDecision.Approach
    APPROACH_FAIL_OVER: RoutingDecision.Approach
    class Candidate(_message.Message):
        __slots__ = ("channel_id", "account_id", "eliminated_by", "rule_id", "success_rate", "score", "fee_minor", "expected_value_minor", "state", "propensity")
        CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
        ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
        ELIMINATED_BY_FIELD_NUMBER: _ClassVar[int]
        RULE_ID_FIELD_NUMBER: _ClassVar[int]
        SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
        SCORE_FIELD_NUMBER: _ClassVar[int]
        FEE_MINOR_FIELD_NUMBER: _ClassVar[int]
        EXPECTED_VALUE_MINOR_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        PROPENSITY_FIELD_NUMBER: _ClassVar[int]
        channel_id: str
        account_id: str
        eliminated_by: str
        rule_id: str
        success_rate: float
        score: float
        fee_minor: int
        expected_value_minor: float
        state: str
        propensity: float
        def __init__(self, channel_id: _Optional[str] = ..., account_id: _Optional[str] = ..., eliminated_by: _Optional[str] = ..., rule_id: _Optional[str] = ..., success_rate: _Optional[float] = ..., score: _Optional[float] = ..., fee_minor: _Optional[int] = ..., expected_value_minor: _Optional[float] = ..., state: _Optional[str] = ..., propensity: _Optional[float] = ...) -> None: ...
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    APPROACH_FIELD_NUMBER: _ClassVar[int]
    REASON_TEXT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    chosen_channel_id: str
    chosen_account_id: str
    approach: RoutingDecision.Approach
    reason_text: str
    candidates: _containers.RepeatedCompositeFieldContainer[RoutingDecision.Candidate]
    snapshot_version: int
    snapshot_age_ms: int
    decide_time: _timestamp_pb2.Timestamp
    def __init__(self, payment_id: _Optional[str] = ..., chosen_channel_id: _Optional[str] = ..., chosen_account_id: _Optional[str] = ..., approach: _Optional[_Union[RoutingDecision.Approach, str]] = ..., reason_text: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[RoutingDecision.Candidate, _Mapping]]] = ..., snapshot_version: _Optional[int] = ..., snapshot_age_ms: _Optional[int] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
