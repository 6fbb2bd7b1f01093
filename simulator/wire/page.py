"""The page on which a person plays the payer: what is to be paid, and two buttons."""

from collections.abc import Iterable
from html import escape
from urllib.parse import parse_qs

from starlette.requests import Request

from simulator.wire.front import read_body

_PAGE = """<!doctype html>
<html lang="zh"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:16px system-ui;max-width:26em;margin:3em auto;padding:0 1em}}td{{padding:.2em 1em .2em 0}}
button{{font:inherit;padding:.6em 2em;margin-right:1em}}</style></head>
<body><h1>{title}</h1><p>模拟收银台 Sandbox: nobody's money moves here.</p><table>{rows}</table>
<form method="post" action="{action}"><button name="act" value="pay">付款 Pay</button>
<button name="act" value="cancel">取消 Cancel</button></form></body></html>
"""

_FORM = """<!doctype html>
<html><head><meta charset="utf-8"><title>…</title></head><body onload="document.forms[0].submit()">
<form method="post" action="{action}">{fields}<noscript><button>继续 Continue</button></noscript></form></body></html>
"""


def payer_page(title: str, rows: Iterable[tuple[str, str]], *, action: str) -> bytes:
    """Write the page. `action` gets the form field `act`, which is pay or cancel."""
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return _PAGE.format(title=escape(title), rows=cells, action=escape(action)).encode()


async def chosen(request: Request) -> str:
    """Return which button of the page was pressed: pay or cancel, "" for neither."""
    body = await read_body(request)
    return parse_qs(body.decode("latin-1")).get("act", [""])[0]


def posting_page(action: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a page that posts a form by itself, as channels send a browser back to a merchant."""
    inputs = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in fields)
    return _FORM.format(action=escape(action), fields=inputs).encode()
