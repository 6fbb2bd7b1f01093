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
    __slots__ = ("order_no", "product_code", "amount", "method", "terminal", "source", "payer_ref", "rule_set_id")
    ORDER_NO_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PAYER_REF_FIELD_NUMBER: _ClassVar[int]
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    order_no: str
    product_code: str
    amount: _common_pb2.Money
    method: _common_pb2.Method
    terminal: _common_pb2.Terminal
    source: str
    payer_ref: str
    rule_set_id: str
    def __init__(self, order_no: _Optional[str] = ..., product_code: _Optional[str] = ..., amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., method: _Optional[_Union[_common_pb2.Method, str]] = ..., terminal: _Optional[_Union[_common_pb2.Terminal, str]] = ..., source: _Optional[str] = ..., payer_ref: _Optional[str] = ..., rule_set_id: _Optional[str] = ...) -> None: ...

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
        APPROACH_STICKY: _ClassVar[RoutingDecision.Approach]
    APPROACH_UNSPECIFIED: RoutingDecision.Approach
    APPROACH_SCORE: RoutingDecision.Approach
    APPROACH_RULE: RoutingDecision.Approach
    APPROACH_FORCED: RoutingDecision.Approach
    APPROACH_EXPLORE: RoutingDecision.Approach
    APPROACH_FALLBACK: RoutingDecision.Approach
    APPROACH_FAIL_OVER: RoutingDecision.Approach
    APPROACH_STICKY: RoutingDecision.Approach
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

