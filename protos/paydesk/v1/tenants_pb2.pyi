import datetime

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

class SaleState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SALE_STATE_UNSPECIFIED: _ClassVar[SaleState]
    SALE_STATE_ACTIVE: _ClassVar[SaleState]
    SALE_STATE_CLOSED: _ClassVar[SaleState]
SALE_STATE_UNSPECIFIED: SaleState
SALE_STATE_ACTIVE: SaleState
SALE_STATE_CLOSED: SaleState

class Tenant(_message.Message):
    __slots__ = ("tenant_id", "display_name", "state", "version")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Tenant.State]
        STATE_ACTIVE: _ClassVar[Tenant.State]
        STATE_SUSPENDED: _ClassVar[Tenant.State]
    STATE_UNSPECIFIED: Tenant.State
    STATE_ACTIVE: Tenant.State
    STATE_SUSPENDED: Tenant.State
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    display_name: str
    state: Tenant.State
    version: int
    def __init__(self, tenant_id: _Optional[str] = ..., display_name: _Optional[str] = ..., state: _Optional[_Union[Tenant.State, str]] = ..., version: _Optional[int] = ...) -> None: ...

class CreateTenantRequest(_message.Message):
    __slots__ = ("request_id", "tenant_id", "display_name", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant_id: str
    display_name: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., display_name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetTenantRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTenantsResponse(_message.Message):
    __slots__ = ("tenants", "next_page_token")
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[Tenant]
    next_page_token: str
    def __init__(self, tenants: _Optional[_Iterable[_Union[Tenant, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateTenantRequest(_message.Message):
    __slots__ = ("request_id", "tenant_id", "version", "display_name", "state", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant_id: str
    version: int
    display_name: str
    state: Tenant.State
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., version: _Optional[int] = ..., display_name: _Optional[str] = ..., state: _Optional[_Union[Tenant.State, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class Institution(_message.Message):
    __slots__ = ("institution_id", "parent_id", "display_name", "state", "version")
    INSTITUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    institution_id: str
    parent_id: str
    display_name: str
    state: SaleState
    version: int
    def __init__(self, institution_id: _Optional[str] = ..., parent_id: _Optional[str] = ..., display_name: _Optional[str] = ..., state: _Optional[_Union[SaleState, str]] = ..., version: _Optional[int] = ...) -> None: ...

class CreateInstitutionRequest(_message.Message):
    __slots__ = ("request_id", "institution_id", "parent_id", "display_name", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    institution_id: str
    parent_id: str
    display_name: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., institution_id: _Optional[str] = ..., parent_id: _Optional[str] = ..., display_name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ListInstitutionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInstitutionsResponse(_message.Message):
    __slots__ = ("institutions", "next_page_token")
    INSTITUTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    institutions: _containers.RepeatedCompositeFieldContainer[Institution]
    next_page_token: str
    def __init__(self, institutions: _Optional[_Iterable[_Union[Institution, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateInstitutionRequest(_message.Message):
    __slots__ = ("request_id", "institution_id", "version", "parent_id", "display_name", "state", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    institution_id: str
    version: int
    parent_id: str
    display_name: str
    state: SaleState
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., institution_id: _Optional[str] = ..., version: _Optional[int] = ..., parent_id: _Optional[str] = ..., display_name: _Optional[str] = ..., state: _Optional[_Union[SaleState, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class Product(_message.Message):
    __slots__ = ("product_code", "display_name", "institution_ids", "state", "version")
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_IDS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    product_code: str
    display_name: str
    institution_ids: _containers.RepeatedScalarFieldContainer[str]
    state: SaleState
    version: int
    def __init__(self, product_code: _Optional[str] = ..., display_name: _Optional[str] = ..., institution_ids: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[SaleState, str]] = ..., version: _Optional[int] = ...) -> None: ...

class CreateProductRequest(_message.Message):
    __slots__ = ("request_id", "product_code", "display_name", "institution_ids", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_IDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    product_code: str
    display_name: str
    institution_ids: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., product_code: _Optional[str] = ..., display_name: _Optional[str] = ..., institution_ids: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListProductsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListProductsResponse(_message.Message):
    __slots__ = ("products", "next_page_token")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[Product]
    next_page_token: str
    def __init__(self, products: _Optional[_Iterable[_Union[Product, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateProductRequest(_message.Message):
    __slots__ = ("request_id", "product_code", "version", "display_name", "institutions", "state", "reason")
    class Institutions(_message.Message):
        __slots__ = ("institution_ids",)
        INSTITUTION_IDS_FIELD_NUMBER: _ClassVar[int]
        institution_ids: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, institution_ids: _Optional[_Iterable[str]] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTITUTIONS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    product_code: str
    version: int
    display_name: str
    institutions: UpdateProductRequest.Institutions
    state: SaleState
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., product_code: _Optional[str] = ..., version: _Optional[int] = ..., display_name: _Optional[str] = ..., institutions: _Optional[_Union[UpdateProductRequest.Institutions, _Mapping]] = ..., state: _Optional[_Union[SaleState, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class FeeTier(_message.Message):
    __slots__ = ("from_minor", "to_minor", "rate_bps", "flat_minor", "cap_minor")
    FROM_MINOR_FIELD_NUMBER: _ClassVar[int]
    TO_MINOR_FIELD_NUMBER: _ClassVar[int]
    RATE_BPS_FIELD_NUMBER: _ClassVar[int]
    FLAT_MINOR_FIELD_NUMBER: _ClassVar[int]
    CAP_MINOR_FIELD_NUMBER: _ClassVar[int]
    from_minor: int
    to_minor: int
    rate_bps: int
    flat_minor: int
    cap_minor: int
    def __init__(self, from_minor: _Optional[int] = ..., to_minor: _Optional[int] = ..., rate_bps: _Optional[int] = ..., flat_minor: _Optional[int] = ..., cap_minor: _Optional[int] = ...) -> None: ...

class FeeSpan(_message.Message):
    __slots__ = ("valid_from", "valid_until", "tiers", "promotion")
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    tiers: _containers.RepeatedCompositeFieldContainer[FeeTier]
    promotion: str
    def __init__(self, valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tiers: _Optional[_Iterable[_Union[FeeTier, _Mapping]]] = ..., promotion: _Optional[str] = ...) -> None: ...

class AccountTerms(_message.Message):
    __slots__ = ("methods", "terminals", "product_codes", "institution_ids", "sources", "currency_code", "min_amount_minor", "max_amount_minor", "day_limit_minor", "month_limit_minor", "rate_per_s", "refund_window_days", "fees", "channel_terms")
    METHODS_FIELD_NUMBER: _ClassVar[int]
    TERMINALS_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODES_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_IDS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    MIN_AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    MAX_AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    DAY_LIMIT_MINOR_FIELD_NUMBER: _ClassVar[int]
    MONTH_LIMIT_MINOR_FIELD_NUMBER: _ClassVar[int]
    RATE_PER_S_FIELD_NUMBER: _ClassVar[int]
    REFUND_WINDOW_DAYS_FIELD_NUMBER: _ClassVar[int]
    FEES_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_TERMS_FIELD_NUMBER: _ClassVar[int]
    methods: _containers.RepeatedScalarFieldContainer[_common_pb2.Method]
    terminals: _containers.RepeatedScalarFieldContainer[_common_pb2.Terminal]
    product_codes: _containers.RepeatedScalarFieldContainer[str]
    institution_ids: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.RepeatedScalarFieldContainer[str]
    currency_code: str
    min_amount_minor: int
    max_amount_minor: int
    day_limit_minor: int
    month_limit_minor: int
    rate_per_s: int
    refund_window_days: int
    fees: _containers.RepeatedCompositeFieldContainer[FeeSpan]
    channel_terms: _struct_pb2.Struct
    def __init__(self, methods: _Optional[_Iterable[_Union[_common_pb2.Method, str]]] = ..., terminals: _Optional[_Iterable[_Union[_common_pb2.Terminal, str]]] = ..., product_codes: _Optional[_Iterable[str]] = ..., institution_ids: _Optional[_Iterable[str]] = ..., sources: _Optional[_Iterable[str]] = ..., currency_code: _Optional[str] = ..., min_amount_minor: _Optional[int] = ..., max_amount_minor: _Optional[int] = ..., day_limit_minor: _Optional[int] = ..., month_limit_minor: _Optional[int] = ..., rate_per_s: _Optional[int] = ..., refund_window_days: _Optional[int] = ..., fees: _Optional[_Iterable[_Union[FeeSpan, _Mapping]]] = ..., channel_terms: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class MerchantAccount(_message.Message):
    __slots__ = ("account_id", "channel_id", "merchant_no", "terms", "version", "valid_from", "newest_version", "principal", "create_time")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_NO_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    NEWEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    channel_id: str
    merchant_no: str
    terms: AccountTerms
    version: int
    valid_from: _timestamp_pb2.Timestamp
    newest_version: int
    principal: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, account_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., merchant_no: _Optional[str] = ..., terms: _Optional[_Union[AccountTerms, _Mapping]] = ..., version: _Optional[int] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest_version: _Optional[int] = ..., principal: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateMerchantAccountRequest(_message.Message):
    __slots__ = ("request_id", "account_id", "channel_id", "merchant_no", "terms", "valid_from", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_NO_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    channel_id: str
    merchant_no: str
    terms: AccountTerms
    valid_from: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., merchant_no: _Optional[str] = ..., terms: _Optional[_Union[AccountTerms, _Mapping]] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class MerchantAccountResponse(_message.Message):
    __slots__ = ("proposal", "account")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    proposal: _common_pb2.Proposal
    account: MerchantAccount
    def __init__(self, proposal: _Optional[_Union[_common_pb2.Proposal, _Mapping]] = ..., account: _Optional[_Union[MerchantAccount, _Mapping]] = ...) -> None: ...

class GetMerchantAccountRequest(_message.Message):
    __slots__ = ("account_id",)
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    def __init__(self, account_id: _Optional[str] = ...) -> None: ...

class ListMerchantAccountsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMerchantAccountsResponse(_message.Message):
    __slots__ = ("accounts", "next_page_token")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[MerchantAccount]
    next_page_token: str
    def __init__(self, accounts: _Optional[_Iterable[_Union[MerchantAccount, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateMerchantAccountRequest(_message.Message):
    __slots__ = ("request_id", "account_id", "version", "terms", "valid_from", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    version: int
    terms: AccountTerms
    valid_from: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ..., version: _Optional[int] = ..., terms: _Optional[_Union[AccountTerms, _Mapping]] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListMerchantAccountVersionsRequest(_message.Message):
    __slots__ = ("account_id", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMerchantAccountVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[MerchantAccount]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[MerchantAccount, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SettingLevel(_message.Message):
    __slots__ = ("institution_id", "product_code", "source", "terminal", "method", "all_tenants")
    INSTITUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ALL_TENANTS_FIELD_NUMBER: _ClassVar[int]
    institution_id: str
    product_code: str
    source: str
    terminal: _common_pb2.Terminal
    method: _common_pb2.Method
    all_tenants: bool
    def __init__(self, institution_id: _Optional[str] = ..., product_code: _Optional[str] = ..., source: _Optional[str] = ..., terminal: _Optional[_Union[_common_pb2.Terminal, str]] = ..., method: _Optional[_Union[_common_pb2.Method, str]] = ..., all_tenants: _Optional[bool] = ...) -> None: ...

class Setting(_message.Message):
    __slots__ = ("key", "level", "value", "version", "valid_from")
    KEY_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    key: str
    level: SettingLevel
    value: _struct_pb2.Value
    version: int
    valid_from: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., level: _Optional[_Union[SettingLevel, _Mapping]] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., version: _Optional[int] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SettingKey(_message.Message):
    __slots__ = ("key", "default_value", "about", "choices", "low", "high")
    KEY_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    key: str
    default_value: _struct_pb2.Value
    about: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    low: float
    high: float
    def __init__(self, key: _Optional[str] = ..., default_value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., about: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class SetSettingRequest(_message.Message):
    __slots__ = ("request_id", "key", "level", "value", "version", "valid_from", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    key: str
    level: SettingLevel
    value: _struct_pb2.Value
    version: int
    valid_from: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., key: _Optional[str] = ..., level: _Optional[_Union[SettingLevel, _Mapping]] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., version: _Optional[int] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class SetSettingResponse(_message.Message):
    __slots__ = ("proposal",)
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    proposal: _common_pb2.Proposal
    def __init__(self, proposal: _Optional[_Union[_common_pb2.Proposal, _Mapping]] = ...) -> None: ...

class ListSettingsRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class ListSettingsResponse(_message.Message):
    __slots__ = ("keys", "settings")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[SettingKey]
    settings: _containers.RepeatedCompositeFieldContainer[Setting]
    def __init__(self, keys: _Optional[_Iterable[_Union[SettingKey, _Mapping]]] = ..., settings: _Optional[_Iterable[_Union[Setting, _Mapping]]] = ...) -> None: ...

class ExplainConfigRequest(_message.Message):
    __slots__ = ("order", "key")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    order: SettingLevel
    key: str
    def __init__(self, order: _Optional[_Union[SettingLevel, _Mapping]] = ..., key: _Optional[str] = ...) -> None: ...

class ExplainConfigResponse(_message.Message):
    __slots__ = ("resolutions",)
    class Considered(_message.Message):
        __slots__ = ("value", "level", "version", "fits")
        VALUE_FIELD_NUMBER: _ClassVar[int]
        LEVEL_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        FITS_FIELD_NUMBER: _ClassVar[int]
        value: _struct_pb2.Value
        level: SettingLevel
        version: int
        fits: bool
        def __init__(self, value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., level: _Optional[_Union[SettingLevel, _Mapping]] = ..., version: _Optional[int] = ..., fits: _Optional[bool] = ...) -> None: ...
    class Resolution(_message.Message):
        __slots__ = ("key", "chosen", "passed_over")
        KEY_FIELD_NUMBER: _ClassVar[int]
        CHOSEN_FIELD_NUMBER: _ClassVar[int]
        PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
        key: str
        chosen: ExplainConfigResponse.Considered
        passed_over: _containers.RepeatedCompositeFieldContainer[ExplainConfigResponse.Considered]
        def __init__(self, key: _Optional[str] = ..., chosen: _Optional[_Union[ExplainConfigResponse.Considered, _Mapping]] = ..., passed_over: _Optional[_Iterable[_Union[ExplainConfigResponse.Considered, _Mapping]]] = ...) -> None: ...
    RESOLUTIONS_FIELD_NUMBER: _ClassVar[int]
    resolutions: _containers.RepeatedCompositeFieldContainer[ExplainConfigResponse.Resolution]
    def __init__(self, resolutions: _Optional[_Iterable[_Union[ExplainConfigResponse.Resolution, _Mapping]]] = ...) -> None: ...
