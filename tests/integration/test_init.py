"""`paydesk init`: checked whole, done whole or not at all, and the same when it is done again."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from typer.testing import CliRunner

from ops import cli, desk_document, init
from ops.settings import Settings
from servers.identity import key_digest, key_fingerprint
from storage import audit
from storage import desk as desk_store
from tests.architecture.sources import ROOT

GOOD: dict[str, Any] = {
    "tenants": [{"tenant_id": "life", "display_name": "人寿", "products": ["TERM"], "approvals": {"approvers": 2}}],
    "channels": [{"channel_id": "wx", "display_name": "微信", "kind": "sandbox", "settings": {"limits": {"timeout_s": 2.0}}}],
    "accounts": [{"account_id": "life_wx", "tenant_id": "life", "channel_id": "wx", "merchant_no": "M1",
                  "terms": {"methods": ["WECHAT_PAY"], "fee_bps": 60, "secret": "a shared secret"}}],
}  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the good document with one field changed, such as accounts.0.terms.fee_bps."""
    document = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    part: Any = document
    for step in way:
        part = part[int(step)] if isinstance(part, list) else part.setdefault(step, {})
    part[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("tenants.0.tenant_id", "Life!", "tenants[0].tenant_id"),
        ("tenants.0.approvals.approvers", 9, "tenants[0].approvals.approvers"),
        ("tenants.0.approvals.expire_s", 5, "tenants[0].approvals.expire_s"),
        ("tenants.0.routing.rules", [{"rule_id": "r", "effect": "BLOCK", "when": "amount >"}], "tenants[0].routing.rules[0].effect"),
        ("tenants.0.colour", "red", "tenants[0].colour"),
        ("tenants.0.webhook", {"url": "ftp://x", "secrets": []}, "tenants[0].webhook.url"),
        ("channels.0.kind", "cowrie", "channels[0].kind"),
        ("channels.0.kind", "unionpay", "channels[0].settings.front_url"),
        ("channels.0.settings.limits.timeout_ms", 5, "channels[0].settings.limits.timeout_ms"),
        ("channels.0.display_name", 7, "channels[0].display_name"),
        ("accounts.0.tenant_id", "lief", "accounts[0].tenant_id"),
        ("accounts.0.channel_id", "xw", "accounts[0].channel_id"),
        ("accounts.0.terms.fee_bps", -1, "accounts[0].terms.fee_bps"),
        ("accounts.0.terms.methods", [], "accounts[0].terms.methods"),
        ("accounts.0.credentials", {"no_such": "x"}, "accounts[0].credentials.no_such"),
        ("settings", [{"key": "no.such", "value": 1}], "settings[0].key"),
        ("wallets", [], "wallets"),
    ],
)  # fmt: skip
def test_every_wrong_field_is_named_by_its_place(path: str, value: Any, place: str) -> None:
    found = desk_document.violations(changed(path, value), desk_document.Known())
    assert place in {violation.field for violation in found}, found


def test_all_mistakes_are_told_at_once() -> None:
    document = changed("accounts.0.tenant_id", "lief")
    document["accounts"].append(copy.deepcopy(document["accounts"][0]))
    document["channels"][0]["kind"] = "cowrie"
    places = {violation.field for violation in desk_document.violations(document, desk_document.Known())}
    assert {"accounts[0].tenant_id", "accounts[1].account_id", "accounts[1].merchant_no", "channels[0].kind"} <= places


def test_an_account_does_not_take_a_name_that_another_tenant_gives_its_own() -> None:
    for account_id, known, wrong in (
        ("pnc-wx", desk_document.Known({"pnc"}), True), ("pnc-wx", desk_document.Known(), False),
        ("life-wx", desk_document.Known({"pnc"}), False), ("pnc-wx", desk_document.Known({"pnc"}, owners={"pnc-wx": "life"}), False),
    ):  # fmt: skip
        found = desk_document.violations(changed("accounts.0.account_id", account_id), known)
        assert bool(found) is wrong, (account_id, found)


@pytest.mark.parametrize("path", sorted(ROOT.glob("ops/**/*desk.toml")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_desks_of_the_house_are_right(path: Path) -> None:
    text = path.read_text().replace("{webhook_url}", "http://localhost").replace("{webhook_secret}", "whsec_of-a-test-system")
    assert not desk_document.violations(tomllib.loads(text), desk_document.Known())


@pytest.fixture
def place(emptied_database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=emptied_database_url, data_dir=tmp_path)


def test_it_is_done_once_and_again_without_a_change(place: Settings) -> None:
    first = init.set_up(place.database_url, place, GOOD, principal="li")
    assert first.changed and set(first.keys) == {"life"}
    assert init.set_up(place.database_url, place, GOOD, principal="li") == init.Outcome(changed=False, keys={})
    more = changed("accounts.0.terms.fee_bps", 55)
    assert init.set_up(place.database_url, place, more, principal="li") == init.Outcome(changed=True, keys={})
    engine = sqlalchemy.create_engine(place.database_url)
    with engine.begin() as connection:
        desk = desk_store.load(connection)
        assert [(a.account_id, a.terms["fee_bps"]) for a in desk.accounts] == [("life_wx", 55)]
        found = audit.search(connection, tenant_id="life", wanted=audit.Wanted(operation="paydesk init"), limit=9)
        assert len(found) == 2 and found[0].record.after == {"channels": ["wx"], "accounts": ["life_wx"]}
        stored = connection.exec_driver_sql("SELECT key_digest FROM api_keys").scalars().all()
    engine.dispose()
    pepper = bytes.fromhex((place.directory() / "keys.pepper").read_text())
    assert [bytes(digest) for digest in stored] == [key_digest(pepper, key_fingerprint(first.keys["life"]))]


def test_nothing_is_done_by_halves(place: Settings) -> None:
    init.set_up(place.database_url, place, GOOD, principal="li")
    other = {"tenants": [{"tenant_id": "pnc", "display_name": "财险", "products": []}],
             "accounts": [{**GOOD["accounts"][0], "tenant_id": "pnc"},
                          {**GOOD["accounts"][0], "account_id": "life_2"}]}  # fmt: skip
    with pytest.raises(init.BadDesk) as caught:
        init.set_up(place.database_url, place, other, principal="li")
    assert [violation.field for violation in caught.value.violations] == [
        "accounts[1].merchant_no", "accounts[0].account_id", "accounts[1].merchant_no"
    ]  # fmt: skip

    engine = sqlalchemy.create_engine(place.database_url)
    with engine.begin() as connection:
        assert set(desk_store.load(connection).tenants) == {"life"}
    engine.dispose()


def test_questions_make_a_document_and_the_answer_says_how_to_call(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYDESK_DATABASE_URL", place.database_url)
    monkeypatch.setenv("PAYDESK_DATA_DIR", str(place.data_dir))
    answers = "life\n人寿\nTERM, ANNUITY\nsandbox\nwx\nM1\nWECHAT_PAY\n60\n"
    done = CliRunner().invoke(cli.app, ["init"], input=answers)
    assert done.exit_code == 0, done.output
    assert "life_wx on wx" in done.output and "keys add life NAME --role TENANT_ADMIN" in done.output
    assert "PAYDESK_KEY=pdk_" in done.output and '"product_code": "TERM"' in done.output
    again = CliRunner().invoke(cli.app, ["init"], input=answers)
    assert "Nothing to change" in again.output and "pdk_…" in again.output
