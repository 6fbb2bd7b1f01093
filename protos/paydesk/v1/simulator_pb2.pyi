import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChannelProfile(_message.Message):
    __slots__ = ("channel_id", "success_rate", "latency_ms_p50", "latency_ms_p99", "asynchronous", "payer_delay_ms_p50", "fee_bps", "rate_limit_per_s")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_P50_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_P99_FIELD_NUMBER: _ClassVar[int]
    ASYNCHRONOUS_FIELD_NUMBER: _ClassVar[int]
    PAYER_DELAY_MS_P50_FIELD_NUMBER: _ClassVar[int]
    FEE_BPS_FIELD_NUMBER: _ClassVar[int]
    RATE_LIMIT_PER_S_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    success_rate: float
    latency_ms_p50: float
    latency_ms_p99: float
    asynchronous: bool
    payer_delay_ms_p50: float
    fee_bps: int
    rate_limit_per_s: int
    def __init__(self, channel_id: _Optional[str] = ..., success_rate: _Optional[float] = ..., latency_ms_p50: _Optional[float] = ..., latency_ms_p99: _Optional[float] = ..., asynchronous: _Optional[bool] = ..., payer_delay_ms_p50: _Optional[float] = ..., fee_bps: _Optional[int] = ..., rate_limit_per_s: _Optional[int] = ...) -> None: ...

