"""Files to a bank and back, by the library `pyiso20022`, and the bank's statements by `pycamt`.

A bank's own envelope, HTTP with a signature, is in no library: it is written here once more, apart from ours.
"""

import base64
import time
import urllib.error
import urllib.request
from decimal import Decimal
from types import ModuleType
from typing import Any

import pyiso20022.camt.camt_053_001_08 as camt053
import pyiso20022.camt.camt_054_001_08 as camt054
import pyiso20022.pain.pain_001_001_09 as pain001
import pyiso20022.pain.pain_002_001_12 as pain002
import pyiso20022.pain.pain_008_001_09 as pain008
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from played import WIRES, control, fault, held, refused
from pycamt.parser import Camt053Parser
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.models.datatype import XmlDate, XmlDateTime

KIND = WIRES["kinds"]["iso20022"]
CUSTOMER, STRANGER = KIND["accounts"]
SPACE = "urn:iso:std:iso:20022:tech:xsd:"


# --- the envelope ----------------------------------------------------------------------------------------------------


def send(path: str, body: bytes = b"", *, keys: dict[str, str] = CUSTOMER["values"]) -> tuple[int, bytes]:
    """Ask the bank, signed by a customer's key; raise InvalidSignature for an answer that the bank has not signed."""
    target, now_s = f"/iso20022{path}", str(int(time.time()))
    key = serialization.load_pem_private_key(keys["sign_private_key"].encode(), None)
    signature = key.sign(message(target, now_s, body), padding.PKCS1v15(), hashes.SHA256())
    headers = {
        "bank-customer": CUSTOMER["merchant_no"], "bank-time": now_s, "bank-signature": base64.b64encode(signature).decode()
    }  # fmt: skip
    url = f"{WIRES['base_url']}{target}"
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url, body or None, headers))
    except urllib.error.HTTPError as error:
        reply = error
    content = reply.read()
    if reply.status != 401:
        bank = serialization.load_pem_public_key(CUSTOMER["values"]["bank_public_key"].encode())
        sealed = base64.b64decode(reply.headers.get("bank-signature", ""))
        bank.verify(sealed, message(target, reply.headers.get("bank-time", ""), content), padding.PKCS1v15(), hashes.SHA256())
    return reply.status, content


def message(target: str, time_text: str, body: bytes) -> bytes:
    return f"{target}\n{time_text}\n".encode() + body


def report(content: bytes) -> Any:
    """Read a pain.002. What is in no schema is an error to the parser."""
    return XmlParser().from_bytes(content, pain002.Document).cstmr_pmt_sts_rpt


def group_status(content: bytes) -> tuple[str, str]:
    group = report(content).orgnl_grp_inf_and_sts
    return group.grp_sts, group.sts_rsn_inf[0].rsn.cd if group.sts_rsn_inf else ""


# --- the files -------------------------------------------------------------------------------------------------------


def party(schema: ModuleType, name: str) -> Any:
    return schema.PartyIdentification135(nm=name)


def account(schema: ModuleType, number: str) -> Any:
    other = schema.GenericAccountIdentification1(id=number)
    return schema.CashAccount38(id=schema.AccountIdentification4Choice(othr=other))


def agent(schema: ModuleType, bank_code: str) -> Any:
    system = schema.ClearingSystemIdentification2Choice(cd="CNAPS")
    member = schema.ClearingSystemMemberIdentification2(clr_sys_id=system, mmb_id=bank_code)
    institution = schema.FinancialInstitutionIdentification18(clr_sys_mmb_id=member)
    return schema.BranchAndFinancialInstitutionIdentification6(fin_instn_id=institution)


def amount(schema: ModuleType, yuan: str) -> Any:
    return schema.ActiveOrHistoricCurrencyAndAmount(value=Decimal(yuan), ccy="CNY")


def header(schema: ModuleType, number: str, items: dict[str, str], total: str) -> dict[str, Any]:
    return {
        "msg_id": number, "cre_dt_tm": XmlDateTime.now(), "nb_of_txs": str(len(items)),
        "ctrl_sum": Decimal(total) if total else sum(map(Decimal, items.values())), "initg_pty": party(schema, "某某保险"),
    }  # fmt: skip


def written(document: Any, version: str) -> bytes:
    return XmlSerializer().render(document, ns_map={None: f"{SPACE}{version}"}).encode()


