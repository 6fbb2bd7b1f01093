"""The Python of docs/calling-paydesk.md, run from top to bottom as a reader would, against a running deployment."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import House

PAGE = Path(__file__).parent.parent.parent / "docs" / "calling-paydesk.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_examples_of_the_guide_work(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAYDESK_TARGET", house.deployment.target)
    monkeypatch.setenv("PAYDESK_KEY", house.shop.key)
    session: dict[str, Any] = {}
    for number, example in enumerate(EXAMPLES):
        exec(compile(example, f"{PAGE.name}[{number}]", "exec"), session)
    session["connection"].close()
    said = capsys.readouterr().out
    assert "STATE_SUCCEEDED" in said
    assert "INVALID_ARGUMENT INVALID_FIELD" in said
    assert "payment.succeeded CAR-" in said
