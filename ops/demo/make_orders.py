"""Makes `orders.csv`, a day of an insurance group's orders: the same file for the same seed.

    python -m ops.demo.make_orders [--seed 7] [--count 3300] [--out ops/demo/orders.csv]

The people and partners in it are invented.
"""

import argparse
import csv
import random
from pathlib import Path
from typing import NamedTuple

ORDERS_FILE = Path(__file__).parent / "orders.csv"
SEED = 7
COUNT = 3_300
COLUMNS = (
    "time_of_day", "tenant", "order_no", "product", "amount_yuan", "method", "terminal", "source", "payer", "subject",
)  # fmt: skip
# The desks open at six; hours of many orders as (hour, width in hours, weight), over a base of orders at any time.
FIRST_S, LAST_S = 6 * 3600, 23 * 3600 + 1800
PEAKS = ((9.5, 1.2, 0.14), (12.2, 0.9, 0.19), (15.5, 1.5, 0.13), (20.2, 1.3, 0.14))


class Product(NamedTuple):
    """What is sold: its share of the orders, amounts in fen (whole ones, or a range in steps), terminals, partners."""

    tenant: str
    code: str
    subject: str
    weight: float
    amounts_fen: tuple[int, ...] = ()
    low_fen: int = 0
    high_fen: int = 0
    step_fen: int = 1
    terminals: tuple[str, ...] = ("H5", "WECHAT_OA", "APP")
    sources: tuple[str, ...] = ("",)


PRODUCTS = (
    Product("travel", "FLIGHT_DELAY", "航班延误险", 20, (990, 2000, 3000, 4500, 6000), sources=("", "AIR_EAST", "OTA_NORTH")),
    Product("travel", "TRAVEL_ACC", "旅行意外险 7 天", 14, (990, 1800, 3600, 6800, 12800), sources=("", "OTA_NORTH", "OTA_SOUTH")),
    Product("pnc", "TRAVEL_ACC", "境外旅行意外险", 12, (1990, 5800, 9900, 16800, 19800), terminals=("H5", "APP", "PC")),
    Product("pnc", "CAR", "机动车商业保险", 18, low_fen=95_000, high_fen=880_000, step_fen=37, terminals=("APP", "H5", "PC"),
            sources=("", "", "AGENCY_EAST", "AGENCY_WEST")),
    Product("pnc", "HOME", "家庭财产保险", 8, (6600, 12800, 19900, 36500, 68000), terminals=("H5", "APP", "PC")),
    Product("pnc", "CORP_CAR", "企业车队保险", 3, low_fen=300_000, high_fen=4_800_000, step_fen=100, terminals=("PC", "API"),
            sources=("AGENCY_EAST", "BROKER_ONE")),
    Product("life", "HEALTH_YEAR", "百万医疗保险(一年期)", 13, low_fen=15_800, high_fen=260_000, step_fen=100),
    Product("life", "TERM_LIFE", "定期寿险", 7, low_fen=12_000, high_fen=380_000, step_fen=100, terminals=("APP", "H5", "PC")),
    Product("life", "ANNUITY", "养老年金保险", 5, low_fen=500_000, high_fen=6_800_000, step_fen=10_000, terminals=("APP", "PC"),
            sources=("", "BANK_BRANCH")),
)  # fmt: skip
# Most cashiers let Paydesk choose; the others show the payer's own choice.
METHODS = {"": 45, "WECHAT_PAY": 24, "ALIPAY": 18, "BANK_CARD": 13}
# A wallet can't be offered inside the other one's app, nor on a screen that it has no page for.
IMPOSSIBLE = frozenset({("WECHAT_PAY", "PC"), ("ALIPAY", "WECHAT_OA")})
CARD_FROM_FEN = 10_000
WALLET_UP_TO_FEN = 5_000_000


def make_orders(*, seed: int, count: int) -> list[dict[str, str]]:
    """Return the rows of a day, by time."""
    chance = random.Random(seed)
    times = sorted(_second(chance) for _ in range(count))
    numbers = dict.fromkeys(("life", "pnc", "travel"), 0)
    rows = []
    for second in times:
        product = chance.choices(PRODUCTS, [item.weight for item in PRODUCTS])[0]
        numbers[product.tenant] += 1
        fen = _amount_fen(product, chance)
        method = _method(product, fen, chance)
        rows.append({
            "time_of_day": f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}",
            "tenant": product.tenant,
            "order_no": f"{product.tenant.upper()}-{numbers[product.tenant]:06d}",
            "product": product.code,
            "amount_yuan": f"{fen // 100}.{fen % 100:02d}",
            "method": method,
            "terminal": chance.choice([name for name in product.terminals if (method, name) not in IMPOSSIBLE]),
            "source": chance.choice(product.sources),
            "payer": f"payer-{chance.randrange(16**8):08x}",
            "subject": product.subject,
        })  # fmt: skip
    return rows


def _second(chance: random.Random) -> int:
    """Draw a time of day: one of the peaks, or any time."""
    lot = chance.random()
    for hour, width, weight in PEAKS:
        lot -= weight
        if lot < 0:
            second = round(chance.gauss(hour, width) * 3600)
            return min(max(second, FIRST_S), LAST_S)
    return chance.randint(FIRST_S, LAST_S)


def _amount_fen(product: Product, chance: random.Random) -> int:
    if product.amounts_fen:
        return chance.choice(product.amounts_fen)
    # Small contracts are more frequent than large ones.
    span = (product.high_fen - product.low_fen) // product.step_fen
    return product.low_fen + int(span * chance.random() ** 2.2) * product.step_fen


def _method(product: Product, fen: int, chance: random.Random) -> str:
    method = chance.choices(list(METHODS), list(METHODS.values()))[0]
    wallet = method in ("WECHAT_PAY", "ALIPAY")
    if (wallet and (fen > WALLET_UP_TO_FEN or "API" in product.terminals)) or (
        method == "BANK_CARD" and fen < CARD_FROM_FEN
    ):
        return ""
    return method


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Make a day of orders.")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--out", type=Path, default=ORDERS_FILE)
    options = parser.parse_args()
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(make_orders(seed=options.seed, count=options.count))


if __name__ == "__main__":
    main()
