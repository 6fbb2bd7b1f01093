"""What merchant accounts have taken of their limits: reserved with the intent, given back when nothing was taken for sure.

`hold` comes first in a transaction and locks the counters it needs in one order, `reserve` and `give_back` move them. A
constraint keeps every counter below its limit, whatever a bug above it believes. Reservations of attempts that took money
stay, so that the counters can be proved from them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from sqlalchemy import Connection

from domain.account_limits import Allowance, Limits, Wish, allowance, month_of
from storage.arrays import columns, text_array


def hold(
    connection: Connection, wishes: Sequence[Wish], *, day: date, freed: Iterable[str] = ()
) -> dict[str, Allowance]:
    """Lock the counters of the accounts of `wishes`, and of the attempts `freed`; return what is left of the former."""
    limits = {wish.account_id: wish.limits for wish in wishes}
    rows = connection.exec_driver_sql(
        """
        WITH wanted AS (
            SELECT account_id, span, start_date, nullif(limit_minor, 0) AS limit_minor, 1 AS place
            FROM unnest(%s::text[], %s::text[], %s::date[], %s::bigint[]) AS w (account_id, span, start_date, limit_minor)
            UNION ALL
            SELECT u.account_id, u.span, u.start_date, u.limit_minor, 2
            FROM account_reservations r JOIN account_usage u
                ON u.account_id = r.account_id AND u.start_date = CASE u.span WHEN 'DAY' THEN r.day ELSE r.month END
            WHERE r.attempt_no = ANY (%s::text[])
        )
        INSERT INTO account_usage AS u (account_id, span, start_date, used_minor, limit_minor)
        SELECT DISTINCT ON (account_id, span, start_date) account_id, span, start_date, 0, limit_minor
        FROM wanted ORDER BY account_id, span, start_date, place
        ON CONFLICT (account_id, span, start_date) DO UPDATE SET limit_minor = CASE WHEN excluded.limit_minor IS NOT NULL
            THEN greatest(excluded.limit_minor, u.used_minor) END  -- a limit that was lowered below what is used binds
        RETURNING account_id, span, start_date, used_minor
        """,
        (*columns(_counters(limits, day), "tttn"), text_array(list(freed))),
    )
    used = {(account_id, span): used_minor for account_id, span, start, used_minor in rows
            if start == (day if span == "DAY" else month_of(day))}  # fmt: skip
    return _left(limits, used)


def _counters(limits: Mapping[str, Limits], day: date) -> list[tuple[str, str, str, int]]:
    """Return both counters of every account: where only one is limited the other is kept too, so that both agree."""
    spans = (("DAY", day), ("MONTH", month_of(day)))
    return [
        (account_id, span, start.isoformat(), limit.day_minor if span == "DAY" else limit.month_minor)
        for account_id, limit in limits.items()
        for span, start in spans
    ]


def _left(limits: Mapping[str, Limits], used: Mapping[tuple[str, str], int]) -> dict[str, Allowance]:
    return {
        account_id: allowance(
            limit, day_used_minor=used.get((account_id, "DAY"), 0), month_used_minor=used.get((account_id, "MONTH"), 0)
        )
        for account_id, limit in limits.items()
    }


def reserve(connection: Connection, wishes: Sequence[Wish], *, day: date) -> None:
    """Count attempts that were written, whose counters are held."""
    rows = [(wish.attempt_no, wish.account_id, wish.amount_minor) for wish in wishes]
    connection.exec_driver_sql(
        """
        WITH noted AS (
            INSERT INTO account_reservations (attempt_no, account_id, amount_minor, day, month)
            SELECT attempt_no, account_id, amount_minor, %s, %s
            FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS w (attempt_no, account_id, amount_minor)
            RETURNING account_id, amount_minor, day, month
        )
        UPDATE account_usage u SET used_minor = u.used_minor + s.amount_minor
        FROM (SELECT account_id, day, month, sum(amount_minor) AS amount_minor FROM noted GROUP BY 1, 2, 3) AS s
        WHERE u.account_id = s.account_id AND u.start_date = CASE u.span WHEN 'DAY' THEN s.day ELSE s.month END
        """,
        (day, month_of(day), *columns(rows, "ttn")),
    )


def give_back(connection: Connection, attempt_nos: Sequence[str]) -> None:
    """Give back what attempts that took nothing had reserved, whose counters are held."""
    connection.exec_driver_sql(
        """
        WITH gone AS (
            DELETE FROM account_reservations WHERE attempt_no = ANY (%s::text[])
            RETURNING account_id, amount_minor, day, month
        )
        UPDATE account_usage u SET used_minor = u.used_minor - s.amount_minor
        FROM (
            SELECT account_id, span, start_date, sum(amount_minor) AS amount_minor FROM (
                SELECT account_id, 'DAY' AS span, day AS start_date, amount_minor FROM gone
                UNION ALL SELECT account_id, 'MONTH', month, amount_minor FROM gone
            ) AS parts GROUP BY 1, 2, 3
        ) AS s
        WHERE u.account_id = s.account_id AND u.span = s.span AND u.start_date = s.start_date
        """,
        (text_array(attempt_nos),),
    )


def are_reserved(connection: Connection) -> bool:
    """Tell whether any attempt has ever reserved a part of a limit."""
    return bool(connection.exec_driver_sql("SELECT EXISTS (SELECT FROM account_reservations)").scalar_one())


def left(connection: Connection, limits: Mapping[str, Limits], *, day: date) -> dict[str, Allowance]:
    """Read what is left of accounts' limits."""
    rows = connection.exec_driver_sql(
        """SELECT account_id, span, used_minor FROM account_usage WHERE account_id = ANY (%s::text[])
           AND start_date = CASE span WHEN 'DAY' THEN %s::date ELSE %s::date END""",
        (text_array(list(limits)), day, month_of(day)),
    )
    return _left(limits, {(row[0], row[1]): row[2] for row in rows})
