import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.paydesk.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChannelConfig(_message.Message):
    __slots__ = ("channel_id", "display_name", "kind", "settings", "version")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    display_name: str
    kind: str
    settings: _struct_pb2.Struct
    version: int
    def __init__(self, channel_id: _Optional[str] = ..., display_name: _Optional[str] = ..., kind: _Optional[str] = ..., settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class CreateChannelRequest(_message.Message):
    __slots__ = ("request_id", "channel_id", "display_name", "kind", "settings", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    channel_id: str
    display_name: str
    kind: str
    settings: _struct_pb2.Struct
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., display_name: _Optional[str] = ..., kind: _Optional[str] = ..., settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListParkedCallbacksRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "channel_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    channel_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., channel_id: _Optional[str] = ...) -> None: ...

class ListParkedCallbacksResponse(_message.Message):
    __slots__ = ("callbacks", "next_page_token")
    CALLBACKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    callbacks: _containers.RepeatedCompositeFieldContainer[ParkedCallback]
    next_page_token: str
    def __init__(self, callbacks: _Optional[_Iterable[_Union[ParkedCallback, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ParkedCallback(_message.Message):
    __slots__ = ("channel_id", "merchant_no", "notify_id", "attempt_no", "size_bytes", "receive_time")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_NO_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_NO_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    merchant_no: str
    notify_id: str
    attempt_no: str
    size_bytes: int
    receive_time: _timestamp_pb2.Timestamp
    def __init__(self, channel_id: _Optional[str] = ..., merchant_no: _Optional[str] = ..., notify_id: _Optional[str] = ..., attempt_no: _Optional[str] = ..., size_bytes: _Optional[int] = ..., receive_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UpdateChannelRequest(_message.Message):
    __slots__ = ("request_id", "channel_id", "version", "display_name", "settings", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    channel_id: str
    version: int
    display_name: str
    settings: _struct_pb2.Struct
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., version: _Optional[int] = ..., display_name: _Optional[str] = ..., settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class Channel(_message.Message):
    __slots__ = ("channel_id", "display_name", "kind", "methods", "account_id", "fee_bps", "max_amount", "state", "score")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FEE_BPS_FIELD_NUMBER: _ClassVar[int]
    MAX_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    display_name: str
    kind: str
    methods: _containers.RepeatedScalarFieldContainer[_common_pb2.Method]
    account_id: str
    fee_bps: int
    max_amount: _common_pb2.Money
    state: ChannelHealth.State
    score: float
    def __init__(self, channel_id: _Optional[str] = ..., display_name: _Optional[str] = ..., kind: _Optional[str] = ..., methods: _Optional[_Iterable[_Union[_common_pb2.Method, str]]] = ..., account_id: _Optional[str] = ..., fee_bps: _Optional[int] = ..., max_amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., state: _Optional[_Union[ChannelHealth.State, str]] = ..., score: _Optional[float] = ...) -> None: ...

class ListChannelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListChannelsResponse(_message.Message):
    __slots__ = ("channels", "next_page_token")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    channels: _containers.RepeatedCompositeFieldContainer[Channel]
    next_page_token: str
    def __init__(self, channels: _Optional[_Iterable[_Union[Channel, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ChannelHealth(_message.Message):
    __slots__ = ("channel_id", "state", "score", "success_rate", "latency_ms_p95", "unknown_share", "callback_share", "admit_share", "reason", "update_time", "forced_until_time", "changes", "windows", "proposal")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ChannelHealth.State]
        STATE_HEALTHY: _ClassVar[ChannelHealth.State]
        STATE_DEGRADED: _ClassVar[ChannelHealth.State]
        STATE_OPEN: _ClassVar[ChannelHealth.State]
        STATE_HALF_OPEN: _ClassVar[ChannelHealth.State]
        STATE_FORCED_OPEN: _ClassVar[ChannelHealth.State]
        STATE_FORCED_CLOSED: _ClassVar[ChannelHealth.State]
        STATE_MAINTENANCE: _ClassVar[ChannelHealth.State]
    STATE_UNSPECIFIED: ChannelHealth.State
    STATE_HEALTHY: ChannelHealth.State
    STATE_DEGRADED: ChannelHealth.State
    STATE_OPEN: ChannelHealth.State
    STATE_HALF_OPEN: ChannelHealth.State
    STATE_FORCED_OPEN: ChannelHealth.State
    STATE_FORCED_CLOSED: ChannelHealth.State
    STATE_MAINTENANCE: ChannelHealth.State
    class Change(_message.Message):
        __slots__ = ("time", "state", "score", "reason")
        TIME_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        SCORE_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        time: _timestamp_pb2.Timestamp
        state: ChannelHealth.State
        score: float
        reason: str
        def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[ChannelHealth.State, str]] = ..., score: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_P95_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_SHARE_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_SHARE_FIELD_NUMBER: _ClassVar[int]
    ADMIT_SHARE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    FORCED_UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    state: ChannelHealth.State
    score: float
    success_rate: float
    latency_ms_p95: float
    unknown_share: float
    callback_share: float
    admit_share: float
    reason: str
    update_time: _timestamp_pb2.Timestamp
    forced_until_time: _timestamp_pb2.Timestamp
    changes: _containers.RepeatedCompositeFieldContainer[ChannelHealth.Change]
    windows: _containers.RepeatedCompositeFieldContainer[MaintenanceWindow]
    proposal: _common_pb2.Proposal
    def __init__(self, channel_id: _Optional[str] = ..., state: _Optional[_Union[ChannelHealth.State, str]] = ..., score: _Optional[float] = ..., success_rate: _Optional[float] = ..., latency_ms_p95: _Optional[float] = ..., unknown_share: _Optional[float] = ..., callback_share: _Optional[float] = ..., admit_share: _Optional[float] = ..., reason: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., forced_until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changes: _Optional[_Iterable[_Union[ChannelHealth.Change, _Mapping]]] = ..., windows: _Optional[_Iterable[_Union[MaintenanceWindow, _Mapping]]] = ..., proposal: _Optional[_Union[_common_pb2.Proposal, _Mapping]] = ...) -> None: ...

class GetChannelHealthRequest(_message.Message):
    __slots__ = ("channel_id",)
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    def __init__(self, channel_id: _Optional[str] = ...) -> None: ...

class MaintenanceWindow(_message.Message):
    __slots__ = ("window_id", "channel_id", "start_time", "end_time", "reason", "account_id", "method", "weekly", "next_start_time", "next_end_time", "in_force", "principal", "cancel_time", "all_tenants")
    class Weekly(_message.Message):
        __slots__ = ("days", "start_time_of_day", "end_time_of_day")
        DAYS_FIELD_NUMBER: _ClassVar[int]
        START_TIME_OF_DAY_FIELD_NUMBER: _ClassVar[int]
        END_TIME_OF_DAY_FIELD_NUMBER: _ClassVar[int]
        days: _containers.RepeatedScalarFieldContainer[int]
        start_time_of_day: str
        end_time_of_day: str
        def __init__(self, days: _Optional[_Iterable[int]] = ..., start_time_of_day: _Optional[str] = ..., end_time_of_day: _Optional[str] = ...) -> None: ...
    WINDOW_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    WEEKLY_FIELD_NUMBER: _ClassVar[int]
    NEXT_START_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_END_TIME_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_TIME_FIELD_NUMBER: _ClassVar[int]
    ALL_TENANTS_FIELD_NUMBER: _ClassVar[int]
    window_id: str
    channel_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    reason: str
    account_id: str
    method: _common_pb2.Method
    weekly: MaintenanceWindow.Weekly
    next_start_time: _timestamp_pb2.Timestamp
    next_end_time: _timestamp_pb2.Timestamp
    in_force: bool
    principal: str
    cancel_time: _timestamp_pb2.Timestamp
    all_tenants: bool
    def __init__(self, window_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., account_id: _Optional[str] = ..., method: _Optional[_Union[_common_pb2.Method, str]] = ..., weekly: _Optional[_Union[MaintenanceWindow.Weekly, _Mapping]] = ..., next_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., in_force: _Optional[bool] = ..., principal: _Optional[str] = ..., cancel_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., all_tenants: _Optional[bool] = ...) -> None: ...

class SetMaintenanceWindowRequest(_message.Message):
    __slots__ = ("request_id", "channel_id", "start_time", "end_time", "reason", "account_id", "method", "weekly", "for_ever", "overlap")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    WEEKLY_FIELD_NUMBER: _ClassVar[int]
    FOR_EVER_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    channel_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    reason: str
    account_id: str
    method: _common_pb2.Method
    weekly: MaintenanceWindow.Weekly
    for_ever: bool
    overlap: bool
    def __init__(self, request_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., account_id: _Optional[str] = ..., method: _Optional[_Union[_common_pb2.Method, str]] = ..., weekly: _Optional[_Union[MaintenanceWindow.Weekly, _Mapping]] = ..., for_ever: _Optional[bool] = ..., overlap: _Optional[bool] = ...) -> None: ...

class ListMaintenanceWindowsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "channel_id", "include_past")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PAST_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    channel_id: str
    include_past: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., channel_id: _Optional[str] = ..., include_past: _Optional[bool] = ...) -> None: ...

class ListMaintenanceWindowsResponse(_message.Message):
    __slots__ = ("windows", "next_page_token")
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    windows: _containers.RepeatedCompositeFieldContainer[MaintenanceWindow]
    next_page_token: str
    def __init__(self, windows: _Optional[_Iterable[_Union[MaintenanceWindow, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelMaintenanceWindowRequest(_message.Message):
    __slots__ = ("request_id", "window_id", "end_time", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_ID_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    window_id: str
    end_time: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., window_id: _Optional[str] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ForceChannelStateRequest(_message.Message):
    __slots__ = ("request_id", "channel_id", "state", "ttl", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    channel_id: str
    state: ChannelHealth.State
    ttl: _duration_pb2.Duration
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., state: _Optional[_Union[ChannelHealth.State, str]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...
