"""The reference of the wire bench: a server that does nothing but HTTP and RSA.

    python -m ops.bench.wire_bare --port P --sample FILE

It answers every request with the bytes of a real answer, and for each it verifies one signature and makes one. The
server is the one under the simulated wires. It looks at nothing that comes: what is signed does not matter to the cost.
"""

import argparse
import asyncio
import json
import re
from pathlib import Path
from typing import Any, NamedTuple, Self

import uvicorn
import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa as algorithm

from channels import rsa
from simulator.wire.server import BACKLOG

# What the server adds by itself.
_ADDED = frozenset({"date", "server"})


class Sample(NamedTuple):
    """One request of a channel as it went over the wire, and the answer to it."""

    request: bytes
    answer_headers: dict[str, str]
    answer: bytes

    @classmethod
    def of(cls, request: bytes, reply: bytes) -> Self:
        """Read what was sent and answered."""
        head, _, answer = reply.partition(b"\r\n\r\n")
        pairs = re.findall(r"^([^:\r\n ]+): *(.*?)\r?$", head.decode("latin-1"), re.MULTILINE)
        return cls(request, {name: value for name, value in pairs if name.lower() not in _ADDED}, answer)

    def text(self) -> str:
        """Return what `read` takes."""
        return json.dumps([self.request.decode("latin-1"), self.answer_headers, self.answer.decode("latin-1")])

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `text` returned."""
        request, answer_headers, answer = json.loads(text)
        return cls(request.encode("latin-1"), answer_headers, answer.encode("latin-1"))

    @property
    def body(self) -> bytes:
        """What was sent after the headers."""
        return self.request.partition(b"\r\n\r\n")[2]


class Party:
    """One side of the bare work: a key, and a signature to verify."""

    def __init__(self) -> None:
        self._key = algorithm.generate_private_key(public_exponent=65537, key_size=2048)
        self._public = self._key.public_key()
        self._known = rsa.sign(self._key, b"")

    async def sign(self, message: bytes) -> None:
        """Make one signature, in a thread."""
        await asyncio.to_thread(rsa.sign, self._key, message)

    def verify(self) -> None:
        """Verify one."""
        assert rsa.verify(self._public, b"", self._known), "it is our own"


async def serve(port: int, sample: Sample) -> None:
    """Serve until killed."""
    party = Party()
    start = {
        "type": "http.response.start", "status": 200,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sample.answer_headers.items()],
    }  # fmt: skip

    async def application(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        party.verify()
        await party.sign(sample.answer)
        await send(start)
        await send({"type": "http.response.body", "body": sample.answer})

    config = uvicorn.Config(
        application, port=port, http="httptools", log_config=None, access_log=False, lifespan="off", backlog=BACKLOG
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Serve HTTP and RSA alone.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sample", type=Path, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.port, Sample.read(options.sample.read_text(encoding="ascii"))))


if __name__ == "__main__":
    main()
