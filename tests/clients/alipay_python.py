"""The life of a payment, by the client `python-alipay-sdk`; only the address that it calls is another."""

import io
import threading
import time
import urllib.parse
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

from alipay import AliPay, DCAliPay
from played import WIRES, control, fault, held, refused

KIND = WIRES["kinds"]["alipay"]
KEYS, OTHER_KEYS = (account["values"] for account in KIND["accounts"])
HEARD: list[dict[str, str]] = []


class Listener(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        HEARD.append(dict(urllib.parse.parse_qsl(body)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"success")

    def log_message(self, *_: object) -> None:
        pass


def notice(number: int) -> dict[str, str]:
    for _ in range(200):
        if len(HEARD) > number:
            return HEARD[number]
        time.sleep(0.05)
    raise SystemExit(f"   ✗ callback {number} did not come")


def key_mode(notify_url: str, **changes: str) -> AliPay:
    keys = {"app_private_key_string": KEYS["app_private_key"], "alipay_public_key_string": KEYS["alipay_public_key"]}
    made = AliPay(appid=KEYS["app_id"], app_notify_url=notify_url, **(keys | changes))
    made._gateway = f"{KIND['base_url']}/gateway.do"
    return made


def life(ali: AliPay) -> None:
    said = ali.api_alipay_trade_precreate(subject="车险保费", out_trade_no="life1", total_amount="100.00")
    held("a code is made", said["code"], "10000")
    held("nobody has scanned it", ali.api_alipay_trade_query(out_trade_no="life1")["sub_code"], "ACQ.TRADE_NOT_EXIST")
    urllib.request.urlopen(said["qr_code"], urllib.parse.urlencode({"act": "pay"}).encode())
    told = dict(notice(0))
    sign = told.pop("sign")
    held("a changed callback is refused", ali.verify({**told, "total_amount": "1.00"}, sign), False)
    held("its callback is verified", ali.verify(dict(told), sign), True)
    held("of the amount", (told["trade_status"], told["total_amount"]), ("TRADE_SUCCESS", "100.00"))
    said = ali.api_alipay_trade_query(out_trade_no="life1")
    held("a question tells the same", (said["trade_status"], said["total_amount"]), ("TRADE_SUCCESS", "100.00"))
    for change in ("Y", "N"):
        said = ali.api_alipay_trade_refund("4.00", out_trade_no="life1", out_request_no="back1")
        held(f"a refund is taken, fund_change {change}", (said["fund_change"], said["refund_fee"]), (change, "4.00"))
    control("advance", 60)
    said = ali.api_alipay_trade_fastpay_refund_query("back1", out_trade_no="life1")
    held("and done", (said["refund_status"], said["refund_amount"]), ("REFUND_SUCCESS", "4.00"))
    said = ali.api_alipay_trade_refund("96.01", out_trade_no="life1", out_request_no="back2")
    held("no more than there is", said["sub_code"], "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
    held("its callback too", notice(1)["out_biz_no"], "back1")


def pages(ali: AliPay) -> None:
    query = ali.api_alipay_trade_page_pay("车险保费", "page1", "50.00", return_url="http://127.0.0.1:9/back")
    page = urllib.request.urlopen(f"{ali._gateway}?{query}").read().decode()
    held("a page shows what is to be paid", "50.00" in page, True)
    held("its trade waits", ali.api_alipay_trade_query(out_trade_no="page1")["trade_status"], "WAIT_BUYER_PAY")
    held("and is closed", ali.api_alipay_trade_close(out_trade_no="page1")["code"], "10000")
    held("for good", ali.api_alipay_trade_query(out_trade_no="page1")["trade_status"], "TRADE_CLOSED")
    query = ali.api_alipay_trade_wap_pay("车险保费", "wap1", "50.00")
    held("a page for phones", "50.00" in urllib.request.urlopen(f"{ali._gateway}?{query}").read().decode(), True)


def statement(ali: AliPay) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 28_800))
    content = {"bill_type": "trade", "bill_date": day}
    method = "alipay.data.dataservice.bill.downloadurl.query"
    held("no statement of today", ali.server_api(method, content)["sub_code"], "isp.bill_not_exist")
    control("advance", 2 * 86_400)
    file = urllib.request.urlopen(ali.server_api(method, content)["bill_download_url"]).read()
    names = [name.encode("cp437").decode("gbk") for name in zipfile.ZipFile(io.BytesIO(file)).namelist()]
    held("a statement and its summary", [name.rpartition("_")[2] for name in names], ["业务明细.csv", "业务明细(汇总).csv"])


def controls(ali: AliPay, notify_url: str) -> None:
    for kind in ("ANSWER_BAD_SIGNATURE", "ANSWER_NO_SIGNATURE", "ANSWER_OTHER_CERTIFICATE"):
        fault("alipay", kind, 1)
        refused(f"{kind} is refused", ali.api_alipay_trade_query, out_trade_no="life1")
        fault("alipay", kind, 0)
    said = key_mode(notify_url, app_private_key_string=OTHER_KEYS["app_private_key"]).api_alipay_trade_query("life1")
    held("another's key signs for nobody else", said["sub_code"], "isv.invalid-signature")
    deaf = key_mode(notify_url, alipay_public_key_string=OTHER_KEYS["alipay_public_key"])
    refused("an answer is not verified by another key", deaf.api_alipay_trade_query, out_trade_no="life1")


def certificates(notify_url: str) -> None:
    ali = DCAliPay(
        appid=KEYS["app_id"], app_notify_url=notify_url, app_private_key_string=KEYS["app_private_key"],
        app_public_key_cert_string=KEYS["app_cert"], alipay_public_key_cert_string=KEYS["alipay_cert"],
        alipay_root_cert_string=KEYS["alipay_root_cert"],
    )  # fmt: skip
    ali._gateway = f"{KIND['base_url']}/gateway.do"
    said = ali.api_alipay_fund_trans_uni_transfer("claim1", "ALIPAY_LOGON_ID", "payee@example.com", "2000.00", name="李明")
    held("a claim is paid out, in certificate mode", (said["code"], said["status"]), ("10000", "DEALING"))
    control("advance", 60)
    question = {"out_biz_no": "claim1", "product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}
    held("and done", ali.server_api("alipay.fund.trans.common.query", question)["status"], "SUCCESS")


def main() -> None:
    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    notify_url = f"http://127.0.0.1:{server.server_port}/notices"
    ali = key_mode(notify_url)
    life(ali)
    pages(ali)
    controls(ali, notify_url)
    certificates(notify_url)
    statement(ali)


main()