class Rule(_message.Message):
    __slots__ = ("rule_id", "priority", "effect", "when", "channels", "weight", "limit_bps", "limit_minor", "limit_per")
    class Effect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        EFFECT_UNSPECIFIED: _ClassVar[Rule.Effect]
        EFFECT_DENY: _ClassVar[Rule.Effect]
        EFFECT_ALLOW_ONLY: _ClassVar[Rule.Effect]
        EFFECT_BOOST: _ClassVar[Rule.Effect]
        EFFECT_FORCE: _ClassVar[Rule.Effect]
        EFFECT_LIMIT: _ClassVar[Rule.Effect]
    EFFECT_UNSPECIFIED: Rule.Effect
    EFFECT_DENY: Rule.Effect
    EFFECT_ALLOW_ONLY: Rule.Effect
    EFFECT_BOOST: Rule.Effect
    EFFECT_FORCE: Rule.Effect
    EFFECT_LIMIT: Rule.Effect
    class Period(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PERIOD_UNSPECIFIED: _ClassVar[Rule.Period]
        PERIOD_HOUR: _ClassVar[Rule.Period]
        PERIOD_DAY: _ClassVar[Rule.Period]
    PERIOD_UNSPECIFIED: Rule.Period
    PERIOD_HOUR: Rule.Period
    PERIOD_DAY: Rule.Period
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BPS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MINOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_PER_FIELD_NUMBER: _ClassVar[int]
    rule_id: str
    priority: int
    effect: Rule.Effect
    when: str
    channels: _containers.RepeatedScalarFieldContainer[str]
    weight: float
    limit_bps: int
    limit_minor: int
    limit_per: Rule.Period
    def __init__(self, rule_id: _Optional[str] = ..., priority: _Optional[int] = ..., effect: _Optional[_Union[Rule.Effect, str]] = ..., when: _Optional[str] = ..., channels: _Optional[_Iterable[str]] = ..., weight: _Optional[float] = ..., limit_bps: _Optional[int] = ..., limit_minor: _Optional[int] = ..., limit_per: _Optional[_Union[Rule.Period, str]] = ...) -> None: ...

class RuleSet(_message.Message):
    __slots__ = ("rule_set_id", "state", "version", "revision", "rules", "plug_ins", "note", "author", "create_time", "update_time", "publish_time", "difference", "rule_count")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[RuleSet.State]
        STATE_DRAFT: _ClassVar[RuleSet.State]
        STATE_IN_FORCE: _ClassVar[RuleSet.State]
        STATE_RETIRED: _ClassVar[RuleSet.State]
    STATE_UNSPECIFIED: RuleSet.State
    STATE_DRAFT: RuleSet.State
    STATE_IN_FORCE: RuleSet.State
    STATE_RETIRED: RuleSet.State
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    PLUG_INS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    RULE_COUNT_FIELD_NUMBER: _ClassVar[int]
    rule_set_id: str
    state: RuleSet.State
    version: int
    revision: int
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    plug_ins: _containers.RepeatedScalarFieldContainer[str]
    note: str
    author: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    publish_time: _timestamp_pb2.Timestamp
    difference: _containers.RepeatedScalarFieldContainer[str]
    rule_count: int
    def __init__(self, rule_set_id: _Optional[str] = ..., state: _Optional[_Union[RuleSet.State, str]] = ..., version: _Optional[int] = ..., revision: _Optional[int] = ..., rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., plug_ins: _Optional[_Iterable[str]] = ..., note: _Optional[str] = ..., author: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., publish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., difference: _Optional[_Iterable[str]] = ..., rule_count: _Optional[int] = ...) -> None: ...

class ListRuleSetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRuleSetsResponse(_message.Message):
    __slots__ = ("rule_sets", "next_page_token")
    RULE_SETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rule_sets: _containers.RepeatedCompositeFieldContainer[RuleSet]
    next_page_token: str
    def __init__(self, rule_sets: _Optional[_Iterable[_Union[RuleSet, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetRuleSetRequest(_message.Message):
    __slots__ = ("rule_set_id",)
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    rule_set_id: str
    def __init__(self, rule_set_id: _Optional[str] = ...) -> None: ...

class CreateRuleSetDraftRequest(_message.Message):
    __slots__ = ("request_id", "rules", "plug_ins", "note")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    PLUG_INS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    plug_ins: _containers.RepeatedScalarFieldContainer[str]
    note: str
    def __init__(self, request_id: _Optional[str] = ..., rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., plug_ins: _Optional[_Iterable[str]] = ..., note: _Optional[str] = ...) -> None: ...

class UpdateRuleSetDraftRequest(_message.Message):
    __slots__ = ("request_id", "rule_set_id", "revision", "rules", "plug_ins", "note")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    PLUG_INS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    rule_set_id: str
    revision: int
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    plug_ins: _containers.RepeatedScalarFieldContainer[str]
    note: str
    def __init__(self, request_id: _Optional[str] = ..., rule_set_id: _Optional[str] = ..., revision: _Optional[int] = ..., rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., plug_ins: _Optional[_Iterable[str]] = ..., note: _Optional[str] = ...) -> None: ...

class CheckRuleSetRequest(_message.Message):
    __slots__ = ("rule_set_id",)
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    rule_set_id: str
    def __init__(self, rule_set_id: _Optional[str] = ...) -> None: ...

class CheckRuleSetResponse(_message.Message):
    __slots__ = ("sound", "findings", "tried_order_count")
    class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SEVERITY_UNSPECIFIED: _ClassVar[CheckRuleSetResponse.Severity]
        SEVERITY_ERROR: _ClassVar[CheckRuleSetResponse.Severity]
        SEVERITY_WARNING: _ClassVar[CheckRuleSetResponse.Severity]
    SEVERITY_UNSPECIFIED: CheckRuleSetResponse.Severity
    SEVERITY_ERROR: CheckRuleSetResponse.Severity
    SEVERITY_WARNING: CheckRuleSetResponse.Severity
    class Finding(_message.Message):
        __slots__ = ("severity", "rule_id", "field", "line", "column", "text")
        SEVERITY_FIELD_NUMBER: _ClassVar[int]
        RULE_ID_FIELD_NUMBER: _ClassVar[int]
        FIELD_FIELD_NUMBER: _ClassVar[int]
        LINE_FIELD_NUMBER: _ClassVar[int]
        COLUMN_FIELD_NUMBER: _ClassVar[int]
        TEXT_FIELD_NUMBER: _ClassVar[int]
        severity: CheckRuleSetResponse.Severity
        rule_id: str
        field: str
        line: int
        column: int
        text: str
        def __init__(self, severity: _Optional[_Union[CheckRuleSetResponse.Severity, str]] = ..., rule_id: _Optional[str] = ..., field: _Optional[str] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...
    SOUND_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    TRIED_ORDER_COUNT_FIELD_NUMBER: _ClassVar[int]
    sound: bool
    findings: _containers.RepeatedCompositeFieldContainer[CheckRuleSetResponse.Finding]
    tried_order_count: int
    def __init__(self, sound: _Optional[bool] = ..., findings: _Optional[_Iterable[_Union[CheckRuleSetResponse.Finding, _Mapping]]] = ..., tried_order_count: _Optional[int] = ...) -> None: ...

class SimulateRuleSetRequest(_message.Message):
    __slots__ = ("rule_set_id", "order_count")
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_COUNT_FIELD_NUMBER: _ClassVar[int]
    rule_set_id: str
    order_count: int
    def __init__(self, rule_set_id: _Optional[str] = ..., order_count: _Optional[int] = ...) -> None: ...

class RouteComparison(_message.Message):
    __slots__ = ("order_count", "moved_count", "unrouted_before", "unrouted_after", "success_before", "success_after", "fees", "channels", "examples", "rule_faults", "text")
    class ChannelShare(_message.Message):
        __slots__ = ("channel_id", "before", "after", "moved_in", "moved_out")
        CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
        BEFORE_FIELD_NUMBER: _ClassVar[int]
        AFTER_FIELD_NUMBER: _ClassVar[int]
        MOVED_IN_FIELD_NUMBER: _ClassVar[int]
        MOVED_OUT_FIELD_NUMBER: _ClassVar[int]
        channel_id: str
        before: float
        after: float
        moved_in: float
        moved_out: float
        def __init__(self, channel_id: _Optional[str] = ..., before: _Optional[float] = ..., after: _Optional[float] = ..., moved_in: _Optional[float] = ..., moved_out: _Optional[float] = ...) -> None: ...
    class Fees(_message.Message):
        __slots__ = ("currency_code", "before_minor", "after_minor")
        CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
        BEFORE_MINOR_FIELD_NUMBER: _ClassVar[int]
        AFTER_MINOR_FIELD_NUMBER: _ClassVar[int]
        currency_code: str
        before_minor: int
        after_minor: int
        def __init__(self, currency_code: _Optional[str] = ..., before_minor: _Optional[int] = ..., after_minor: _Optional[int] = ...) -> None: ...
    class MovedOrder(_message.Message):
        __slots__ = ("order_no", "product_code", "amount", "before_channel_id", "after_channel_id", "rule_id")
        ORDER_NO_FIELD_NUMBER: _ClassVar[int]
        PRODUCT_CODE_FIELD_NUMBER: _ClassVar[int]
        AMOUNT_FIELD_NUMBER: _ClassVar[int]
        BEFORE_CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
        AFTER_CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
        RULE_ID_FIELD_NUMBER: _ClassVar[int]
        order_no: str
        product_code: str
        amount: _common_pb2.Money
        before_channel_id: str
        after_channel_id: str
        rule_id: str
        def __init__(self, order_no: _Optional[str] = ..., product_code: _Optional[str] = ..., amount: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., before_channel_id: _Optional[str] = ..., after_channel_id: _Optional[str] = ..., rule_id: _Optional[str] = ...) -> None: ...
    class RuleFaultsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ORDER_COUNT_FIELD_NUMBER: _ClassVar[int]
    MOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNROUTED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    UNROUTED_AFTER_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_AFTER_FIELD_NUMBER: _ClassVar[int]
    FEES_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    RULE_FAULTS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    order_count: int
    moved_count: float
    unrouted_before: float
    unrouted_after: float
    success_before: float
    success_after: float
    fees: _containers.RepeatedCompositeFieldContainer[RouteComparison.Fees]
    channels: _containers.RepeatedCompositeFieldContainer[RouteComparison.ChannelShare]
    examples: _containers.RepeatedCompositeFieldContainer[RouteComparison.MovedOrder]
    rule_faults: _containers.ScalarMap[str, int]
    text: str
    def __init__(self, order_count: _Optional[int] = ..., moved_count: _Optional[float] = ..., unrouted_before: _Optional[float] = ..., unrouted_after: _Optional[float] = ..., success_before: _Optional[float] = ..., success_after: _Optional[float] = ..., fees: _Optional[_Iterable[_Union[RouteComparison.Fees, _Mapping]]] = ..., channels: _Optional[_Iterable[_Union[RouteComparison.ChannelShare, _Mapping]]] = ..., examples: _Optional[_Iterable[_Union[RouteComparison.MovedOrder, _Mapping]]] = ..., rule_faults: _Optional[_Mapping[str, int]] = ..., text: _Optional[str] = ...) -> None: ...

class PublishRuleSetRequest(_message.Message):
    __slots__ = ("request_id", "rule_set_id", "revision", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    rule_set_id: str
    revision: int
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., rule_set_id: _Optional[str] = ..., revision: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class RollBackRuleSetRequest(_message.Message):
    __slots__ = ("request_id", "rule_set_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    rule_set_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., rule_set_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PublishRuleSetResponse(_message.Message):
    __slots__ = ("proposal", "rule_set", "simulation")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    RULE_SET_FIELD_NUMBER: _ClassVar[int]
    SIMULATION_FIELD_NUMBER: _ClassVar[int]
    proposal: _common_pb2.Proposal
    rule_set: RuleSet
    simulation: RouteComparison
    def __init__(self, proposal: _Optional[_Union[_common_pb2.Proposal, _Mapping]] = ..., rule_set: _Optional[_Union[RuleSet, _Mapping]] = ..., simulation: _Optional[_Union[RouteComparison, _Mapping]] = ...) -> None: ...

class ReplayDecisionsRequest(_message.Message):
    __slots__ = ("rule_set_id", "start_time", "end_time", "order_count")
    RULE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ORDER_COUNT_FIELD_NUMBER: _ClassVar[int]
    rule_set_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    order_count: int
    def __init__(self, rule_set_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., order_count: _Optional[int] = ...) -> None: ...

class ReplayDecisionsResponse(_message.Message):
    __slots__ = ("comparison", "until_time", "done")
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    comparison: RouteComparison
    until_time: _timestamp_pb2.Timestamp
    done: bool
    def __init__(self, comparison: _Optional[_Union[RouteComparison, _Mapping]] = ..., until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., done: _Optional[bool] = ...) -> None: ...
