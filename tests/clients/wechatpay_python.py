"""The life of a payment, by the client `wechatpayv3`; only the address that it calls is another."""

import gzip
import hashlib
import json
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from played import WIRES, control, fault, held, refused
from wechatpayv3 import WeChatPay, WeChatPayType

KIND = WIRES["kinds"]["wechatpay"]
ACCOUNT = KIND["accounts"][0]
KEYS = ACCOUNT["values"]
HEARD: list[tuple[dict[str, str], bytes]] = []


class Listener(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        HEARD.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def callback(number: int) -> tuple[dict[str, str], bytes]:
    for _ in range(200):
        if len(HEARD) > number:
            return HEARD[number]
        time.sleep(0.05)
    raise SystemExit(f"   ✗ callback {number} did not come")


def client(notify_url: str, **changes: object) -> WeChatPay:
    keys = {"public_key": KEYS["platform_public_key"], "public_key_id": KEYS["platform_public_key_id"]} | changes
    made = WeChatPay(
        wechatpay_type=WeChatPayType.NATIVE, mchid=ACCOUNT["merchant_no"], cert_serial_no=KEYS["mch_serial_no"],
        appid=KEYS["appid"], notify_url=notify_url,
        **{"private_key": KEYS["mch_private_key"], "apiv3_key": KEYS["apiv3_key"]} | keys,
    )  # fmt: skip
    made._core._gate_way = KIND["base_url"]
    return made


def life(pay: WeChatPay) -> None:
    code, said = pay.pay("车险保费", "life0000001", {"total": 10_000, "currency": "CNY"})
    held("an order is made", code, 200)
    urllib.request.urlopen(json.loads(said)["code_url"], urllib.parse.urlencode({"act": "pay"}).encode())
    headers, body = callback(0)
    told = pay.callback(headers, body)
    held("its callback is verified and opened", told["resource"]["trade_state"], "SUCCESS")
    held("of the amount", told["resource"]["amount"]["total"], 10_000)
    held("a changed callback is refused", pay.callback(headers, body.replace(b"SUCCESS", b"FAILURE")), None)
    code, said = pay.query(out_trade_no="life0000001")
    held("a question tells the same", (code, json.loads(said)["trade_state"]), (200, "SUCCESS"))
    code, said = pay.refund("back1", {"refund": 400, "total": 10_000, "currency": "CNY"}, out_trade_no="life0000001")
    held("a refund is promised", (code, json.loads(said)["status"]), (200, "PROCESSING"))
    control("advance", 60)
    code, said = pay.query_refund("back1")
    held("and done", (code, json.loads(said)["status"]), (200, "SUCCESS"))
    headers, body = callback(1)
    held("its callback too", pay.callback(headers, body)["resource"]["refund_status"], "SUCCESS")
    pay.pay("车险保费", "life0000002", {"total": 10_000, "currency": "CNY"})
    held("an order is closed", pay.close("life0000002")[0], 204)
    code, said = pay.query(out_trade_no="life0000009")
    held("an unknown one is not there", (code, json.loads(said)["code"]), (404, "ORDER_NOT_EXIST"))


def payout(pay: WeChatPay) -> None:
    infos = {"保险产品备案编号": "C0001", "保险名称": "车险", "保险操作单号": "claim1"}
    reported = [{"info_type": name, "info_content": text} for name, text in infos.items()]
    code, said = pay.mch_transfer_bills("claim1", "1004", "o-payee", 200_000, "车险理赔", "李明", None, reported)
    held("a claim is paid to a sealed name", (code, json.loads(said)["state"]), (200, "WAIT_USER_CONFIRM"))
    control("advance", 60)
    code, said = pay.mch_transfer_bills_query(out_bill_no="claim1")
    held("and confirmed", (code, json.loads(said)["state"]), (200, "SUCCESS"))


def statement(pay: WeChatPay) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 28_800))
    control("advance", 2 * 86_400)
    for ask in (pay.trade_bill, pay.fundflow_bill):
        code, said = ask(day)
        said = json.loads(said)
        code, content = pay.download_bill(said["download_url"])
        digest = hashlib.sha1(gzip.decompress(content)).hexdigest()
        held("a statement has the digest that was signed", (code, digest), (200, said["hash_value"]))


def controls(pay: WeChatPay, notify_url: str) -> None:
    for kind in ("ANSWER_BAD_SIGNATURE", "ANSWER_PROBE_SIGNATURE", "ANSWER_NO_SIGNATURE", "ANSWER_OTHER_CERTIFICATE"):
        fault("wechatpay", kind, 1)
        refused(f"{kind} is refused", pay.query, out_trade_no="life0000001")
        fault("wechatpay", kind, 0)
    fault("wechatpay", "ANSWER_NEW_CERTIFICATE", 1)
    code, said = pay.query(out_trade_no="life0000001")
    held("a new certificate is fetched and believed", (code, json.loads(said)["trade_state"]), (200, "REFUND"))
    fault("wechatpay", "ANSWER_NEW_CERTIFICATE", 0)
    other = KIND["accounts"][1]["values"]["mch_private_key"]
    code, said = client(notify_url, private_key=other).query(out_trade_no="life0000001")
    held("another merchant's key signs for nobody else", (code, json.loads(said)["code"]), (401, "SIGN_ERROR"))


def certificates(notify_url: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "platform.pem").write_text(KEYS["platform_certs"])
        pay = client(notify_url, public_key=None, public_key_id=None, cert_dir=directory)
        code, said = pay.query(out_trade_no="life0000001")
        held("with certificates instead of a key", (code, json.loads(said)["trade_state"]), (200, "REFUND"))


if __name__ == "__main__":
    listener = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    notify_url = f"http://127.0.0.1:{listener.server_port}/callbacks/wechatpay"
    pay = client(notify_url)
    life(pay)
    payout(pay)
    controls(pay, notify_url)
    certificates(notify_url)
    statement(pay)
