"""Rows for tests of the outbox: tenants with endpoints, payments with events."""

from sqlalchemy import Connection, text

from storage import credentials
from tests.vaults import new_vault

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def add_tenant(
    connection: Connection, tenant_id: str, *, url: str = "https://a.example/n", secret: str = SECRET
) -> None:
    """Add a tenant, with an endpoint unless `url` is ""."""
    tenant = {"tenant_id": tenant_id, "display_name": tenant_id}
    webhook = {"webhook": {"url": url, "secrets": [secret]}} if url else {}
    credentials.install(connection, new_vault(), {"tenants": [tenant | webhook]})


def add_event(
    connection: Connection,
    tenant_id: str,
    payment_id: str,
    *,
    order_no: str = "",
    revision: int = 2,
    state: str = "SUCCEEDED",
    deliver_state: str = "PENDING",
    product_code: str = "TRAVEL",
    institution_id: str = "",
) -> None:
    """Add an event, and its payment if it is not there; an order of its own unless `order_no` is given."""
    values = {
        "tenant_id": tenant_id,
        "payment_id": payment_id,
        "order_no": order_no or "o-" + payment_id,
        "revision": revision,
        "state": state,
        "event_type": "payment." + state.lower(),
        "deliver_state": deliver_state,
        "product_code": product_code,
        "institution_id": institution_id,
    }
    connection.execute(
        text(
            """INSERT INTO payments (tenant_id, payment_id, request_id, content_hash, order_no, product_code,
                   amount_minor, currency_code, method, terminal, source, subject, payer_ref, state, channel_id,
                   account_id, merchant_no, attempt_no, attempt_index, revision, expire_time,
                   institution_id)
               VALUES (:tenant_id, :payment_id, 'r-' || :payment_id, repeat('0', 32), :order_no, :product_code, 1800, 'CNY',
                   'WECHAT_PAY', 'H5', '', 'insurance', '', :state, 'sandbox_a', 'acc', 'm-1', 'a-' || :payment_id, 1,
                   :revision, now() + interval '15 min', :institution_id)
               ON CONFLICT (tenant_id, payment_id) DO UPDATE SET state = :state, revision = :revision"""
        ),
        values,
    )
    connection.execute(
        text(
            """INSERT INTO events (payment_id, revision, tenant_id, order_no, event_type, state, reason, deliver_state,
                                   next_try_time)
               VALUES (:payment_id, :revision, :tenant_id, :order_no, :event_type, :state, '', :deliver_state,
                       CASE WHEN :deliver_state = 'PENDING' THEN now() END)"""
        ),
        values,
    )


def state_of(connection: Connection, payment_id: str, revision: int = 2) -> tuple[str, int, str]:
    """Return (deliver_state, try_count, last_error) of an event."""
    row = connection.execute(
        text(
            """SELECT deliver_state, try_count, last_error FROM events
               WHERE payment_id = :payment_id AND revision = :revision"""
        ),
        {"payment_id": payment_id, "revision": revision},
    ).one()
    return row[0], row[1], row[2]
