"""What the tests of the wires share: the sandbox served alone, with keys made once, and clients written from manuals."""

import asyncio
import base64
import functools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from simulator.wire import alone


@functools.cache
def world_keys() -> Path:
    """Return a directory with the accounts' keys, made once: they take seconds."""
    directory = Path(tempfile.gettempdir()) / f"paydesk-wire-keys-{Path(alone.__file__).stat().st_ino}"
    alone.all_accounts(directory)
    return directory


@asynccontextmanager
async def served(directory: Path, *, seed: int = 7) -> AsyncIterator[tuple[dict[str, Any], httpx.AsyncClient]]:
    """Serve the wires on a free port; give what the hub's file says, and a client."""
    shutil.copytree(world_keys(), directory, dirs_exist_ok=True)
    file, stop = directory / "made" / "hub.json", asyncio.Event()
    serving = asyncio.create_task(alone.serve(directory, host="127.0.0.1", port=0, seed=seed, hub_file=file, stop=stop))
    while not file.exists() and not serving.done():
        await asyncio.sleep(0.01)
    if serving.done():
        serving.result()
    wires = json.loads(file.read_text())
    async with httpx.AsyncClient(base_url=wires["base_url"], trust_env=False, verify=False, timeout=10) as http:
        try:
            yield wires, http
        finally:
            stop.set()
            await serving


class AlipayClient:
    """A merchant of Alipay in key mode, as the manual has it."""

    def __init__(self, wires: dict[str, Any], http: httpx.AsyncClient, account: int = 0) -> None:
        self.wires = wires
        self.wires_text = json.dumps(wires)
        self.http = http
        self.base_url = wires["kinds"]["alipay"]["base_url"]
        chosen = wires["kinds"]["alipay"]["accounts"][account]
        self.merchant_no = chosen["merchant_no"]
        self.values = chosen["values"]
        self._key = serialization.load_pem_private_key(self.values["app_private_key"].encode(), None)
        self._alipay = serialization.load_pem_public_key(self.values["alipay_public_key"].encode())

    async def control(self, method: str, *arguments: Any) -> Any:
        reply = await self.http.post(f"/control/{method}", json=arguments)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def signed(
        self, method: str, /, params: dict[str, str] | None = None, **content: Any
    ) -> tuple[str, dict[str, str]]:
        """Return address and form of a request."""
        form = {
            "app_id": self.values["app_id"], "method": method, "charset": "utf-8", "sign_type": "RSA2",
            "timestamp": "2026-11-24 10:00:00", "version": "1.0", "biz_content": json.dumps(content),
        } | (params or {})  # fmt: skip
        text = "&".join(f"{name}={form[name]}" for name in sorted(form) if form[name])
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())  # type: ignore[union-attr,call-arg,arg-type]
        return f"{self.base_url}/gateway.do", form | {"sign": base64.b64encode(signature).decode()}

    async def ask(self, method: str, /, params: dict[str, str] | None = None, **content: Any) -> dict[str, Any]:
        """Ask, verify the answer's signature over its exact text, and return it."""
        url, form = self.signed(method, params, **content)
        text = (await self.http.post(url, data=form)).text
        return self.verified(text, method)

    def verified(self, text: str, method: str) -> dict[str, Any]:
        begin = text.index(":") + 1
        assert text[:begin] == f'{{"{method.replace(".", "_")}_response":'
        inner, end = json.JSONDecoder().raw_decode(text, begin)
        signature = base64.b64decode(json.loads(text)["sign"])
        self._alipay.verify(signature, text[begin:end].encode(), padding.PKCS1v15(), hashes.SHA256())  # type: ignore[union-attr,call-arg,arg-type]
        return dict(inner)
