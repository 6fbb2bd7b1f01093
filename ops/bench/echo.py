"""The reference: a bare grpc.aio server that answers CreatePayment with the same message that a payment has.

python -m ops.bench.echo --port P
"""

import argparse
import asyncio
from typing import Any

import grpc
import uvloop

from protos.paydesk.v1 import payments_pb2, payments_pb2_grpc


class Echo(payments_pb2_grpc.PaymentsServicer):
    """Answers without doing anything."""

    async def CreatePayment(self, request: payments_pb2.CreatePaymentRequest, context: Any) -> payments_pb2.Payment:
        """Answer with a payment of the size of a real one."""
        answer = payments_pb2.Payment(
            payment_id="pay_01M84Q2RGK3H8H0RV60VSPVE14", request_id=request.request_id, order_no=request.order_no,
            product_code=request.product_code, amount=request.amount, terminal=request.terminal,
            subject=request.subject, state=payments_pb2.Payment.STATE_SUCCEEDED, channel_id="instant",
            account_id="bench_instant", attempt_no="2026112400051553471216191128063",
            channel_txn_no="9DC589B80F4AFD933B2CB8D5", revision=2, attempt_count=1,
        )  # fmt: skip
        for time_field in (answer.create_time, answer.update_time, answer.expire_time, answer.success_time):
            time_field.seconds = 1_795_454_755
            time_field.nanos = 348_000_000
        return answer


async def serve(port: int) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    payments_pb2_grpc.add_PaymentsServicer_to_server(Echo(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Serve the echo.")
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
