"""Branches and products: who may sell what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tenancy import CLOSED, DEPTH_MAX, Institution, Product, lineage, placement_refusal, sale_refusal

BRANCHES = {
    "sh": Institution("sh", "", "Shanghai"),
    "sh_pudong": Institution("sh_pudong", "sh", "Pudong"),
    "bj": Institution("bj", "", "Beijing"),
    "old": Institution("old", "", "Gone", CLOSED),
}
PRODUCTS = {
    "AUTO": Product("AUTO", "Motor"),
    "LOCAL": Product("LOCAL", "Shanghai only", frozenset({"sh"})),
    "PAST": Product("PAST", "Not sold any more", state=CLOSED),
}


@pytest.mark.parametrize(
    ("product", "branch", "reason"),
    [
        ("AUTO", "", None),
        ("AUTO", "bj", None),
        ("LOCAL", "sh", None),
        ("LOCAL", "sh_pudong", None),
        ("LOCAL", "bj", "PRODUCT_NOT_BOUND"),
        ("LOCAL", "", "PRODUCT_NOT_BOUND"),
        ("AUTO", "nowhere", "UNKNOWN_INSTITUTION"),
        ("AUTO", "old", "INSTITUTION_CLOSED"),
        ("PAST", "", "PRODUCT_CLOSED"),
        ("NOTHING", "", "UNKNOWN_PRODUCT"),
    ],
)
def test_who_may_sell_what(product: str, branch: str, reason: str | None) -> None:
    refusal = sale_refusal(PRODUCTS, BRANCHES, product_code=product, institution_id=branch)
    assert (refusal.reason if refusal else None) == reason


def test_a_branch_stands_below_none_of_those_below_it() -> None:
    refusal = placement_refusal(BRANCHES, "sh", "sh_pudong")
    assert refusal is not None
    assert refusal.reason == "INSTITUTION_CIRCLE"
    assert placement_refusal(BRANCHES, "sh_pudong", "bj") is None


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(-1, 15)), max_size=60))
def test_whatever_is_moved_where_every_walk_to_the_top_ends_at_the_tenant(moves: list[tuple[int, int]]) -> None:
    branches = {str(number): Institution(str(number), "", "") for number in range(16)}
    for branch, parent in moves:
        parent_id = "" if parent < 0 else str(parent)
        if placement_refusal(branches, str(branch), parent_id) is None:
            branches[str(branch)] = branches[str(branch)]._replace(parent_id=parent_id)
    for branch_id in branches:
        path = list(lineage(branches, branch_id))
        assert len(path) <= DEPTH_MAX
        assert len(set(path)) == len(path)
        assert branches[path[-1]].parent_id == ""
