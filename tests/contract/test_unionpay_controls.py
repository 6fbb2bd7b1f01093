"""Broken in one way each, UnionPay's folder fails the suite: so that its passing means something."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from channels.unionpay import client, mapping, messages
from channels.unionpay.signing import Trust
from domain.evidence import Outcome
from tests.contract.benches import BENCHES
from tests.contract.test_channels import TestChannelContract as Suite

Break = Callable[[pytest.MonkeyPatch], None]


def believes_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Trust, "verify", lambda *_, **__: True)


def takes_taken_in_for_done(patch: pytest.MonkeyPatch) -> None:
    genuine = mapping.request_answer

    def read(*arguments: Any, **options: Any) -> Any:
        answer = genuine(*arguments, **options)
        return answer._replace(outcome=Outcome.DONE) if answer.outcome is Outcome.ACCEPTED else answer

    patch.setattr(mapping, "request_answer", read)


def forgets_the_number(patch: pytest.MonkeyPatch) -> None:
    genuine, count = messages.consume, iter(range(10_000, 99_999))

    def write(*arguments: Any, **options: Any) -> Any:
        fields = genuine(*arguments, **options)
        return fields | {"orderId": f"{fields['orderId'][:-5]}{next(count)}"}

    patch.setattr(messages, "consume", write)


def reads_any_code_as_a_no(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mapping, "_spoke_unknown", lambda number: client.Answer(number, Outcome.REJECTED))


BROKEN: dict[str, tuple[Break, str, dict[str, Any]]] = {
    "believes every answer": (believes_everybody, "test_a_bad_signature_proves_nothing", {"operation": "charge"}),
    "believes every notice": (believes_everybody, "test_a_forged_callback_is_refused", {}),
    "takes taken in for done": (takes_taken_in_for_done, "test_a_refund_is_proved_by_a_question_alone", {}),
    "sends another number each time": (forgets_the_number, "test_the_same_number_charges_once", {}),
    "reads any code as a no": (
        reads_any_code_as_a_no, "test_an_unknown_word_proves_nothing_and_is_seen", {"operation": "charge"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_a_broken_folder_fails(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it, promise, arguments = BROKEN[name]
    async with BENCHES["unionpay"](tmp_path) as bench:
        break_it(monkeypatch)
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await getattr(Suite(), promise)(bench=bench, **arguments)
