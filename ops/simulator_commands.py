"""`paydesk simulator`: the sandbox alone, with the channels' real wires."""

import asyncio
import errno
import logging
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The sandbox alone: Alipay and others as their own clients know them.", no_args_is_help=True)


@app.callback()
def simulator() -> None:
    """Hold the sub-commands."""


@app.command()
def serve(
    credentials: Annotated[Path, typer.Option(help="File to write: addresses, numbers and keys, as JSON.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of HTTP; 0 chooses a free one.")] = 7720,
    seed: Annotated[int, typer.Option(help="What chance begins with.")] = 1,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data_dir: Annotated[
        Path | None, typer.Option(help="Where keys and ledger are kept; default: a new one that is removed at the end.")
    ] = None,
) -> None:
    """Serve the wires until Ctrl-C or SIGTERM, and write what a client needs to speak to them."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="paydesk-simulator-") as scratch:
        asyncio.run(_serve(data_dir or Path(scratch), host, port, seed, credentials))


async def _serve(directory: Path, host: str, port: int, seed: int, credentials: Path) -> None:
    from ops.mistakes import CannotStart
    from simulator.wire import alone

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    def ready(base_url: str) -> None:
        print(f"serving {base_url}; {credentials} says how to speak to it; Ctrl-C stops", flush=True)

    try:
        await alone.serve(directory, host=host, port=port, seed=seed, hub_file=credentials, stop=stop, ready=ready)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES) or error.filename:
            raise
        told = f"port {port} on {host} cannot be had ({error.strerror}): choose another with --port, or 0 for a free one"
        raise CannotStart(told) from error
