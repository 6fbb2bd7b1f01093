"""How far a caller reaches inside its tenant, as a condition on payments."""

from typing import Any

from domain.permissions import EVERYWHERE, Scope


def condition(scope: Scope) -> tuple[str, dict[str, Any]]:
    """Return what must hold of a payment `p` for it to lie within a scope, and the values of the condition."""
    if scope == EVERYWHERE:
        return "true", {}
    reaches, values = [], {}
    for number, reach in enumerate(scope):
        parts = ["true"]
        if reach.institutions:
            parts.append(f"p.institution_id = ANY(:institutions_{number})")
            values[f"institutions_{number}"] = sorted(reach.institutions)
        if reach.products:
            parts.append(f"p.product_code = ANY(:products_{number})")
            values[f"products_{number}"] = sorted(reach.products)
        reaches.append(f"({' AND '.join(parts)})")
    return f"({' OR '.join(reaches) or 'false'})", values
