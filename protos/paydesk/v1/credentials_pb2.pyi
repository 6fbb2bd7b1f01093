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

class CredentialVersion(_message.Message):
    __slots__ = ("account_id", "version", "state", "values", "not_after", "principal", "create_time", "activate_time", "retire_time", "signs", "proposal")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[CredentialVersion.State]
        STATE_STAGED: _ClassVar[CredentialVersion.State]
        STATE_ACTIVE: _ClassVar[CredentialVersion.State]
        STATE_RETIRED: _ClassVar[CredentialVersion.State]
    STATE_UNSPECIFIED: CredentialVersion.State
    STATE_STAGED: CredentialVersion.State
    STATE_ACTIVE: CredentialVersion.State
    STATE_RETIRED: CredentialVersion.State
    class Value(_message.Message):
        __slots__ = ("name", "material", "fingerprint", "not_after")
        NAME_FIELD_NUMBER: _ClassVar[int]
        MATERIAL_FIELD_NUMBER: _ClassVar[int]
        FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
        NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
        name: str
        material: str
        fingerprint: str
        not_after: _timestamp_pb2.Timestamp
        def __init__(self, name: _Optional[str] = ..., material: _Optional[str] = ..., fingerprint: _Optional[str] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTIVATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RETIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNS_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    version: int
    state: CredentialVersion.State
    values: _containers.RepeatedCompositeFieldContainer[CredentialVersion.Value]
    not_after: _timestamp_pb2.Timestamp
    principal: str
    create_time: _timestamp_pb2.Timestamp
    activate_time: _timestamp_pb2.Timestamp
    retire_time: _timestamp_pb2.Timestamp
    signs: bool
    proposal: _common_pb2.Proposal
    def __init__(self, account_id: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[CredentialVersion.State, str]] = ..., values: _Optional[_Iterable[_Union[CredentialVersion.Value, _Mapping]]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., activate_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., signs: _Optional[bool] = ..., proposal: _Optional[_Union[_common_pb2.Proposal, _Mapping]] = ...) -> None: ...

class AddCredentialsRequest(_message.Message):
    __slots__ = ("request_id", "account_id", "values", "not_after", "reason")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    values: _containers.ScalarMap[str, str]
    not_after: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ..., values: _Optional[_Mapping[str, str]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListCredentialsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "account_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    account_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., account_id: _Optional[str] = ...) -> None: ...

class ListCredentialsResponse(_message.Message):
    __slots__ = ("credentials", "next_page_token")
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    credentials: _containers.RepeatedCompositeFieldContainer[CredentialVersion]
    next_page_token: str
    def __init__(self, credentials: _Optional[_Iterable[_Union[CredentialVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ActivateCredentialsRequest(_message.Message):
    __slots__ = ("request_id", "account_id", "version", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    version: int
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ..., version: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class RetireCredentialsRequest(_message.Message):
    __slots__ = ("request_id", "account_id", "version", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    version: int
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ..., version: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Expiry(_message.Message):
    __slots__ = ("object_kind", "object_id", "channel_id", "title", "not_after", "days_left")
    OBJECT_KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    DAYS_LEFT_FIELD_NUMBER: _ClassVar[int]
    object_kind: str
    object_id: str
    channel_id: str
    title: str
    not_after: _timestamp_pb2.Timestamp
    days_left: int
    def __init__(self, object_kind: _Optional[str] = ..., object_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., title: _Optional[str] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., days_left: _Optional[int] = ...) -> None: ...

class ListExpiriesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "within_days")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WITHIN_DAYS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    within_days: int
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., within_days: _Optional[int] = ...) -> None: ...

class ListExpiriesResponse(_message.Message):
    __slots__ = ("expiries", "next_page_token")
    EXPIRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    expiries: _containers.RepeatedCompositeFieldContainer[Expiry]
    next_page_token: str
    def __init__(self, expiries: _Optional[_Iterable[_Union[Expiry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Reminder(_message.Message):
    __slots__ = ("reminder_id", "object_kind", "object_id", "mark", "target_id", "title", "body", "state", "try_count", "create_time", "send_time", "acknowledge_time", "acknowledger")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Reminder.State]
        STATE_SHOWN: _ClassVar[Reminder.State]
        STATE_DUE: _ClassVar[Reminder.State]
        STATE_SENDING: _ClassVar[Reminder.State]
        STATE_SENT: _ClassVar[Reminder.State]
        STATE_FAILED: _ClassVar[Reminder.State]
        STATE_UNSURE: _ClassVar[Reminder.State]
    STATE_UNSPECIFIED: Reminder.State
    STATE_SHOWN: Reminder.State
    STATE_DUE: Reminder.State
    STATE_SENDING: Reminder.State
    STATE_SENT: Reminder.State
    STATE_FAILED: Reminder.State
    STATE_UNSURE: Reminder.State
    REMINDER_ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_KIND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRY_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SEND_TIME_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGER_FIELD_NUMBER: _ClassVar[int]
    reminder_id: str
    object_kind: str
    object_id: str
    mark: int
    target_id: str
    title: str
    body: str
    state: Reminder.State
    try_count: int
    create_time: _timestamp_pb2.Timestamp
    send_time: _timestamp_pb2.Timestamp
    acknowledge_time: _timestamp_pb2.Timestamp
    acknowledger: str
    def __init__(self, reminder_id: _Optional[str] = ..., object_kind: _Optional[str] = ..., object_id: _Optional[str] = ..., mark: _Optional[int] = ..., target_id: _Optional[str] = ..., title: _Optional[str] = ..., body: _Optional[str] = ..., state: _Optional[_Union[Reminder.State, str]] = ..., try_count: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., send_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledge_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledger: _Optional[str] = ...) -> None: ...

class ListRemindersRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "unacknowledged", "object_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    unacknowledged: bool
    object_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., unacknowledged: _Optional[bool] = ..., object_id: _Optional[str] = ...) -> None: ...

class ListRemindersResponse(_message.Message):
    __slots__ = ("reminders", "next_page_token")
    REMINDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reminders: _containers.RepeatedCompositeFieldContainer[Reminder]
    next_page_token: str
    def __init__(self, reminders: _Optional[_Iterable[_Union[Reminder, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AcknowledgeReminderRequest(_message.Message):
    __slots__ = ("request_id", "reminder_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REMINDER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    reminder_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., reminder_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Contact(_message.Message):
    __slots__ = ("contact_id", "display_name", "escalation", "targets")
    class Target(_message.Message):
        __slots__ = ("target_id", "shown")
        TARGET_ID_FIELD_NUMBER: _ClassVar[int]
        SHOWN_FIELD_NUMBER: _ClassVar[int]
        target_id: str
        shown: str
        def __init__(self, target_id: _Optional[str] = ..., shown: _Optional[str] = ...) -> None: ...
    CONTACT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    contact_id: str
    display_name: str
    escalation: bool
    targets: _containers.RepeatedCompositeFieldContainer[Contact.Target]
    def __init__(self, contact_id: _Optional[str] = ..., display_name: _Optional[str] = ..., escalation: _Optional[bool] = ..., targets: _Optional[_Iterable[_Union[Contact.Target, _Mapping]]] = ...) -> None: ...

class CreateContactRequest(_message.Message):
    __slots__ = ("request_id", "display_name", "escalation", "target_urls")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_FIELD_NUMBER: _ClassVar[int]
    TARGET_URLS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    display_name: str
    escalation: bool
    target_urls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., display_name: _Optional[str] = ..., escalation: _Optional[bool] = ..., target_urls: _Optional[_Iterable[str]] = ...) -> None: ...

class ListContactsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListContactsResponse(_message.Message):
    __slots__ = ("contacts", "next_page_token")
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    contacts: _containers.RepeatedCompositeFieldContainer[Contact]
    next_page_token: str
    def __init__(self, contacts: _Optional[_Iterable[_Union[Contact, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteContactRequest(_message.Message):
    __slots__ = ("request_id", "contact_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CONTACT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    contact_id: str
    def __init__(self, request_id: _Optional[str] = ..., contact_id: _Optional[str] = ...) -> None: ...
