"""The guide's way to a new channel: begun from the template, filled in, and judged by the suite like any other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ops.channel_commands import LEFT_BEHIND, begin
from ops.deployment import ROOT

# What the developer of the made-up Harbour Bank writes: the bank has its own words for "paid" and "no money".
WORDS = {'"PAID"': '"SETTLED"', '"NO_MONEY"': '"ACCOUNT_EMPTY"'}
SUITE = """
import sys
from pathlib import Path

import channels

sys.path.insert(0, {root!r})
channels.__path__.append({folder!r})

from channels._template.example import ExampleBank
from tests.contract import benches
import channels.harbour_bank.client as client
from channels.harbour_bank.config import HarbourBankConfig


class HarbourBank(ExampleBank):
    WORDS = {{"PAID": "SETTLED", "NO_MONEY": "ACCOUNT_EMPTY"}}

    def _query(self, item, merchant_no):
        return self._in_its_words(super()._query(item, merchant_no))

    def _charge(self, item, merchant_no):
        return self._in_its_words(super()._charge(item, merchant_no))

    def _in_its_words(self, said):
        return said | {{"result": self.WORDS.get(said["result"], said["result"])}}


class HarbourBench(benches.TemplateBench):
    def __init__(self):
        self._bank = HarbourBank(dict(benches.SECRETS))
        self._line = benches._SilentBank(self._bank)
        config = HarbourBankConfig("harbour", benches.SECRETS)
        self.channel = client.HarbourBankChannel(config, self._line)
        self.callbacks = client.HarbourBankCallbacks(config)

    def callback(self, **asked):
        headers, body = super().callback(**asked)
        body = body.replace(b'"PAID"', b'"SETTLED"')
        return self._headers(body, asked["secret"], asked["merchant_no"], asked["time_ms"]), body


from contextlib import asynccontextmanager


@asynccontextmanager
async def harbour(_directory):
    yield HarbourBench()


benches.BENCHES.clear()
benches.BENCHES["harbour_bank"] = harbour
from tests.contract.test_channels import *
"""


def run_suite(folder: Path, *options: str) -> tuple[int, str]:
    """Run the whole contract suite on the channel below `folder`, as its developer would."""
    test = folder / "test_harbour_bank.py"
    test.write_text(SUITE.format(root=str(ROOT), folder=str(folder)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "setup.cfg"), f"--rootdir={folder}",
               "-p", "no:xdist", *options, str(test)]  # fmt: skip
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout


def test_a_channel_that_is_begun_and_filled_in_passes_the_suite_and_a_forgotten_word_does_not(tmp_path: Path) -> None:
    made = begin("harbour_bank", tmp_path)
    assert {path.name for path in made.iterdir()} == {
        path.name for path in (ROOT / "channels" / "_template").glob("*.py") if path.name not in LEFT_BEHIND
    }
    code, out = run_suite(tmp_path, "--exitfirst")
    assert code == 1 and "FAILED" in out, out[-3000:]
    mapping = made / "mapping.py"
    text = mapping.read_text()
    for word, own in WORDS.items():
        assert word in text
        text = text.replace(word, own)
    mapping.write_text(text)
    code, out = run_suite(tmp_path)
    assert code == 0 and out.count(".") > 30, out[-3000:]


@pytest.mark.parametrize("name", ["", "x", "My_Bank", "1bank", "a" * 40, "../bank", "sand box"])
def test_a_name_that_is_none_makes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(typer.BadParameter):
        begin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_channel_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    begin("bank", tmp_path)
    (tmp_path / "bank" / "mapping.py").write_text("mine")
    with pytest.raises(typer.BadParameter):
        begin("bank", tmp_path)
    assert (tmp_path / "bank" / "mapping.py").read_text() == "mine"
