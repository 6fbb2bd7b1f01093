from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Method(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METHOD_UNSPECIFIED: _ClassVar[Method]
    METHOD_WECHAT_PAY: _ClassVar[Method]
    METHOD_ALIPAY: _ClassVar[Method]
    METHOD_UNION_PAY: _ClassVar[Method]
    METHOD_BANK_CARD: _ClassVar[Method]
    METHOD_QUICK_CARD: _ClassVar[Method]
    METHOD_E_BANK: _ClassVar[Method]
    METHOD_REMITTANCE: _ClassVar[Method]
    METHOD_CHEQUE: _ClassVar[Method]

class Terminal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TERMINAL_UNSPECIFIED: _ClassVar[Terminal]
    TERMINAL_H5: _ClassVar[Terminal]
    TERMINAL_WECHAT_OA: _ClassVar[Terminal]
    TERMINAL_PC: _ClassVar[Terminal]
    TERMINAL_APP: _ClassVar[Terminal]
    TERMINAL_API: _ClassVar[Terminal]
METHOD_UNSPECIFIED: Method
METHOD_WECHAT_PAY: Method
METHOD_ALIPAY: Method
METHOD_UNION_PAY: Method
METHOD_BANK_CARD: Method
METHOD_QUICK_CARD: Method
METHOD_E_BANK: Method
METHOD_REMITTANCE: Method
METHOD_CHEQUE: Method
TERMINAL_UNSPECIFIED: Terminal
TERMINAL_H5: Terminal
TERMINAL_WECHAT_OA: Terminal
TERMINAL_PC: Terminal
TERMINAL_APP: Terminal
TERMINAL_API: Terminal

class Money(_message.Message):
    __slots__ = ("amount_minor", "currency_code")
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    amount_minor: int
    currency_code: str
    def __init__(self, amount_minor: _Optional[int] = ..., currency_code: _Optional[str] = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ("approval_id", "performed", "object_id")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    PERFORMED_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    performed: bool
    object_id: str
    def __init__(self, approval_id: _Optional[str] = ..., performed: _Optional[bool] = ..., object_id: _Optional[str] = ...) -> None: ...
