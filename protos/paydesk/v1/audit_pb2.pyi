import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuditEntry(_message.Message):
    __slots__ = ("entry_id", "index", "principal", "operation", "object_kind", "object_id", "before_json", "after_json", "reason", "request_id", "address", "create_time", "hash")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_JSON_FIELD_NUMBER: _ClassVar[int]
    AFTER_JSON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    entry_id: int
    index: int
    principal: str
    operation: str
    object_kind: str
    object_id: str
    before_json: str
    after_json: str
    reason: str
    request_id: str
    address: str
    create_time: _timestamp_pb2.Timestamp
    hash: bytes
    def __init__(self, entry_id: _Optional[int] = ..., index: _Optional[int] = ..., principal: _Optional[str] = ..., operation: _Optional[str] = ..., object_kind: _Optional[str] = ..., object_id: _Optional[str] = ..., before_json: _Optional[str] = ..., after_json: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., address: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hash: _Optional[bytes] = ...) -> None: ...

class AuditFilter(_message.Message):
    __slots__ = ("principal", "operation", "object_kind", "object_id", "min_create_time", "max_create_time", "changes_only")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    MIN_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CHANGES_ONLY_FIELD_NUMBER: _ClassVar[int]
    principal: str
    operation: str
    object_kind: str
    object_id: str
    min_create_time: _timestamp_pb2.Timestamp
    max_create_time: _timestamp_pb2.Timestamp
    changes_only: bool
    def __init__(self, principal: _Optional[str] = ..., operation: _Optional[str] = ..., object_kind: _Optional[str] = ..., object_id: _Optional[str] = ..., min_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changes_only: _Optional[bool] = ...) -> None: ...

class SearchAuditRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: AuditFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[AuditFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class SearchAuditResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetAuditEntryRequest(_message.Message):
    __slots__ = ("entry_id",)
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    entry_id: int
    def __init__(self, entry_id: _Optional[int] = ...) -> None: ...

class ExportAuditRequest(_message.Message):
    __slots__ = ("filter", "reason")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    filter: AuditFilter
    reason: str
    def __init__(self, filter: _Optional[_Union[AuditFilter, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ExportAuditResponse(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    def __init__(self, content: _Optional[bytes] = ...) -> None: ...

class VerifyAuditRequest(_message.Message):
    __slots__ = ("first_index", "last_index")
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    first_index: int
    last_index: int
    def __init__(self, first_index: _Optional[int] = ..., last_index: _Optional[int] = ...) -> None: ...

class VerifyAuditResponse(_message.Message):
    __slots__ = ("sound", "checked_count", "last_index", "broken_index", "damage", "detail", "signed_heads_count")
    class Damage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DAMAGE_UNSPECIFIED: _ClassVar[VerifyAuditResponse.Damage]
        DAMAGE_EDITED: _ClassVar[VerifyAuditResponse.Damage]
        DAMAGE_DELETED: _ClassVar[VerifyAuditResponse.Damage]
        DAMAGE_INSERTED: _ClassVar[VerifyAuditResponse.Damage]
        DAMAGE_HEAD_MISMATCH: _ClassVar[VerifyAuditResponse.Damage]
    DAMAGE_UNSPECIFIED: VerifyAuditResponse.Damage
    DAMAGE_EDITED: VerifyAuditResponse.Damage
    DAMAGE_DELETED: VerifyAuditResponse.Damage
    DAMAGE_INSERTED: VerifyAuditResponse.Damage
    DAMAGE_HEAD_MISMATCH: VerifyAuditResponse.Damage
    SOUND_FIELD_NUMBER: _ClassVar[int]
    CHECKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    BROKEN_INDEX_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    SIGNED_HEADS_COUNT_FIELD_NUMBER: _ClassVar[int]
    sound: bool
    checked_count: int
    last_index: int
    broken_index: int
    damage: VerifyAuditResponse.Damage
    detail: str
    signed_heads_count: int
    def __init__(self, sound: _Optional[bool] = ..., checked_count: _Optional[int] = ..., last_index: _Optional[int] = ..., broken_index: _Optional[int] = ..., damage: _Optional[_Union[VerifyAuditResponse.Damage, str]] = ..., detail: _Optional[str] = ..., signed_heads_count: _Optional[int] = ...) -> None: ...