def payouts(number: str, items: dict[str, str], *, total: str = "", account_no: str = CUSTOMER["values"]["account_no"]) -> bytes:
    """Write a pain.001 of claims, by their numbers."""
    s = pain001
    orders = [
        s.CreditTransferTransaction34(
            pmt_id=s.PaymentIdentification6(end_to_end_id=name), amt=s.AmountType4Choice(instd_amt=amount(s, yuan)),
            cdtr_agt=agent(s, "102100099996"), cdtr=party(s, "李明"), cdtr_acct=account(s, "6222020200112233445"),
            rmt_inf=s.RemittanceInformation16(ustrd=["车险理赔"]),
        )
        for name, yuan in items.items()
    ]  # fmt: skip
    batch = s.PaymentInstruction30(
        pmt_inf_id=number, pmt_mtd=s.PaymentMethod3Code.TRF, reqd_exctn_dt=s.DateAndDateTime2Choice(dt=XmlDate.today()),
        dbtr=party(s, "某某保险"), dbtr_acct=account(s, account_no), dbtr_agt=agent(s, CUSTOMER["values"]["bank_code"]),
        cdt_trf_tx_inf=orders,
    )  # fmt: skip
    group = s.GroupHeader85(**header(s, number, items, total))
    initiation = s.CustomerCreditTransferInitiationV09(grp_hdr=group, pmt_inf=[batch])
    return written(s.Document(cstmr_cdt_trf_initn=initiation), "pain.001.001.09")


def debits(number: str, items: dict[str, str]) -> bytes:
    """Write a pain.008 of premiums, by their numbers."""
    s = pain008
    orders = [
        s.DirectDebitTransactionInformation23(
            pmt_id=s.PaymentIdentification6(end_to_end_id=name), instd_amt=amount(s, yuan),
            drct_dbt_tx=s.DirectDebitTransaction10(mndt_rltd_inf=s.MandateRelatedInformation14(mndt_id=f"mandate-{name}")),
            dbtr_agt=agent(s, "102100099996"), dbtr=party(s, "王芳"), dbtr_acct=account(s, "6222020200556677889"),
        )
        for name, yuan in items.items()
    ]  # fmt: skip
    batch = s.PaymentInstruction37(
        pmt_inf_id=number, pmt_mtd=s.PaymentMethod2Code.DD, reqd_colltn_dt=XmlDate.today(), cdtr=party(s, "某某保险"),
        cdtr_acct=account(s, CUSTOMER["values"]["account_no"]), cdtr_agt=agent(s, CUSTOMER["values"]["bank_code"]),
        drct_dbt_tx_inf=orders,
    )  # fmt: skip
    group = s.GroupHeader83(**header(s, number, items, ""))
    initiation = s.CustomerDirectDebitInitiationV09(grp_hdr=group, pmt_inf=[batch])
    return written(s.Document(cstmr_drct_dbt_initn=initiation), "pain.008.001.09")


# --- the life --------------------------------------------------------------------------------------------------------


def life() -> None:
    code, content = send("/files/pay1", payouts("pay1", {"claim1": "2000.00", "claim2": "0.07"}))
    held("a pain.001 is taken, and answered by a pain.002", (code, group_status(content)), (200, ("PART", "")))
    of_items = report(content).orgnl_pmt_inf_and_sts[0].tx_inf_and_sts
    held("for each of its payouts", [(i.orgnl_end_to_end_id, i.tx_sts) for i in of_items], [("claim1", "ACSP"), ("claim2", "ACSP")])
    code, content = send("/files/collect1", debits("collect1", {"premium1": "1234.56"}))
    (item,) = report(content).orgnl_pmt_inf_and_sts[0].tx_inf_and_sts
    held("a pain.008 collects a premium", (code, item.orgnl_end_to_end_id, item.tx_sts), (200, "premium1", "ACSC"))
    control("advance", 3_600)
    _, content = send("/statuses?number=claim1&number=claim2")
    of_items = report(content).orgnl_pmt_inf_and_sts[0].tx_inf_and_sts
    held("and the payouts arrive", [item.tx_sts for item in of_items], ["ACSC", "ACSC"])
    held("of the amount", of_items[0].orgnl_tx_ref.amt.instd_amt.value, Decimal("2000.00"))
    held("of an unknown one nothing is told", send("/statuses?number=claim9")[0], 404)


