"""Runs clients that others published against the sandbox's wires, unchanged but for the address that they call.

    python -m tests.clients.run [name ...]

Each client has an environment of its own below `build/clients/`, so that none of them is a dependency of ours, and a
script beside this file that plays one whole life and its negative controls. A script gets the file of the wires as its
argument, prints a line for each thing that held, and ends with 0 if all did.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from ops.deployment import ROOT
from simulator.wire import alone

HERE = Path(__file__).parent
ENVIRONMENTS = ROOT / "build" / "clients"
# A whole life takes seconds; a client that hangs must not hang this.
TIMEOUT_S = 180.0


class Client(NamedTuple):
    """One client: the script that plays with it, and its packages with the versions that it was tried with."""

    script: str
    packages: tuple[str, ...]


CLIENTS = {
    "python-alipay-sdk": Client("alipay_python.py", ("python-alipay-sdk==3.4.0",)),
    "alipay-sdk": Client("alipay_node.mjs", ("alipay-sdk@4.14.0",)),
    "wechatpayv3": Client("wechatpay_python.py", ("wechatpayv3==2.0.4",)),
    "wechatpay-axios-plugin": Client("wechatpay_node.mjs", ("wechatpay-axios-plugin@0.9.6",)),
    # Two libraries of files, for which the bank's envelope is signed beside them.
    "pyiso20022": Client(
        "bank_python.py", ("pyiso20022==1.6.2", "pycamt==1.1.1", "xsdata[lxml]==26.10", "cryptography")
    ),
}


def command(name: str) -> list[str]:
    """Make a client's environment where there is none, and return how to run its script."""
    client, home = CLIENTS[name], ENVIRONMENTS / name
    home.mkdir(parents=True, exist_ok=True)
    if client.script.endswith(".py"):
        python = home / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *client.packages], check=True)
        return [str(python), str(HERE / client.script)]
    subprocess.run(["npm", "install", "--silent", "--prefix", str(home), *client.packages], check=True)
    # Node looks for packages where the script is.
    script = shutil.copy(HERE / client.script, home / client.script)
    return ["node", str(script)]


async def play(name: str, arguments: list[str]) -> bool:
    """Serve the wires, and let one client play against them."""
    with tempfile.TemporaryDirectory() as directory:
        file, stop = Path(directory) / "wires.json", asyncio.Event()
        serving = asyncio.create_task(
            alone.serve(Path(directory), host="127.0.0.1", port=0, seed=7, hub_file=file, stop=stop)
        )
        while not file.exists() and not serving.done():
            await asyncio.sleep(0.05)
        process = await asyncio.create_subprocess_exec(*arguments, str(file))
        try:
            code = await asyncio.wait_for(process.wait(), TIMEOUT_S)
        except TimeoutError:
            process.kill()
            code = await process.wait()
        stop.set()
        await serving
    print(f"{'✓' if code == 0 else '✗'}  {name}")
    return code == 0


def main(names: list[str]) -> int:
    """Play all clients, or those that are named."""
    unknown = set(names) - CLIENTS.keys()
    if unknown:
        print(f"no such client: {', '.join(sorted(unknown))}; there are {', '.join(CLIENTS)}")
        return 2
    results = [asyncio.run(play(name, command(name))) for name in names or CLIENTS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
