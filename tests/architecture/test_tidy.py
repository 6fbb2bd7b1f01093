"""Style that no linter knows. Each failure says what to do instead."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import modules, nodes, short, texts, tree

FUNCTION_LINES_MAX = 70
# In domain/: what reaches outside, and what to ask for instead.
BANNED_IN_DOMAIN = {
    "time.time": "take now_ms as an argument",
    "time.time_ns": "take now_ms as an argument",
    "time.monotonic": "take now_ms as an argument",
    "datetime.now": "take now_ms as an argument",
    "datetime.utcnow": "take now_ms as an argument",
    "datetime.datetime.now": "take now_ms as an argument",
    "datetime.date.today": "take now_ms as an argument",
    "date.today": "take now_ms as an argument",
    "random.random": "take draw in [0, 1) as an argument",
    "random.choice": "take draw in [0, 1) as an argument",
    "secrets.token_bytes": "take random bytes as an argument",
    "os.urandom": "take random bytes as an argument",
    "uuid.uuid4": "domain.identifiers.identifier makes numbers of time and random bytes",
    "open": "the domain does no I/O: take the content as an argument",
    "print": "return it",
    "os.getenv": "settings are arguments",
}
# In money there is no rounding but where it is meant.
BANNED_WITH_MONEY = {"float": "an amount is an integer count of minor units", "round": "domain.money.share_bps rounds"}
# Everywhere: calls that hide trouble or block a loop.
BANNED_EVERYWHERE = {
    "datetime.utcnow": "it has no zone: datetime.now(tz=datetime.UTC)",
    "eval": "parse it",
    "exec": "import it",
    "os.system": "subprocess.run with a list of arguments",
    "asyncio.get_event_loop": "asyncio.get_running_loop, inside a coroutine",
    "breakpoint": "remove it",
}
BLOCKING = {
    "time.sleep": "await asyncio.sleep",
    "subprocess.run": "asyncio.create_subprocess_exec, or a thread",
    "psycopg2.connect": "Database.run, which has threads for it",
    "requests.get": "httpx.AsyncClient",
}
# A word that has no business in the repository, and why.
UNWANTED = {
    r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b": "do it, or open an issue",
    r"(?<![\w.])/(home|work|root|Users|opt|mnt)/\w": "a path of one machine means nothing on another",
    r"pythonhosted\.org|pypi\.org|index-url|extra-index": "where packages come from is the installer's own setting",
    r"(?i)\b(language model|chatbot|prompted|as an ai)\b": "tell what the product is, not how it was made",
    r"(?i)\bissue #?\d": "tell the reason itself: the reader has no list of issues",
}
UTILITIES = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py", "constants.py", "managers.py"}


def _called(node: ast.Call) -> str:
    try:
        return ast.unparse(node.func)
    except ValueError:
        return ""


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _calls(path: Path, banned: dict[str, str]) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Call) and (instead := banned.get(_called(node))):
            yield f"{short(path)}:{node.lineno}: {_called(node)}: {instead}"


def test_the_domain_reaches_for_nothing() -> None:
    found = [line for path in modules("domain") for line in _calls(path, BANNED_IN_DOMAIN)]
    assert not found, "\n".join(found)


def test_money_is_whole() -> None:
    paths = [path for path in modules("domain", "storage") if path.stem in ("money", "payments", "refunds", "orders")]
    found = [line for path in paths for line in _calls(path, BANNED_WITH_MONEY)]
    assert len(paths) >= 5
    assert not found, "\n".join(found)


def test_nothing_is_called_that_has_a_better_way() -> None:
    allowed = {"tests/end_to_end/test_docs_examples.py"}  # its business is to run what the documents say
    found = [line for path in modules() if short(path) not in allowed for line in _calls(path, BANNED_EVERYWHERE)]
    assert not found, "\n".join(found)


def test_no_coroutine_blocks_its_loop() -> None:
    found = []
    for path in modules("channels", "storage", "actors", "servers", "simulator", "ops"):
        for function in _functions(path):
            if isinstance(function, ast.AsyncFunctionDef):
                for node in _own_nodes(function):
                    if isinstance(node, ast.Call) and (instead := BLOCKING.get(_called(node))):
                        found.append(f"{short(path)}:{node.lineno}: {_called(node)} in a coroutine: {instead}")
    assert not found, "\n".join(found)


def _own_nodes(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Walk a coroutine without the plain functions inside it, which may run elsewhere."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.FunctionDef | ast.Lambda)]


def test_nothing_is_swallowed_in_silence() -> None:
    found = []
    for path in modules():
        for node in nodes(path):
            if isinstance(node, ast.ExceptHandler) and all(isinstance(line, ast.Pass) for line in node.body):
                broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
                if broad:
                    found.append(f"{short(path)}:{node.lineno}: name the exceptions that are expected, and why it is nothing")
    assert not found, "\n".join(found)


def test_functions_are_short() -> None:
    found = []
    for path in modules():
        for function in _functions(path):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                found.append(f"{short(path)}:{function.lineno}: {function.name} has {lines} lines: part it by what it does")
    assert not found, "\n".join(found)


def test_every_file_says_what_it_is() -> None:
    written = (path for path in modules() if path.read_text().strip() or not short(path).startswith("tests/"))
    quiet = [short(path) for path in written if not ast.get_docstring(tree(path))]
    assert not quiet, "begin with a docstring that says what the file holds, and its promises: " + ", ".join(quiet)


@pytest.mark.parametrize(("pattern", "instead"), UNWANTED.items(), ids=["undone", "paths", "hosts", "making", "issues"])
def test_nothing_is_written_that_does_not_belong(pattern: str, instead: str) -> None:
    found = []
    for path in texts():
        if path.name == "test_tidy.py":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if match := re.search(pattern, line):
                found.append(f"{short(path)}:{number}: {match.group()!r}: {instead}")
    assert not found, "\n".join(found)


def test_no_file_is_a_drawer_for_everything() -> None:
    found = [short(path) for path in modules() if path.name in UTILITIES]
    assert not found, f"name a file after what it holds: {', '.join(found)}"


