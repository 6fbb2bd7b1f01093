"""Documents say what is true: files that they name exist, tables are those of the code, examples are sound."""

import functools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from typer.main import get_command

from ops import docs
from ops.bench.cli import app as bench_app
from ops.cli import app
from servers.grpc_server import SERVICES
from simulator.faults import Kind
from tests.architecture.sources import ROOT

PAGES = docs.pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
# A file or folder in backticks: it has a slash or a suffix that we use.
NAMED = re.compile(r"`([\w.-]+(?:/[\w.-]*)+|[\w-]+\.(?:py|toml|cfg|md|proto|yml))`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([\w-]+))?\)")
# Made when it runs, or one in every channel's folder.
NOT_FILES = re.compile(
    r"^\.paydesk|^paydesk-ray|^build/|^path/to/|^google/|^(config|client|signing|messages|mapping|example|test_suite_itself)\.py$"
    r"|^channels/<name>|^(Payments|Channels|Routing|Events|Simulator|Audit|Approvals|Identity|Tenants|Credentials)/|^/|^benches\.py$"
)
METHODS = {
    f"{service.name}/{method.name}": method.input_type
    for module in SERVICES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
# Words of PromQL.
PROMQL = {"sum", "max", "by", "rate", "increase", "histogram_quantile", "offset", "absent", "le", "and", "or", "unless"}


def _fences(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_named_files_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    named = {name for name in NAMED.findall(text) if not NOT_FILES.search(name)}
    missing = [name for name in named if not (ROOT / name).exists() and not (page.parent / name).exists()]
    assert not missing, f"named and not there: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        path = (page.parent / target).resolve()
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}
            assert heading in anchors, f"{target}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_generated_tables_are_those_of_the_code(page: Path) -> None:
    assert docs.refreshed(page.read_text()) == page.read_text(), "run python -m ops.docs, and commit what it writes"


def test_every_generated_table_is_shown() -> None:
    shown = set(re.findall(r"<!-- generated: ([a-z-]+) -->", "".join(page.read_text() for page in PAGES)))
    assert shown == docs.BLOCKS.keys()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_examples_compile(page: Path) -> None:
    for number, example in enumerate(_fences(page, "python")):
        compile(example, f"{page.name}[{number}]", "exec")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_calls_in_examples_are_calls_of_the_wire(page: Path) -> None:
    for example in _fences(page, "sh", "console"):
        for line in example.splitlines():
            words = shlex.split(line.partition("$(")[0], comments=True)
            if words[:2] == ["paydesk", "call"]:
                message = GetMessageClass(METHODS[words[2]])()
                json_format.Parse(words[3] if len(words) > 3 else "{}", message)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_exist(page: Path) -> None:
    known = get_command(app).commands
    inner = {name: set(getattr(command, "commands", {})) for name, command in known.items()}
    inner["bench"] = set(get_command(bench_app).commands)
    text = page.read_text()
    shown = re.findall(r"`paydesk ([a-z-]+) ?([a-z-]*)", text) + re.findall(r"^ *paydesk ([a-z-]+) ?([a-z-]*)", text, re.MULTILINE)
    for verb, second in shown:
        assert verb in known, f"paydesk {verb}"
        assert not inner[verb] or not second or second in inner[verb], f"paydesk {verb} {second}"


def test_the_readme_shows_every_folder() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in ("protos", "domain", "channels", "storage", "actors", "servers", "simulator", "ops", "tests"):
        assert f"| `{folder}/` |" in readme
    for command in ("make run", "make test"):
        assert command in readme


def test_the_life_of_a_payment_names_a_file_in_each_sentence() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "life-of-a-payment.md"):
        sentences = re.findall(r"^\d\. .*?(?=^\d\. |^$)", page.read_text(), re.MULTILINE | re.DOTALL)
        assert len(sentences) == 6
        assert all(re.search(r"`[a-z]+/[\w/]+\.py`", sentence) for sentence in sentences)


def test_every_fault_of_the_sandbox_is_told() -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text()
    assert not [kind for kind in Kind if f"`{kind}`" not in text]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_is_a_page_with_one_sentence_to_quote(page: Path) -> None:
    text = page.read_text()
    assert re.match(rf"# {int(page.stem[:4])}\. ", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(re.findall(r"^\*\*.+\*\*$", text, re.MULTILINE)) == 1
    assert len(text) < 3_000


# --- alerts and dashboards ---------------------------------------------------------------------------------------------


@functools.cache
def _known_samples() -> dict[str, set[str]]:
    """Return every sample that /metrics can show, with its labels."""
    samples: dict[str, set[str]] = {}
    for meter in docs.meters():
        labels = set(meter.labels)
        if meter.kind == "histogram":
            samples |= {f"{meter.name}_{end}": labels | {"le"} for end in ("bucket", "sum", "count")}
        else:
            samples[meter.name] = labels
    return samples


def _queries() -> dict[str, str]:
    rules = yaml.safe_load((ROOT / "ops" / "prometheus" / "rules.yml").read_text())
    found = {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    board: dict[str, Any] = json.loads((ROOT / "ops" / "grafana" / "paydesk.json").read_text())
    for panel in board["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    return found


@pytest.mark.parametrize(("name", "query"), _queries().items(), ids=_queries().keys())
def test_alerts_and_panels_ask_for_metrics_that_exist(name: str, query: str) -> None:
    known = _known_samples()
    bare = re.sub(r"\[[^]]*\]|by \([^)]*\)|\{[^}]*\}|offset \w+", " ", query)
    asked = {word for word in re.findall(r"[a-z_]+", bare) if word not in PROMQL}
    assert asked, name
    assert asked <= known.keys()
    labels = set(re.findall(r"(\w+)\s*[!=]~?=?\s*\"", query)) | {
        label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")
    }
    assert labels <= set().union(*(known[sample] for sample in asked))


def test_alerts_say_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "ops" / "prometheus" / "rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert {"summary", "action"} <= rule["annotations"].keys()
            assert rule["labels"]["severity"] in ("page", "ticket")
