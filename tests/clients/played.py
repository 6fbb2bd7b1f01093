"""What every client in Python is played with: the sandbox's controls, and a line for each thing that held.

The scripts run in environments of their own, so this uses the standard library alone.
"""

import json
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIRES: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())


def control(method: str, *arguments: object) -> None:
    """Have the sandbox do something."""
    url = f"{WIRES['base_url']}/control/{method}"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(arguments).encode()))


def fault(channel_id: str, kind: str, share: float) -> None:
    """Inject a fault, or with a share of 0 take it back."""
    control("inject", {"channel_id": channel_id, "kind": kind, "share": share})


def held(what: str, said: object, expected: object) -> None:
    """Print what holds; end with what does not."""
    if said != expected:
        print(f"   ✗ {what}: {said!r} is not {expected!r}")
        sys.exit(1)
    print(f"   ✓ {what}")


def refused(what: str, ask: Callable[..., object], *arguments: object, **more: object) -> None:
    """Print that something is refused by raising; end if it is not."""
    try:
        answer = ask(*arguments, **more)
    except Exception as error:
        print(f"   ✓ {what}: {type(error).__name__}")
        return
    held(what, answer, None)
