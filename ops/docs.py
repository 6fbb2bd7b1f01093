"""The parts of the documentation that come from code: drawings of state tables, and tables of settings and refusals.

    python -m ops.docs    writes them into README.md and docs/ again

A block stands between `<!-- generated: NAME -->` and `<!-- /generated -->`. A test compares every block with the code.
"""

import ast
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic_core import PydanticUndefined

from domain import approvals, payments, refunds
from domain.health import HealthPolicy
from domain.permissions import Role
from domain.refusals import Kind
from domain.table import mermaid
from ops.settings import Settings
from servers.identity import ROLES, RULES
from servers.refusals import CODES, RETRYABLE
from simulator.profiles import Profile
from simulator.triggers import BY_AMOUNT_FEN, BY_PAYER
from storage import gauges

ROOT = Path(__file__).parent.parent
# What callers can meet. The sandbox and the templates refuse nothing by themselves.
_REFUSING = ("domain", "storage", "actors", "servers")
_METERED = ("actors", "servers", "ops")
# Messages that are put together where a refusal is made, or that differ by place.
_MESSAGES = {
    "INVALID_FIELD": "every field that breaks a rule, and the rule",
    "NO_ROUTE": "for every channel, why it can't take the order",
    "REQUEST_ID_REUSED": "request_id … was used with other content",
}
_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


class Reason(NamedTuple):
    """One constant that a refusal carries, where a program finds it; `message` has … where values stand."""

    reason: str
    kind: Kind
    message: str


class Meter(NamedTuple):
    """One metric as Prometheus sees it; `name` is that of the family, without `_bucket` and the like."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def reasons() -> list[Reason]:
    """Find every refusal in the code, by reason."""
    found: dict[str, Reason] = {}
    for call, name in _calls(_REFUSING):
        texts = [_text(argument) for argument in call.args]
        if name == "Refusal" and isinstance(call.args[0], ast.Attribute) and texts[1]:
            reason = Reason(texts[1], Kind[call.args[0].attr], texts[2])
        elif name == "not_found" and len(texts) == 2 and texts[0]:
            reason = Reason(texts[0], Kind.NOT_FOUND, texts[1])
        else:
            continue
        found.setdefault(reason.reason, reason._replace(message=_MESSAGES.get(reason.reason, reason.message)))
    return sorted(found.values())


def meters() -> list[Meter]:
    """Find every metric that /metrics can show, by name: those that are counted, and those asked of the tables."""
    found = [Meter(name, "gauge", asked.labels, asked.text) for name, asked in gauges.QUESTIONS.items()]
    for call, name in _calls(_METERED):
        if name not in ("Counter", "Gauge", "Histogram") or len(call.args) < 2 or not _text(call.args[0]):
            continue
        labels = call.args[2].elts if len(call.args) > 2 and isinstance(call.args[2], ast.List) else []
        family, kind = _text(call.args[0]), name.lower()
        if kind == "counter" and not family.endswith("_total"):
            family += "_total"
        found.append(Meter(family, kind, tuple(_text(label) for label in labels), _text(call.args[1])))
    return sorted({meter.name: meter for meter in found}.values())


def _calls(folders: Iterable[str]) -> Iterator[tuple[ast.Call, str]]:
    """Yield every call below some folders with the last part of the called name."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    yield node, node.func.id if isinstance(node.func, ast.Name) else node.func.attr


def _text(node: ast.expr) -> str:
    """Return a literal text, with … for what is filled in; "" for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(text: object) -> str:
    return f"`{text}`" if text != "" else ""


def _payment_states() -> str:
    final = ", ".join(f"`{state}`" for state in payments.State if state in payments.FINAL)
    drawing = mermaid(payments.EDGES, payments.START)
    return f"```mermaid\n{drawing}\n```\n\nFinal, until new evidence says otherwise: {final}."


def _refund_states() -> str:
    final = ", ".join(f"`{state}`" for state in refunds.State if state in refunds.TERMINAL)
    return f"```mermaid\n{mermaid(refunds.EDGES, refunds.START)}\n```\n\nFinal: {final}."


def _approval_states() -> str:
    return f"```mermaid\n{mermaid(approvals.EDGES, approvals.START)}\n```"


def _codes() -> str:
    rows = ((_code(kind), _code(code.name), "yes" if kind in RETRYABLE else "") for kind, code in CODES.items())
    return _table(("kind", "gRPC code", "may simply be repeated"), rows)


def _reasons() -> str:
    rows = ((_code(item.reason), _code(CODES[item.kind].name), item.message) for item in reasons())
    return _table(("reason", "gRPC code", "message"), rows)


def _settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default if field.default is not PydanticUndefined else ""
        shown = "" if default is None or default == "" else str(default).lower() if isinstance(default, bool) else default
        rows.append((_code(f"PAYDESK_{name.upper()}"), _code(shown), field.description))
    return _table(("variable", "default", "what it is"), rows)


def _permissions() -> str:
    by_method: dict[str, list[str]] = {}
    for method, roles in RULES.items():
        by_method[method.removeprefix("/paydesk.v1.")] = sorted(roles)
    return _table(("method", "roles"), ((_code(m), ", ".join(map(_code, r))) for m, r in by_method.items()))


def _matrix() -> str:
    roles = list(Role)
    rows = [
        (_code(method.removeprefix("/paydesk.v1.")), *("ALLOW" if role in needed else "–" for role in roles))
        for method, needed in RULES.items()
    ]
    return _table(("method", *roles), rows)


def _roles() -> str:
    return ", ".join(_code(role) for role in sorted(ROLES)) + "."


def _meters() -> str:
    rows = ((_code(m.name), m.kind, ", ".join(map(_code, m.labels)), m.text) for m in meters())
    return _table(("metric", "kind", "labels", "what it is"), rows)


def _health_policy() -> str:
    return _table(("setting", "default"), ((_code(f.name), _code(f.default)) for f in dataclasses.fields(HealthPolicy)))


def _profile() -> str:
    fields = [field for field in dataclasses.fields(Profile) if field.name != "channel_id"]
    return _table(("field", "default"), ((_code(f.name), _code(f.default)) for f in fields))


def _triggers() -> str:
    amounts = ((f"an amount that ends in {fen:02d} fen", _code(what)) for fen, what in BY_AMOUNT_FEN.items())
    payers = ((f"`payer_ref` is `{payer}`", _code(what)) for payer, what in BY_PAYER.items())
    return _table(("what the caller sends", "what happens"), [*amounts, *payers])


BLOCKS: dict[str, Callable[[], str]] = {
    "payment-states": _payment_states,
    "refund-states": _refund_states,
    "approval-states": _approval_states,
    "codes": _codes,
    "reasons": _reasons,
    "settings": _settings,
    "permissions": _permissions,
    "roles": _roles,
    "permission-matrix": _matrix,
    "metrics": _meters,
    "health-policy": _health_policy,
    "profile": _profile,
    "triggers": _triggers,
}


def refreshed(text: str) -> str:
    """Return a page with every generated block made anew. Raise KeyError for a block that nobody makes."""
    return _BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]]()}\n{block[3]}", text)


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> None:
    """Write the blocks again where they differ."""
    for page in pages():
        text = page.read_text()
        if (fresh := refreshed(text)) != text:
            page.write_text(fresh)
            print(f"written: {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
