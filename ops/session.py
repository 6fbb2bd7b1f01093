"""Calls of the sub-commands: one deployment, one key, any method by name."""

import secrets
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from domain.identifiers import CHINA

TIMEOUT_S = 30.0


def clock(moment: Any, timespec: str = "seconds") -> str:
    """Write a protobuf Timestamp by the clock in China, as every command does."""
    return str(moment.ToDatetime(tzinfo=CHINA).replace(tzinfo=None).isoformat(sep=" ", timespec=timespec))


Target = Annotated[str, typer.Option(help="HOST:PORT of gRPC; default: the deployment of the data directory.")]
Key = Annotated[str, typer.Option(help="API key; default: PAYDESK_KEY, then the tenant's development key.")]
Tenant = Annotated[str, typer.Option(help="Whose development key to use; default: the first.")]


def _filled(kind: Any, fields: dict[str, Any]) -> Any:
    """Make a request. Raise typer.BadParameter for a word that is none of its field's."""
    try:
        return kind(**fields)
    except ValueError as error:
        raise typer.BadParameter(_possible(kind.DESCRIPTOR, str(error))) from error


def _possible(message: Any, error: str) -> str:
    """Tell which words there are instead of one that is unknown, in a message or the messages in it."""
    wrong = error.partition('"')[2].rpartition('"')[0]
    for field in message.fields:
        names = [value.name for value in field.enum_type.values] if field.enum_type else []
        prefix = names[0].removesuffix("UNSPECIFIED") if names else ""
        if prefix and wrong.startswith(prefix):
            words = ", ".join(name.removeprefix(prefix) for name in names[1:])
            return f"there is no {field.name} {wrong.removeprefix(prefix)!r}; there are {words}"
        if field.message_type and (found := _possible(field.message_type, error)) != error:
            return found
    return error


class Session:
    """Calls as one key. Raise CannotStart when nothing serves there, grpc.RpcError for what is refused."""

    def __init__(self, *, target: str = "", tenant: str = "", key: str = "") -> None:
        # Imported when a command runs, so that `paydesk --help` answers at once.
        from ops import address, dialing
        from ops.settings import Settings

        place = address.require(Settings(), target=target)
        self._channel = dialing.dial(place.target)
        self._metadata = (("authorization", f"Bearer {address.key_for(place, tenant=tenant, key=key)}"),)

    def ask(self, name: str, timeout_s: float = TIMEOUT_S, /, **fields: Any) -> Any:
        """Call a method by `Service/Method`. A missing request id is made up and told."""
        from ops import call

        method = call.find(name)
        request = _filled(method.request, fields)
        if "request_id" in method.request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = f"cli-{secrets.token_hex(8)}"
            print(f"request_id {request.request_id}: repeat it to repeat the answer", file=sys.stderr)
        send = self._channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
        return send(request, metadata=self._metadata, timeout=timeout_s)

    def stream(self, name: str, timeout_s: float | None = None, /, **fields: Any) -> Iterator[Any]:
        """Call a method that answers many times; some need a deadline."""
        from ops import call

        method = call.find(name)
        send = self._channel.unary_stream(method.path, method.request.SerializeToString, method.response.FromString)
        yield from send(_filled(method.request, fields), metadata=self._metadata, timeout=timeout_s)

    def pages(self, name: str, field: str, /, limit: int, **fields: Any) -> Iterator[Any]:
        """Read up to `limit` rows of a list, page by page."""
        token = ""
        while limit > 0:
            page = self.ask(name, page_size=min(limit, 1_000), page_token=token, **fields)
            rows = list(getattr(page, field))[:limit]
            yield from rows
            limit, token = limit - len(rows), page.next_page_token
            if not token:
                return
