"""A file of rules as finance staff write it, and where it is wrong."""

from pathlib import Path

import pytest
import typer

from ops.rules_commands import read_file

FILE = """plug_ins = ["night"]

[[rules]]
rule_id = "cap"
effect = "LIMIT"
channels = ["up"]
share = 0.3
amount = "100000.00"
per = "HOUR"
when = "true"
"""


def told(tmp_path: Path, text: str) -> str:
    file = tmp_path / "rules.toml"
    file.write_text(text)
    with pytest.raises(typer.BadParameter) as caught:
        read_file(file)
    return str(caught.value).removeprefix(str(file))


def test_a_file_is_read_as_it_goes_over_the_wire(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(FILE)
    assert read_file(file) == {
        "plug_ins": ["night"],
        "rules": [
            {"rule_id": "cap", "priority": 0, "effect": "EFFECT_LIMIT", "when": "true", "channels": ["up"], "weight": 0,
             "limit_bps": 3_000, "limit_minor": 10_000_000, "limit_per": "PERIOD_HOUR"}
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FILE + "  colour = 1", ", line 11, column 3: unknown field colour; known are rule_id"),
        ("rule = 1", ", line 1, column 1: unknown field rule; known are rules, plug_ins"),
        (FILE + "when = 'again'", "Cannot overwrite a value (at "),
        (FILE.replace("0.3", "'a third'"), ", line 3, column 1: rule cap:"),
        (FILE.replace("LIMIT", "CAP"), ", line 3, column 1: rule cap: effect must be one of DENY, ALLOW_ONLY"),
        ("[[rules]]\nrule_id = 'x'", ", line 1, column 1: rule x: 'effect'"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, text: str, words: str) -> None:
    assert words in told(tmp_path, text)