class ConfigureChannelRequest(_message.Message):
    __slots__ = ("request_id", "profile")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    profile: ChannelProfile
    def __init__(self, request_id: _Optional[str] = ..., profile: _Optional[_Union[ChannelProfile, _Mapping]] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("channel_id", "kind", "share", "targets", "ttl")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Fault.Kind]
        KIND_TIMEOUT_TAKEN: _ClassVar[Fault.Kind]
        KIND_TIMEOUT_NOT_TAKEN: _ClassVar[Fault.Kind]
        KIND_BLACK_HOLE: _ClassVar[Fault.Kind]
        KIND_SERVER_ERROR: _ClassVar[Fault.Kind]
        KIND_SLOW_DRIP: _ClassVar[Fault.Kind]
        KIND_RATE_LIMIT: _ClassVar[Fault.Kind]
        KIND_MAINTENANCE: _ClassVar[Fault.Kind]
        KIND_BROWN_OUT: _ClassVar[Fault.Kind]
        KIND_CALLBACK_LOST: _ClassVar[Fault.Kind]
        KIND_CALLBACK_DUPLICATE: _ClassVar[Fault.Kind]
        KIND_CALLBACK_EARLY: _ClassVar[Fault.Kind]
        KIND_CALLBACK_LATE: _ClassVar[Fault.Kind]
        KIND_CALLBACK_REORDERED: _ClassVar[Fault.Kind]
        KIND_FORGED_SIGNATURE: _ClassVar[Fault.Kind]
        KIND_FORGED_AMOUNT: _ClassVar[Fault.Kind]
        KIND_FORGED_MERCHANT: _ClassVar[Fault.Kind]
        KIND_LATE_SUCCESS_AFTER_CLOSE: _ClassVar[Fault.Kind]
        KIND_DECLINE_NO_FUNDS: _ClassVar[Fault.Kind]
        KIND_REFUND_PHANTOM: _ClassVar[Fault.Kind]
        KIND_CONNECTION_REFUSED: _ClassVar[Fault.Kind]
        KIND_ANSWER_OTHER_AMOUNT: _ClassVar[Fault.Kind]
        KIND_ANSWER_BAD_SIGNATURE: _ClassVar[Fault.Kind]
        KIND_SUCCESS_FLIPS: _ClassVar[Fault.Kind]
        KIND_ANSWER_NO_SIGNATURE: _ClassVar[Fault.Kind]
        KIND_ANSWER_PROBE_SIGNATURE: _ClassVar[Fault.Kind]
        KIND_ANSWER_STALE: _ClassVar[Fault.Kind]
        KIND_ANSWER_OTHER_CERTIFICATE: _ClassVar[Fault.Kind]
        KIND_CALLBACK_NO_SIGNATURE: _ClassVar[Fault.Kind]
        KIND_CALLBACK_PROBE_SIGNATURE: _ClassVar[Fault.Kind]
        KIND_CALLBACK_STALE: _ClassVar[Fault.Kind]
        KIND_CALLBACK_OTHER_CERTIFICATE: _ClassVar[Fault.Kind]
        KIND_CONNECTION_RESET: _ClassVar[Fault.Kind]
        KIND_ANSWER_UNKNOWN_WORD: _ClassVar[Fault.Kind]
        KIND_PAYOUT_FAILS: _ClassVar[Fault.Kind]
        KIND_PAYOUT_STUCK: _ClassVar[Fault.Kind]
        KIND_PAYOUT_RETURNED: _ClassVar[Fault.Kind]
        KIND_SPLIT_FAILS: _ClassVar[Fault.Kind]
        KIND_PERSON_DIFFERS: _ClassVar[Fault.Kind]
        KIND_BILL_MISSING: _ClassVar[Fault.Kind]
        KIND_BILL_LATE: _ClassVar[Fault.Kind]
        KIND_BILL_TRUNCATED: _ClassVar[Fault.Kind]
        KIND_BILL_TOTALS_DIFFER: _ClassVar[Fault.Kind]
        KIND_BILL_LINES_TWICE: _ClassVar[Fault.Kind]
        KIND_BILL_OTHER_MERCHANT: _ClassVar[Fault.Kind]
        KIND_BILL_CORRECTED: _ClassVar[Fault.Kind]
        KIND_ANSWER_NEW_CERTIFICATE: _ClassVar[Fault.Kind]
        KIND_CALLBACK_NEW_CERTIFICATE: _ClassVar[Fault.Kind]
    KIND_UNSPECIFIED: Fault.Kind
    KIND_TIMEOUT_TAKEN: Fault.Kind
    KIND_TIMEOUT_NOT_TAKEN: Fault.Kind
    KIND_BLACK_HOLE: Fault.Kind
    KIND_SERVER_ERROR: Fault.Kind
    KIND_SLOW_DRIP: Fault.Kind
    KIND_RATE_LIMIT: Fault.Kind
    KIND_MAINTENANCE: Fault.Kind
    KIND_BROWN_OUT: Fault.Kind
    KIND_CALLBACK_LOST: Fault.Kind
    KIND_CALLBACK_DUPLICATE: Fault.Kind
    KIND_CALLBACK_EARLY: Fault.Kind
    KIND_CALLBACK_LATE: Fault.Kind
    KIND_CALLBACK_REORDERED: Fault.Kind
    KIND_FORGED_SIGNATURE: Fault.Kind
    KIND_FORGED_AMOUNT: Fault.Kind
    KIND_FORGED_MERCHANT: Fault.Kind
    KIND_LATE_SUCCESS_AFTER_CLOSE: Fault.Kind
    KIND_DECLINE_NO_FUNDS: Fault.Kind
    KIND_REFUND_PHANTOM: Fault.Kind
    KIND_CONNECTION_REFUSED: Fault.Kind
    KIND_ANSWER_OTHER_AMOUNT: Fault.Kind
    KIND_ANSWER_BAD_SIGNATURE: Fault.Kind
    KIND_SUCCESS_FLIPS: Fault.Kind
    KIND_ANSWER_NO_SIGNATURE: Fault.Kind
    KIND_ANSWER_PROBE_SIGNATURE: Fault.Kind
    KIND_ANSWER_STALE: Fault.Kind
    KIND_ANSWER_OTHER_CERTIFICATE: Fault.Kind
    KIND_CALLBACK_NO_SIGNATURE: Fault.Kind
    KIND_CALLBACK_PROBE_SIGNATURE: Fault.Kind
    KIND_CALLBACK_STALE: Fault.Kind
    KIND_CALLBACK_OTHER_CERTIFICATE: Fault.Kind
    KIND_CONNECTION_RESET: Fault.Kind
    KIND_ANSWER_UNKNOWN_WORD: Fault.Kind
    KIND_PAYOUT_FAILS: Fault.Kind
    KIND_PAYOUT_STUCK: Fault.Kind
    KIND_PAYOUT_RETURNED: Fault.Kind
    KIND_SPLIT_FAILS: Fault.Kind
    KIND_PERSON_DIFFERS: Fault.Kind
    KIND_BILL_MISSING: Fault.Kind
    KIND_BILL_LATE: Fault.Kind
    KIND_BILL_TRUNCATED: Fault.Kind
    KIND_BILL_TOTALS_DIFFER: Fault.Kind
    KIND_BILL_LINES_TWICE: Fault.Kind
    KIND_BILL_OTHER_MERCHANT: Fault.Kind
    KIND_BILL_CORRECTED: Fault.Kind
    KIND_ANSWER_NEW_CERTIFICATE: Fault.Kind
    KIND_CALLBACK_NEW_CERTIFICATE: Fault.Kind
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    kind: Fault.Kind
    share: float
    targets: _containers.RepeatedScalarFieldContainer[str]
    ttl: _duration_pb2.Duration
    def __init__(self, channel_id: _Optional[str] = ..., kind: _Optional[_Union[Fault.Kind, str]] = ..., share: _Optional[float] = ..., targets: _Optional[_Iterable[str]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class InjectFaultRequest(_message.Message):
    __slots__ = ("request_id", "fault")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    fault: Fault
    def __init__(self, request_id: _Optional[str] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ...) -> None: ...

class AdvanceClockRequest(_message.Message):
    __slots__ = ("request_id", "step")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    step: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[str] = ..., step: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AdvanceClockResponse(_message.Message):
    __slots__ = ("now", "fired_count")
    NOW_FIELD_NUMBER: _ClassVar[int]
    FIRED_COUNT_FIELD_NUMBER: _ClassVar[int]
    now: _timestamp_pb2.Timestamp
    fired_count: int
    def __init__(self, now: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fired_count: _Optional[int] = ...) -> None: ...

class ExportTruthRequest(_message.Message):
    __slots__ = ("channel_id",)
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    def __init__(self, channel_id: _Optional[str] = ...) -> None: ...

class TruthEntry(_message.Message):
    __slots__ = ("channel_id", "kind", "attempt_no", "channel_txn_no", "merchant_no", "amount_minor", "currency_code", "time", "order_no")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[TruthEntry.Kind]
        KIND_CHARGE: _ClassVar[TruthEntry.Kind]
        KIND_REFUND: _ClassVar[TruthEntry.Kind]
        KIND_PAYOUT: _ClassVar[TruthEntry.Kind]
        KIND_PAYOUT_RETURN: _ClassVar[TruthEntry.Kind]
        KIND_SPLIT: _ClassVar[TruthEntry.Kind]
    KIND_UNSPECIFIED: TruthEntry.Kind
    KIND_CHARGE: TruthEntry.Kind
    KIND_REFUND: TruthEntry.Kind
    KIND_PAYOUT: TruthEntry.Kind
    KIND_PAYOUT_RETURN: TruthEntry.Kind
    KIND_SPLIT: TruthEntry.Kind
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_NO_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_TXN_NO_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_NO_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    kind: TruthEntry.Kind
    attempt_no: str
    channel_txn_no: str
    merchant_no: str
    amount_minor: int
    currency_code: str
    time: _timestamp_pb2.Timestamp
    order_no: str
    def __init__(self, channel_id: _Optional[str] = ..., kind: _Optional[_Union[TruthEntry.Kind, str]] = ..., attempt_no: _Optional[str] = ..., channel_txn_no: _Optional[str] = ..., merchant_no: _Optional[str] = ..., amount_minor: _Optional[int] = ..., currency_code: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., order_no: _Optional[str] = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ("request_id", "seed")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    seed: int
    def __init__(self, request_id: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class ResetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SimulatorStats(_message.Message):
    __slots__ = ("channels", "now", "seed")
    class ChannelStats(_message.Message):
        __slots__ = ("channel_id", "charge_requests", "charges_done", "charges_declined", "charged_minor", "refunds_done", "refunded_minor", "callbacks_sent", "callbacks_acknowledged", "faults_hit", "queries")
        CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
        CHARGE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
        CHARGES_DONE_FIELD_NUMBER: _ClassVar[int]
        CHARGES_DECLINED_FIELD_NUMBER: _ClassVar[int]
        CHARGED_MINOR_FIELD_NUMBER: _ClassVar[int]
        REFUNDS_DONE_FIELD_NUMBER: _ClassVar[int]
        REFUNDED_MINOR_FIELD_NUMBER: _ClassVar[int]
        CALLBACKS_SENT_FIELD_NUMBER: _ClassVar[int]
        CALLBACKS_ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
        FAULTS_HIT_FIELD_NUMBER: _ClassVar[int]
        QUERIES_FIELD_NUMBER: _ClassVar[int]
        channel_id: str
        charge_requests: int
        charges_done: int
        charges_declined: int
        charged_minor: int
        refunds_done: int
        refunded_minor: int
        callbacks_sent: int
        callbacks_acknowledged: int
        faults_hit: int
        queries: int
        def __init__(self, channel_id: _Optional[str] = ..., charge_requests: _Optional[int] = ..., charges_done: _Optional[int] = ..., charges_declined: _Optional[int] = ..., charged_minor: _Optional[int] = ..., refunds_done: _Optional[int] = ..., refunded_minor: _Optional[int] = ..., callbacks_sent: _Optional[int] = ..., callbacks_acknowledged: _Optional[int] = ..., faults_hit: _Optional[int] = ..., queries: _Optional[int] = ...) -> None: ...
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    channels: _containers.RepeatedCompositeFieldContainer[SimulatorStats.ChannelStats]
    now: _timestamp_pb2.Timestamp
    seed: int
    def __init__(self, channels: _Optional[_Iterable[_Union[SimulatorStats.ChannelStats, _Mapping]]] = ..., now: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...
