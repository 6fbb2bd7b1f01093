import datetime

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

class Payment(_message.Message):
    __slots__ = ("payment_id", "request_id", "order_no", "product_code", "amount", "method", "terminal", "source", "subject", "state", "reason", "channel_id", "account_id", "attempt_no", "channel_txn_no", "action", "create_time", "update_time", "expire_time", "success_time", "revision", "attempt_count", "duplicate", "late", "close_requested", "refund_reserved_minor", "refunded_minor", "institution_id", "warnings")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Payment.State]
        STATE_SUBMITTING: _ClassVar[Payment.State]
        STATE_PENDING: _ClassVar[Payment.State]
        STATE_UNKNOWN: _ClassVar[Payment.State]
        STATE_SUCCEEDED: _ClassVar[Payment.State]
        STATE_FAILED: _ClassVar[Payment.State]
        STATE_CLOSED: _ClassVar[Payment.State]
        STATE_FUNDS_RETURNED: _ClassVar[Payment.State]
    STATE_UNSPECIFIED: Payment.State
    STATE_SUBMITTING: Payment.State
    STATE_PENDING: Payment.State
    STATE_UNKNOWN: Payment.State
    STATE_SUCCEEDED: Payment.State
    STATE_FAILED: Payment.State
    STATE_CLOSED: Payment.State
    STATE_FUNDS_RETURNED: Payment.State
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_NO_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_TXN_NO_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    REFUND_RESERVED_MINOR_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_MINOR_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    request_id: str
    order_no: str
    product_code: str
    amount: _common_pb2.Money
    method: _common_pb2.Method
    terminal: _common_pb2.Terminal
    source: str
    subject: str
    state: Payment.State
    reason: str
    channel_id: str
    account_id: str
    attempt_no: str
    channel_txn_no: str
    action: PayerAction
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    success_time: _timestamp_pb2.Timestamp
    revision: int
    attempt_count: int
    duplicate: bool
    late: bool
    close_requested: bool
    refund_reserved_minor: int
    refunded_minor: int
    institution_id: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, payment_id: _Optional[str] = ..., request_id: _Optional[str] = ..., order_no: _Optional[str] = ..., product_code: _Optional[str] = ..., amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., method: _Optional[_Union[_common_pb2.Method, str]] = ..., terminal: _Optional[_Union[_common_pb2.Terminal, str]] = ..., source: _Optional[str] = ..., subject: _Optional[str] = ..., state: _Optional[_Union[Payment.State, str]] = ..., reason: _Optional[str] = ..., channel_id: _Optional[str] = ..., account_id: _Optional[str] = ..., attempt_no: _Optional[str] = ..., channel_txn_no: _Optional[str] = ..., action: _Optional[_Union[PayerAction, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., success_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., attempt_count: _Optional[int] = ..., duplicate: _Optional[bool] = ..., late: _Optional[bool] = ..., close_requested: _Optional[bool] = ..., refund_reserved_minor: _Optional[int] = ..., refunded_minor: _Optional[int] = ..., institution_id: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class Payer(_message.Message):
    __slots__ = ("name", "id_no", "card_no", "phone_no")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_NO_FIELD_NUMBER: _ClassVar[int]
    CARD_NO_FIELD_NUMBER: _ClassVar[int]
    PHONE_NO_FIELD_NUMBER: _ClassVar[int]
    name: str
    id_no: str
    card_no: str
    phone_no: str
    def __init__(self, name: _Optional[str] = ..., id_no: _Optional[str] = ..., card_no: _Optional[str] = ..., phone_no: _Optional[str] = ...) -> None: ...

class RevealPayerRequest(_message.Message):
    __slots__ = ("payment_id", "reason")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    reason: str
    def __init__(self, payment_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PayerAction(_message.Message):
    __slots__ = ("kind", "value")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[PayerAction.Kind]
        KIND_QR_CODE: _ClassVar[PayerAction.Kind]
        KIND_REDIRECT: _ClassVar[PayerAction.Kind]
        KIND_FORM: _ClassVar[PayerAction.Kind]
        KIND_JSAPI: _ClassVar[PayerAction.Kind]
        KIND_APP: _ClassVar[PayerAction.Kind]
    KIND_UNSPECIFIED: PayerAction.Kind
    KIND_QR_CODE: PayerAction.Kind
    KIND_REDIRECT: PayerAction.Kind
    KIND_FORM: PayerAction.Kind
    KIND_JSAPI: PayerAction.Kind
    KIND_APP: PayerAction.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    kind: PayerAction.Kind
    value: str
    def __init__(self, kind: _Optional[_Union[PayerAction.Kind, str]] = ..., value: _Optional[str] = ...) -> None: ...

class CreatePaymentRequest(_message.Message):
    __slots__ = ("request_id", "order_no", "product_code", "amount", "method", "terminal", "source", "subject", "payer_ref", "expire_time", "institution_id", "cashier_version", "payer")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PAYER_REF_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_ID_FIELD_NUMBER: _ClassVar[int]
    CASHIER_VERSION_FIELD_NUMBER: _ClassVar[int]
    PAYER_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    order_no: str
    product_code: str
    amount: _common_pb2.Money
    method: _common_pb2.Method
    terminal: _common_pb2.Terminal
    source: str
    subject: str
    payer_ref: str
    expire_time: _timestamp_pb2.Timestamp
    institution_id: str
    cashier_version: str
    payer: Payer
    def __init__(self, request_id: _Optional[str] = ..., order_no: _Optional[str] = ..., product_code: _Optional[str] = ..., amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., method: _Optional[_Union[_common_pb2.Method, str]] = ..., terminal: _Optional[_Union[_common_pb2.Terminal, str]] = ..., source: _Optional[str] = ..., subject: _Optional[str] = ..., payer_ref: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., institution_id: _Optional[str] = ..., cashier_version: _Optional[str] = ..., payer: _Optional[_Union[Payer, _Mapping]] = ...) -> None: ...

class GetCashierRequest(_message.Message):
    __slots__ = ("order_no", "product_code", "amount", "terminal", "source", "institution_id", "payer_ref")
    ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PAYER_REF_FIELD_NUMBER: _ClassVar[int]
    order_no: str
    product_code: str
    amount: _common_pb2.Money
    terminal: _common_pb2.Terminal
    source: str
    institution_id: str
    payer_ref: str
    def __init__(self, order_no: _Optional[str] = ..., product_code: _Optional[str] = ..., amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., terminal: _Optional[_Union[_common_pb2.Terminal, str]] = ..., source: _Optional[str] = ..., institution_id: _Optional[str] = ..., payer_ref: _Optional[str] = ...) -> None: ...

class Cashier(_message.Message):
    __slots__ = ("entries", "version", "expire_s")
    class Entry(_message.Message):
        __slots__ = ("method", "enabled", "visible", "reason_code", "reason_text", "min_amount", "max_amount", "display_order", "promotion")
        METHOD_FIELD_NUMBER: _ClassVar[int]
        ENABLED_FIELD_NUMBER: _ClassVar[int]
        VISIBLE_FIELD_NUMBER: _ClassVar[int]
        REASON_CODE_FIELD_NUMBER: _ClassVar[int]
        REASON_TEXT_FIELD_NUMBER: _ClassVar[int]
        MIN_AMOUNT_FIELD_NUMBER: _ClassVar[int]
        MAX_AMOUNT_FIELD_NUMBER: _ClassVar[int]
        DISPLAY_ORDER_FIELD_NUMBER: _ClassVar[int]
        PROMOTION_FIELD_NUMBER: _ClassVar[int]
        method: _common_pb2.Method
        enabled: bool
        visible: bool
        reason_code: str
        reason_text: str
        min_amount: _common_pb2.Money
        max_amount: _common_pb2.Money
        display_order: int
        promotion: str
        def __init__(self, method: _Optional[_Union[_common_pb2.Method, str]] = ..., enabled: _Optional[bool] = ..., visible: _Optional[bool] = ..., reason_code: _Optional[str] = ..., reason_text: _Optional[str] = ..., min_amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., max_amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., display_order: _Optional[int] = ..., promotion: _Optional[str] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_S_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Cashier.Entry]
    version: str
    expire_s: int
    def __init__(self, entries: _Optional[_Iterable[_Union[Cashier.Entry, _Mapping]]] = ..., version: _Optional[str] = ..., expire_s: _Optional[int] = ...) -> None: ...

class BatchCreatePaymentsRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[CreatePaymentRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[CreatePaymentRequest, _Mapping]]] = ...) -> None: ...

class BatchCreatePaymentsResponse(_message.Message):
    __slots__ = ("results",)
    class Result(_message.Message):
        __slots__ = ("payment", "refusal")
        PAYMENT_FIELD_NUMBER: _ClassVar[int]
        REFUSAL_FIELD_NUMBER: _ClassVar[int]
        payment: Payment
        refusal: _status_pb2.Status
        def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ..., refusal: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchCreatePaymentsResponse.Result]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchCreatePaymentsResponse.Result, _Mapping]]] = ...) -> None: ...

class GetPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "request_id")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    request_id: str
    def __init__(self, payment_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ListPaymentsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "order_no", "state", "channel_id", "min_create_time", "max_create_time", "payer_card_no", "payer_phone_no")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    MIN_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PAYER_CARD_NO_FIELD_NUMBER: _ClassVar[int]
    PAYER_PHONE_NO_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    order_no: str
    state: Payment.State
    channel_id: str
    min_create_time: _timestamp_pb2.Timestamp
    max_create_time: _timestamp_pb2.Timestamp
    payer_card_no: str
    payer_phone_no: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., order_no: _Optional[str] = ..., state: _Optional[_Union[Payment.State, str]] = ..., channel_id: _Optional[str] = ..., min_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., payer_card_no: _Optional[str] = ..., payer_phone_no: _Optional[str] = ...) -> None: ...

class ListPaymentsResponse(_message.Message):
    __slots__ = ("payments", "next_page_token")
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payments: _containers.RepeatedCompositeFieldContainer[Payment]
    next_page_token: str
    def __init__(self, payments: _Optional[_Iterable[_Union[Payment, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPaymentTimelineRequest(_message.Message):
    __slots__ = ("payment_id",)
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    def __init__(self, payment_id: _Optional[str] = ...) -> None: ...

class PaymentTimeline(_message.Message):
    __slots__ = ("payment", "attempts", "steps", "notices", "refunds", "cases", "payer")
    class Attempt(_message.Message):
        __slots__ = ("attempt_no", "attempt_index", "channel_id", "account_id", "state", "reason", "create_time", "update_time")
        ATTEMPT_NO_FIELD_NUMBER: _ClassVar[int]
        ATTEMPT_INDEX_FIELD_NUMBER: _ClassVar[int]
        CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
        ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
        UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
        attempt_no: str
        attempt_index: int
        channel_id: str
        account_id: str
        state: str
        reason: str
        create_time: _timestamp_pb2.Timestamp
        update_time: _timestamp_pb2.Timestamp
        def __init__(self, attempt_no: _Optional[str] = ..., attempt_index: _Optional[int] = ..., channel_id: _Optional[str] = ..., account_id: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class Step(_message.Message):
        __slots__ = ("revision", "event", "state", "source", "reason", "attempt_no", "create_time")
        REVISION_FIELD_NUMBER: _ClassVar[int]
        EVENT_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        SOURCE_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        ATTEMPT_NO_FIELD_NUMBER: _ClassVar[int]
        CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
        revision: int
        event: str
        state: Payment.State
        source: str
        reason: str
        attempt_no: str
        create_time: _timestamp_pb2.Timestamp
        def __init__(self, revision: _Optional[int] = ..., event: _Optional[str] = ..., state: _Optional[_Union[Payment.State, str]] = ..., source: _Optional[str] = ..., reason: _Optional[str] = ..., attempt_no: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class Notice(_message.Message):
        __slots__ = ("event_id", "event_type", "delivery_state", "try_count", "create_time", "deliver_time")
        EVENT_ID_FIELD_NUMBER: _ClassVar[int]
        EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
        DELIVERY_STATE_FIELD_NUMBER: _ClassVar[int]
        TRY_COUNT_FIELD_NUMBER: _ClassVar[int]
        CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
        DELIVER_TIME_FIELD_NUMBER: _ClassVar[int]
        event_id: str
        event_type: str
        delivery_state: str
        try_count: int
        create_time: _timestamp_pb2.Timestamp
        deliver_time: _timestamp_pb2.Timestamp
        def __init__(self, event_id: _Optional[str] = ..., event_type: _Optional[str] = ..., delivery_state: _Optional[str] = ..., try_count: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deliver_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class Refund(_message.Message):
        __slots__ = ("refund_id", "amount", "state", "reason", "create_time")
        REFUND_ID_FIELD_NUMBER: _ClassVar[int]
        AMOUNT_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
        refund_id: str
        amount: _common_pb2.Money
        state: str
        reason: str
        create_time: _timestamp_pb2.Timestamp
        def __init__(self, refund_id: _Optional[str] = ..., amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    class Case(_message.Message):
        __slots__ = ("kind", "detail", "create_time")
        KIND_FIELD_NUMBER: _ClassVar[int]
        DETAIL_FIELD_NUMBER: _ClassVar[int]
        CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
        kind: str
        detail: str
        create_time: _timestamp_pb2.Timestamp
        def __init__(self, kind: _Optional[str] = ..., detail: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    PAYER_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    attempts: _containers.RepeatedCompositeFieldContainer[PaymentTimeline.Attempt]
    steps: _containers.RepeatedCompositeFieldContainer[PaymentTimeline.Step]
    notices: _containers.RepeatedCompositeFieldContainer[PaymentTimeline.Notice]
    refunds: _containers.RepeatedCompositeFieldContainer[PaymentTimeline.Refund]
    cases: _containers.RepeatedCompositeFieldContainer[PaymentTimeline.Case]
    payer: Payer
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[PaymentTimeline.Attempt, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[PaymentTimeline.Step, _Mapping]]] = ..., notices: _Optional[_Iterable[_Union[PaymentTimeline.Notice, _Mapping]]] = ..., refunds: _Optional[_Iterable[_Union[PaymentTimeline.Refund, _Mapping]]] = ..., cases: _Optional[_Iterable[_Union[PaymentTimeline.Case, _Mapping]]] = ..., payer: _Optional[_Union[Payer, _Mapping]] = ...) -> None: ...

class ClosePaymentRequest(_message.Message):
    __slots__ = ("request_id", "payment_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    payment_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SyncPaymentRequest(_message.Message):
    __slots__ = ("request_id", "payment_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    payment_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