def controls() -> None:
    def told(number: str, file: bytes) -> tuple[str, str]:
        return group_status(send(f"/files/{number}", file)[1])

    held("a file is taken once", told("pay1", payouts("pay1", {"claim1": "2000.00"})), ("RJCT", "AM05"))
    held("sums must agree", told("pay2", payouts("pay2", {"claim3": "5.00"}, total="6.00")), ("RJCT", "AM10"))
    theirs = payouts("pay3", {"claim3": "5.00"}, account_no=STRANGER["values"]["account_no"])
    held("nobody pays from another's account", told("pay3", theirs), ("RJCT", "AC02"))
    held("half a file is none", told("pay4", payouts("pay4", {"claim3": "5.00"})[:-200]), ("RJCT", "FF01"))
    held("another's key signs for nobody else", send("/statuses?number=claim1", keys=STRANGER["values"])[0], 401)
    for kind in ("ANSWER_BAD_SIGNATURE", "ANSWER_NO_SIGNATURE", "ANSWER_OTHER_CERTIFICATE"):
        fault("iso20022", kind, 1)
        refused(f"{kind} is refused", send, "/statuses?number=claim1")
        fault("iso20022", kind, 0)
    held("and so nothing of that was paid", send("/statuses?number=claim3")[0], 404)


def day_after() -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 28_800))
    control("advance", 2 * 86_400)
    return day


ENTRIES = {
    ("claim1", Decimal("2000.00"), "DBIT"), ("claim2", Decimal("0.07"), "DBIT"), ("premium1", Decimal("1234.56"), "CRDT"),
}  # fmt: skip


def statements(day: str) -> None:
    documents = {"camt.053": camt053.Document, "camt.054": camt054.Document}
    for kind, document in documents.items():
        _, content = send(f"/statements/{kind}/{day}")
        read = XmlParser().from_bytes(content, document)
        day_read = read.bk_to_cstmr_stmt.stmt[0] if kind == "camt.053" else read.bk_to_cstmr_dbt_cdt_ntfctn.ntfctn[0]
        of_account = day_read.acct.id.othr.id
        held(f"pyiso20022 reads the {kind} of the account", of_account, CUSTOMER["values"]["account_no"])
        entries = {(e.ntry_dtls[0].tx_dtls[0].refs.end_to_end_id, e.amt.value, e.cdt_dbt_ind.value) for e in day_read.ntry}
        held("its entries", {entry for entry in entries if entry[0] != "NOTPROVIDED"}, ENTRIES)


def by_pycamt(content: bytes) -> tuple[set[tuple[str, Decimal, str]], Decimal]:
    """Return the entries, and by how much they miss the closing balance."""
    parser = Camt053Parser(content)
    entries = parser.get_transactions()
    (about,) = parser.get_statement_info()
    signs = {"CRDT": 1, "DBIT": -1}
    moved = sum(signs[entry["CreditDebitIndicator"]] * Decimal(entry["Amount"]) for entry in entries)
    off = Decimal(about["OpeningBalance"]) + moved - Decimal(about["ClosingBalance"])
    named = {(e["EndToEndId"], Decimal(e["Amount"]), e["CreditDebitIndicator"]) for e in entries if e["EndToEndId"] != "NOTPROVIDED"}
    return named, off


def balances(day: str) -> None:
    path = f"/statements/camt.053/{day}"
    content = send(path)[1]
    held("pycamt reads its version", Camt053Parser(content).version, "camt.053.001.08")
    held("its entries, which add up to the balances", by_pycamt(content), (ENTRIES, Decimal(0)))
    fault("iso20022", "BILL_TOTALS_DIFFER", 1)
    held("one that does not add up is seen", by_pycamt(send(path)[1])[1], Decimal("-0.01"))
    fault("iso20022", "BILL_TOTALS_DIFFER", 0)
    fault("iso20022", "BILL_TRUNCATED", 1)
    half = send(path)[1]
    refused("half a statement is refused by pycamt", by_pycamt, half)
    refused("and by pyiso20022", XmlParser().from_bytes, half, camt053.Document)
    fault("iso20022", "BILL_TRUNCATED", 0)
    refused("and a statement is no pain.002 to it", report, content)


def main() -> None:
    life()
    controls()
    day = day_after()
    statements(day)
    balances(day)


main()
