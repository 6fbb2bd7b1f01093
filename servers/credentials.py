"""The Credentials service."""

import asyncio
import binascii
import secrets
import time
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from channels.registry import needs_of
from domain import expiry as calendar
from domain import orders
from domain.credentials import WEBHOOK_NEEDS, Needs, State, name_violations
from domain.identifiers import RANDOM_BYTES, identifier
from domain.refusals import Refused, Violation, invalid
from protos.paydesk.v1 import credentials_pb2, credentials_pb2_grpc
from servers import commands, pages, translate
from servers.desk import DeskView
from servers.identity import Caller, caller
from storage import audit, expiry, materials, requests
from storage import credentials as store
from storage.credentials import Owner, OwnerKind, Version
from storage.database import Database
from storage.vault import Vault

REASON_LENGTH_MAX = 256
NAME_LENGTH_MAX = 64
TARGETS_MAX = 5
URL_LENGTH_MAX = 1_024
SHOWN_LENGTH_MAX = 128
# What a secret of a webhook begins with; a real one has 24 to 64 bytes.
WEBHOOK_PREFIX = "whsec_"
# Ways that reach people. Others of the library write files, or talk to whatever machine somebody names, perhaps one of ours.
WAYS = frozenset({
    "mailto", "mailtos", "wecombot", "dingtalk", "feishu", "lark", "msteams", "slack", "twilio", "vonage", "sns",
    "clickatell", "d7sms", "msg91", "sinch", "smsmanager", "voipms", "plivo", "bulksms", "burstsms",
})  # fmt: skip
_STATES: dict[str, Any] = {state: credentials_pb2.CredentialVersion.State.Value(f"STATE_{state}") for state in State}

