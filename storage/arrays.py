"""Write columns of values as PostgreSQL array literals: one parameter per column, however many rows.

psycopg2 adapts a Python list element by element, which cost three times the rest of a batch; joining strings does not.
"""

from collections.abc import Iterable, Sequence


def text_array(values: Sequence[str]) -> str:
    """Return e.g. `{"a","b"}`; any character but NUL may occur."""
    if not values:
        return "{}"
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join(value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return '{"' + joined + '"}'


def number_array(values: Iterable[int | None]) -> str:
    """Return e.g. `{1,NULL,3}`; booleans are not numbers here."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def boolean_array(values: Iterable[bool]) -> str:
    """Return e.g. `{t,f}`."""
    return "{" + ",".join("t" if value else "f" for value in values) + "}"


def columns(rows: Sequence[Sequence[object]], kinds: str) -> list[str]:
    """Turn rows into one literal per column; `kinds` has a letter per column: t text, n number, b boolean."""
    writers = {"t": text_array, "n": number_array, "b": boolean_array}
    if not rows:
        return ["{}"] * len(kinds)
    return [writers[kind](column) for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)]  # type: ignore[operator]
