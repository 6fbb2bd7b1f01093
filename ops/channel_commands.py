"""`paydesk channel`: begin a new channel from the template."""

import re
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Channels as code: begin a new one.", no_args_is_help=True)

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")
# The template's other side stays behind: yours is real.
LEFT_BEHIND = frozenset({"example.py"})


@app.callback()
def _channel() -> None:
    """Keep `new` a sub-command of its own."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the folder and of the kind, such as mybank.")],
    into: Annotated[Path | None, typer.Option(help="Where to put the folder; default: channels/ of this checkout.")] = None,
) -> None:
    """Copy channels/_template to channels/NAME, with its names changed, and tell what to do next."""
    folder = begin(name, into or ROOT / "channels")
    print(f"{folder} holds the five files of a channel. Next:")
    for number, step in enumerate(_STEPS, start=1):
        print(f"  {number}. {step.format(name=name)}")


_STEPS = (
    "fill config.py, signing.py, messages.py, mapping.py and client.py, in this order (docs/adding-a-channel.md)",
    "enter the kind {name!r} in channels/registry.py",
    "give it a bench in tests/contract/benches.py, and run: python -m pytest tests/contract",
)


def begin(name: str, channels: Path) -> Path:
    """Make the folder of a new channel, whole or not at all. Raise typer.BadParameter for a name that will not do."""
    if not NAME.fullmatch(name):
        raise typer.BadParameter(f"{name!r} is no name: 2 to 31 small letters, digits and _, a letter first")
    if not channels.is_dir():
        raise typer.BadParameter(f"there is no folder {channels}")
    folder = channels / name
    if folder.exists():
        raise typer.BadParameter(f"{folder} is there already")
    written = {
        path.name: _renamed(path.read_text(), name)
        for path in sorted((ROOT / "channels" / "_template").glob("*.py"))
        if path.name not in LEFT_BEHIND
    } | {"__init__.py": f'"""The channel {name}."""\n'}
    making = channels / f".{name}.part"
    making.mkdir()
    for file_name, content in written.items():
        (making / file_name).write_text(content)
    making.rename(folder)
    return folder


def _renamed(text: str, name: str) -> str:
    camel = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("channels._template", f"channels.{name}").replace("Template", camel)