_REMINDER_STATES: dict[str, Any] = {
    name.removeprefix("STATE_"): value for name, value in credentials_pb2.Reminder.State.items()
}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class CredentialsService(credentials_pb2_grpc.CredentialsServicer):
    """Takes keys and certificates in, and never gives one out."""

    def __init__(self, desk: DeskView, database: Database, vault: Vault) -> None:
        self._desk = desk
        self._database = database
        self._vault = vault

    # --- versions -------------------------------------------------------------------------------------------------------

    async def AddCredentials(
        self, request: credentials_pb2.AddCredentialsRequest, context: Any
    ) -> credentials_pb2.CredentialVersion:
        """Parse, seal and store a version."""
        owner, needs = self._owner(request.account_id), self._needs(request.account_id)
        values, not_after_ms = dict(request.values), translate.milliseconds(request.not_after)
        violations = [*_text_violations(request), *name_violations(needs, values)]
        if not translate.is_time(request.not_after) or 0 < not_after_ms <= _now_ms():
            violations.append(Violation("not_after", "must be a time that is still to come"))
        if owner.kind is OwnerKind.WEBHOOK and not _is_webhook_secret(values.get("secret", "")):
            violations.append(Violation("values.secret", "must be whsec_ and 24 to 64 bytes in base64"))
        if violations:
            raise Refused(invalid(*violations))
        version = await self._database.run(self._add, caller(), owner, needs, values, request, not_after_ms)
        return await self._one(owner, version)

    def _add(
        self,
        connection: Connection,
        who: Caller,
        owner: Owner,
        needs: Needs,
        values: Mapping[str, str],
        request: credentials_pb2.AddCredentialsRequest,
        not_after_ms: int,
    ) -> int:
        digest = self._vault.keys(connection, owner.tenant_id).digest
        shown, violations = materials.read(values, needs.materials, now_ms=_now_ms(), digest=digest)
        if violations:
            raise Refused(invalid(*violations))
        marks = [(name, digest(name, value).hex()) for name, value in sorted(values.items())]
        content_hash = translate.content_hash((owner, marks, not_after_ms, request.reason))
        version = store.next_version(connection, owner)
        entry = audit.Entry(
            who.tenant_id, who.principal, "Credentials.AddCredentials", "credentials",
            f"{owner.kind}/{owner.owner_id}/{version}", None, {"values": [item._asdict() for item in shown]},
            request.reason, request.request_id, who.address,
        )  # fmt: skip

        def work(connection: Connection) -> None:
            store.check_room(connection, owner)
            store.add(connection, self._vault, owner, values, shown, principal=who.principal, not_after_ms=not_after_ms)

        claim = requests.once(connection, entry, content_hash, work)
        if claim.content_hash != content_hash:
            raise Refused(translate.reused(request.request_id))
        return int(claim.object_id.rpartition("/")[2])

    async def ListCredentials(
        self, request: credentials_pb2.ListCredentialsRequest, context: Any
    ) -> credentials_pb2.ListCredentialsResponse:
        """List versions."""
        limit, after = pages.size(request.page_size), _version_key(pages.key_of(request.page_token))
        kind = OwnerKind.ACCOUNT if request.account_id else ""
        found = await self._database.run(
            store.versions, tenant_id=caller().tenant_id, kind=kind, owner_id=request.account_id, after=after, limit=limit + 1
        )
        response = credentials_pb2.ListCredentialsResponse(credentials=map(_version_message, found[:limit]))
        if len(found) > limit:
            last = found[limit - 1]
            response.next_page_token = pages.token(f"{last.kind}/{last.owner_id}/{last.version}")
        return response

    async def ActivateCredentials(
        self, request: credentials_pb2.ActivateCredentialsRequest, context: Any
    ) -> credentials_pb2.CredentialVersion:
        """Have a version sign, if need be after somebody else's approval."""
        return await self._propose(store.ACTIVATE, request)

    async def RetireCredentials(
        self, request: credentials_pb2.RetireCredentialsRequest, context: Any
    ) -> credentials_pb2.CredentialVersion:
        """Take a version out of use, if need be after somebody else's approval."""
        return await self._propose(store.RETIRE, request)

    async def _propose(self, act: str, request: Any) -> credentials_pb2.CredentialVersion:
        owner, violations = self._owner(request.account_id), _text_violations(request)
        if not 1 <= request.version < 2**31:
            violations.append(Violation("version", "must be the number of a version"))
        if violations:
            raise Refused(invalid(*violations))
        arguments = {"owner_kind": owner.kind, "owner_id": owner.owner_id, "version": request.version}
        proposed = await commands.propose(
            self._database, act, arguments, request_id=request.request_id, reason=request.reason
        )
        message = await self._one(owner, request.version)
        message.proposal.CopyFrom(translate.proposal_message(proposed))
        return message

    async def _one(self, owner: Owner, version: int) -> credentials_pb2.CredentialVersion:
        found = await self._database.run(store.find, owner, version)
        assert found is not None
        return _version_message(found)

    def _owner(self, account_id: str) -> Owner:
        tenant_id = caller().tenant_id
        if not account_id:
            return Owner(tenant_id, OwnerKind.WEBHOOK, tenant_id)
        if not any(account.account_id == account_id for account in self._desk.accounts_of(tenant_id)):
            raise Refused(translate.not_found("ACCOUNT_NOT_FOUND", f"there is no account {account_id[:64]!r}"))
        return Owner(tenant_id, OwnerKind.ACCOUNT, account_id)

    def _needs(self, account_id: str) -> Needs:
        if not account_id:
            return WEBHOOK_NEEDS
        accounts = self._desk.accounts_of(caller().tenant_id)
        channel_id = next(account.channel_id for account in accounts if account.account_id == account_id)
        return needs_of(self._desk.desk.channels[channel_id].kind)

    # --- ends, messages and contacts --------------------------------------------------------------------------------------

    async def ListExpiries(
        self, request: credentials_pb2.ListExpiriesRequest, context: Any
    ) -> credentials_pb2.ListExpiriesResponse:
        """List what ends, soonest first."""
        limit, now_ms = pages.size(request.page_size), _now_ms()
        if not 0 <= request.within_days <= 10_000:
            raise Refused(invalid(Violation("within_days", "must be 0 to 10000")))
        until_ms = now_ms + (request.within_days + 1) * calendar.DAY_MS if request.within_days else 0
        found = await self._database.run(
            expiry.endings, tenant_id=caller().tenant_id, until_ms=until_ms, after=_ending_key(pages.key_of(request.page_token)),
            limit=limit + 1,
        )  # fmt: skip
        response = credentials_pb2.ListExpiriesResponse()
        for ending in found[:limit]:
            response.expiries.add(
                object_kind=ending.object_kind, object_id=ending.object_id, channel_id=ending.channel_id, title=ending.title,
                not_after=translate.timestamp(ending.not_after_ms),
                days_left=calendar.days_left(not_after_ms=ending.not_after_ms, now_ms=now_ms),
            )  # fmt: skip
        if len(found) > limit:
            last = found[limit - 1]
            response.next_page_token = pages.token(f"{last.not_after_ms}/{last.object_id}")
        return response

    async def ListReminders(
        self, request: credentials_pb2.ListRemindersRequest, context: Any
    ) -> credentials_pb2.ListRemindersResponse:
        """List messages, newest first."""
        limit = pages.size(request.page_size)
        found = await self._database.run(
            expiry.reminders, tenant_id=caller().tenant_id, unacknowledged=request.unacknowledged,
            object_id=request.object_id, before=pages.key_of(request.page_token), limit=limit + 1,
        )  # fmt: skip
        response = credentials_pb2.ListRemindersResponse(reminders=map(_reminder_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].reminder_id)
        return response

    async def AcknowledgeReminder(
        self, request: credentials_pb2.AcknowledgeReminderRequest, context: Any
    ) -> credentials_pb2.Reminder:
        """Note that the caller knows."""
        if violations := _text_violations(request):
            raise Refused(invalid(*violations))
        who = caller()
        wanted = {"tenant_id": who.tenant_id, "reminder_id": request.reminder_id}
        found = await self._database.run(expiry.find, **wanted)
        if found is None:
            raise Refused(translate.not_found("REMINDER_NOT_FOUND", f"there is no reminder {request.reminder_id[:64]!r}"))
        await commands.once(
            self._database, "Credentials.AcknowledgeReminder", object_kind="reminder", object_id=found.reminder_id,
            request_id=request.request_id, content=(found.reminder_id, request.reason), reason=request.reason,
            after={"object_id": found.object_id, "mark": found.mark},
            work=lambda connection: expiry.acknowledge(
                connection, tenant_id=who.tenant_id, reminder=found, principal=who.principal
            ),
        )  # fmt: skip
        acknowledged = await self._database.run(expiry.find, **wanted)
        assert acknowledged is not None
        return _reminder_message(acknowledged)

    async def CreateContact(
        self, request: credentials_pb2.CreateContactRequest, context: Any
    ) -> credentials_pb2.Contact:
        """Add a contact; what its URLs hide is never shown again."""
        violations = [*orders.text_violations(request_id=request.request_id)]
        if not 1 <= len(request.display_name) <= NAME_LENGTH_MAX or not request.display_name.isprintable():
            violations.append(Violation("display_name", f"must be 1 to {NAME_LENGTH_MAX} printable characters"))
        if not 1 <= len(request.target_urls) <= TARGETS_MAX:
            violations.append(Violation("target_urls", f"must be 1 to {TARGETS_MAX}"))
        shown = await asyncio.to_thread(lambda: [shown_of(url) for url in request.target_urls[:TARGETS_MAX]])
        violations += [
            Violation(f"target_urls[{number}]", "is no URL of a way that we know")
            for number, text in enumerate(shown)
            if not text
        ]
        if violations:
            raise Refused(invalid(*violations))
        who, now_ms = caller(), _now_ms()
        contact_id = identifier("con_", now_ms=now_ms, random=secrets.token_bytes(RANDOM_BYTES))
        digest = (await self._database.run(self._vault.keys, who.tenant_id)).digest
        claim = await commands.once(
            self._database, "Credentials.CreateContact", object_kind="contact", object_id=contact_id,
            request_id=request.request_id,
            content=(request.display_name, request.escalation, [digest("url", url) for url in request.target_urls]),
            after={"display_name": request.display_name, "escalation": request.escalation, "targets": shown},
            work=lambda connection: expiry.add_contact(
                connection, self._vault, tenant_id=who.tenant_id, contact_id=contact_id,
                display_name=request.display_name, escalation=request.escalation,
                targets=list(zip(request.target_urls, shown, strict=True)),
            ),
        )  # fmt: skip
        return credentials_pb2.Contact(
            contact_id=claim.object_id, display_name=request.display_name, escalation=request.escalation,
            targets=[
                credentials_pb2.Contact.Target(target_id=f"{claim.object_id}/{number}", shown=text)
                for number, text in enumerate(shown, start=1)
            ],
        )  # fmt: skip

    async def ListContacts(
        self, request: credentials_pb2.ListContactsRequest, context: Any
    ) -> credentials_pb2.ListContactsResponse:
        """List contacts."""
        limit = pages.size(request.page_size)
        found = await self._database.run(
            expiry.contacts, tenant_id=caller().tenant_id, after=pages.key_of(request.page_token), limit=limit + 1
        )
        response = credentials_pb2.ListContactsResponse(contacts=map(_contact_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].contact_id)
        return response

    async def DeleteContact(
        self, request: credentials_pb2.DeleteContactRequest, context: Any
    ) -> credentials_pb2.Contact:
        """Let go of a contact."""
        if violations := [*orders.text_violations(request_id=request.request_id)]:
            raise Refused(invalid(*violations))
        tenant_id, contact_id = caller().tenant_id, request.contact_id

        def delete(connection: Connection) -> None:
            if not expiry.delete_contact(connection, tenant_id=tenant_id, contact_id=contact_id):
                raise Refused(translate.not_found("CONTACT_NOT_FOUND", f"there is no contact {contact_id[:64]!r}"))

        await commands.once(
            self._database, "Credentials.DeleteContact", object_kind="contact", object_id=contact_id[:96],
            request_id=request.request_id, content=(contact_id,), work=delete,
        )  # fmt: skip
        return credentials_pb2.Contact(contact_id=contact_id)


def shown_of(url: str) -> str:
    """Return what may be seen of a target's URL, "" when it is none that we send to. Parsing one may take a moment."""
    import apprise  # 20 MB that only this call needs

    if len(url) > URL_LENGTH_MAX or url.partition("://")[0].lower() not in WAYS:
        return ""
    way = apprise.Apprise.instantiate(url)
    if way is None:
        return ""
    hidden = str(way.url(privacy=True))  # type: ignore[no-untyped-call]
    return hidden.partition("?")[0][:SHOWN_LENGTH_MAX]


def _is_webhook_secret(secret: str) -> bool:
    try:
        key = b64decode(secret.removeprefix(WEBHOOK_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return secret.startswith(WEBHOOK_PREFIX) and 24 <= len(key) <= 64


def _text_violations(request: Any) -> list[Violation]:
    violations = [*orders.text_violations(request_id=request.request_id)]
    if len(request.reason) > REASON_LENGTH_MAX or not (request.reason + " ").isprintable():
        violations.append(Violation("reason", f"must be at most {REASON_LENGTH_MAX} printable characters"))
    return violations


def _version_key(key: str) -> tuple[str, str, int]:
    kind, _, rest = key.partition("/")
    owner_id, _, version = rest.rpartition("/")
    if key and not (version.isdecimal() and len(version) < 10):
        raise Refused(invalid(Violation("page_token", "is not one that we gave")))
    return kind, owner_id, int(version or 0)


def _ending_key(key: str) -> tuple[int, str]:
    end_ms, _, object_id = key.partition("/")
    if key and not (end_ms.isdecimal() and len(end_ms) < 16):
        raise Refused(invalid(Violation("page_token", "is not one that we gave")))
    return int(end_ms or 0), object_id


def _version_message(found: Version) -> credentials_pb2.CredentialVersion:
    message = credentials_pb2.CredentialVersion(
        account_id=found.owner_id if found.kind is OwnerKind.ACCOUNT else "", version=found.version,
        state=_STATES[found.state], not_after=translate.timestamp(found.not_after_ms), principal=found.principal,
        create_time=translate.timestamp(found.create_ms), activate_time=translate.timestamp(found.activate_ms),
        retire_time=translate.timestamp(found.retire_ms), signs=found.signs,
    )  # fmt: skip
    for item in found.shown:
        message.values.add(
            name=item.name, material=item.material, fingerprint=item.fingerprint,
            not_after=translate.timestamp(item.not_after_ms),
        )  # fmt: skip
    return message


def _reminder_message(found: expiry.Reminder) -> credentials_pb2.Reminder:
    return credentials_pb2.Reminder(
        reminder_id=found.reminder_id, object_kind=found.object_kind, object_id=found.object_id, mark=found.mark,
        target_id=found.target_id, title=found.title, body=found.body, try_count=found.try_count,
        state=_REMINDER_STATES[found.state], acknowledger=found.acknowledger,
        create_time=translate.timestamp(found.create_ms), send_time=translate.timestamp(found.send_ms),
        acknowledge_time=translate.timestamp(found.acknowledge_ms),
    )  # fmt: skip


def _contact_message(found: expiry.Contact) -> credentials_pb2.Contact:
    return credentials_pb2.Contact(
        contact_id=found.contact_id, display_name=found.display_name, escalation=found.escalation,
        targets=[credentials_pb2.Contact.Target(target_id=name, shown=shown) for name, shown in found.targets],
    )  # fmt: skip
