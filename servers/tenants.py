"""The Tenants service: companies, branches, products, merchant accounts and settings."""

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from domain import orders
from domain.permissions import PLATFORM
from domain.refusals import Refused, Violation, invalid
from domain.settings import KEYS, Level
from domain.tenancy import Institution, Product
from protos.paydesk.v1 import tenants_pb2, tenants_pb2_grpc
from servers import commands, pages, terms, translate
from servers.desk import DeskView
from servers.identity import caller
from storage import accounts as account_store
from storage import settings as setting_store
from storage import tenants as store
from storage.database import Database

NAME_LENGTH_MAX = 128
REASON_LENGTH_MAX = 128
BINDINGS_MAX = 256
_TENANT_ID = re.compile(r"[a-z][a-z0-9_]{0,31}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_TENANT_STATES = {1: "ACTIVE", 2: "SUSPENDED"}
_SALE_STATES = {1: "ACTIVE", 2: "CLOSED"}
_TENANT_STATE_VALUES: dict[str, Any] = {name: value for value, name in _TENANT_STATES.items()}
_SALE_STATE_VALUES: dict[str, Any] = {name: value for value, name in _SALE_STATES.items()}


class TenantsService(tenants_pb2_grpc.TenantsServicer):
    """Translates; every change checks, writes and is audited in one transaction."""

    def __init__(self, database: Database, desk: DeskView) -> None:
        self._database = database
        self._desk = desk

    # --- tenants ----------------------------------------------------------------------------------------------------

    async def CreateTenant(self, request: tenants_pb2.CreateTenantRequest, context: Any) -> tenants_pb2.Tenant:
        """Make a company known."""
        violations = [*_common_violations(request), *_name_violations(request)]
        if not _TENANT_ID.fullmatch(request.tenant_id) or request.tenant_id == PLATFORM:
            violations.append(Violation("tenant_id", "must be a letter and at most 31 of a-z, 0-9 and _"))
        _refuse(violations)
        await self._once(
            request, "CreateTenant", "tenant", request.tenant_id, after={"display_name": request.display_name},
            work=lambda connection: store.create_tenant(
                connection, tenant_id=request.tenant_id, display_name=request.display_name
            ),
        )  # fmt: skip
        return await self._tenant(request.tenant_id)

    async def GetTenant(self, request: tenants_pb2.GetTenantRequest, context: Any) -> tenants_pb2.Tenant:
        """Read a tenant: the caller's own, or any for a platform administrator."""
        own = caller().tenant_id
        wanted = request.tenant_id or own
        if own not in (wanted, PLATFORM):
            raise Refused(store.missing("tenant", wanted))
        return await self._tenant(wanted)

    async def ListTenants(
        self, request: tenants_pb2.ListTenantsRequest, context: Any
    ) -> tenants_pb2.ListTenantsResponse:
        """List all tenants by id."""
        limit, after = pages.size(request.page_size), pages.key_of(request.page_token)
        found = await self._database.run(store.list_tenants, after=after, limit=limit + 1)
        response = tenants_pb2.ListTenantsResponse(tenants=map(_tenant_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].tenant_id)
        return response

    async def UpdateTenant(self, request: tenants_pb2.UpdateTenantRequest, context: Any) -> tenants_pb2.Tenant:
        """Rename, suspend or reopen a tenant."""
        _refuse([*_common_violations(request), *_name_violations(request, optional=True),
                 *_state_violations(request.state, _TENANT_STATES)])  # fmt: skip
        known = await self._database.run(store.get_tenant, tenant_id=request.tenant_id)
        new = known._replace(
            display_name=request.display_name or known.display_name, version=request.version,
            state=_TENANT_STATES.get(request.state, known.state),
        )  # fmt: skip
        await self._once(
            request, "UpdateTenant", "tenant", request.tenant_id, before=known._asdict(),
            after=new._replace(version=request.version + 1)._asdict(),
            work=lambda connection: store.update_tenant(connection, new),
        )  # fmt: skip
        return await self._tenant(request.tenant_id)

    async def _tenant(self, tenant_id: str) -> tenants_pb2.Tenant:
        return _tenant_message(await self._database.run(store.get_tenant, tenant_id=tenant_id))

    # --- branches and products --------------------------------------------------------------------------------------

    async def CreateInstitution(
        self, request: tenants_pb2.CreateInstitutionRequest, context: Any
    ) -> tenants_pb2.Institution:
        """Make a branch."""
        _refuse([*_common_violations(request), *_name_violations(request), *_id_violations(request, "institution_id")])
        new = Institution(request.institution_id, request.parent_id, request.display_name)
        return await self._save_institution(request, "CreateInstitution", None, new)

    async def UpdateInstitution(
        self, request: tenants_pb2.UpdateInstitutionRequest, context: Any
    ) -> tenants_pb2.Institution:
        """Rename, move, close or open a branch."""
        _refuse([*_common_violations(request), *_name_violations(request, optional=True),
                 *_state_violations(request.state, _SALE_STATES)])  # fmt: skip
        known = await self._institution(request.institution_id)
        new = known._replace(
            display_name=request.display_name or known.display_name, version=request.version,
            parent_id=request.parent_id if request.HasField("parent_id") else known.parent_id,
            state=_SALE_STATES.get(request.state, known.state),
        )  # fmt: skip
        return await self._save_institution(request, "UpdateInstitution", known, new)

    async def _save_institution(
        self, request: Any, operation: str, known: Institution | None, new: Institution
    ) -> tenants_pb2.Institution:
        tenant_id = caller().tenant_id
        await self._once(
            request, operation, "institution", new.institution_id, before=known._asdict() if known else None,
            after=new._replace(version=new.version + 1 if known else 1)._asdict(),
            work=lambda connection: store.save_institution(connection, tenant_id=tenant_id, new=new, is_new=known is None),
        )  # fmt: skip
        return _institution_message(await self._institution(new.institution_id))

    async def _institution(self, institution_id: str) -> Institution:
        found = await self._database.run(store.institutions, tenant_id=caller().tenant_id)
        if institution_id not in found:
            raise Refused(store.missing("institution", institution_id))
        return found[institution_id]

    async def ListInstitutions(
        self, request: tenants_pb2.ListInstitutionsRequest, context: Any
    ) -> tenants_pb2.ListInstitutionsResponse:
        """List branches by id."""
        found = await self._database.run(store.institutions, tenant_id=caller().tenant_id)
        names, token = _page(sorted(found), request)
        return tenants_pb2.ListInstitutionsResponse(
            institutions=[_institution_message(found[name]) for name in names], next_page_token=token
        )

    async def CreateProduct(self, request: tenants_pb2.CreateProductRequest, context: Any) -> tenants_pb2.Product:
        """Make a product."""
        _refuse([*_common_violations(request), *_name_violations(request), *_id_violations(request, "product_code"),
                 *_bindings_violations(request.institution_ids)])  # fmt: skip
        new = Product(request.product_code, request.display_name, frozenset(request.institution_ids))
        return await self._save_product(request, "CreateProduct", None, new)

    async def UpdateProduct(self, request: tenants_pb2.UpdateProductRequest, context: Any) -> tenants_pb2.Product:
        """Rename, bind, close or open a product."""
        _refuse([*_common_violations(request), *_name_violations(request, optional=True),
                 *_state_violations(request.state, _SALE_STATES),
                 *_bindings_violations(request.institutions.institution_ids)])  # fmt: skip
        known, bound = await self._product(request.product_code), request.HasField("institutions")
        new = known._replace(
            display_name=request.display_name or known.display_name, version=request.version,
            institutions=frozenset(request.institutions.institution_ids) if bound else known.institutions,
            state=_SALE_STATES.get(request.state, known.state),
        )  # fmt: skip
        return await self._save_product(request, "UpdateProduct", known, new)

    async def _save_product(
        self, request: Any, operation: str, known: Product | None, new: Product
    ) -> tenants_pb2.Product:
        tenant_id = caller().tenant_id
        await self._once(
            request, operation, "product", new.product_code, before=_product_record(known) if known else None,
            after=_product_record(new._replace(version=new.version + 1 if known else 1)),
            work=lambda connection: store.save_product(connection, tenant_id=tenant_id, new=new, is_new=known is None),
        )  # fmt: skip
        return _product_message(await self._product(new.product_code))

    async def _product(self, product_code: str) -> Product:
        found = await self._database.run(store.products, tenant_id=caller().tenant_id)
        if product_code not in found:
            raise Refused(store.missing("product", product_code))
        return found[product_code]

    async def ListProducts(
        self, request: tenants_pb2.ListProductsRequest, context: Any
    ) -> tenants_pb2.ListProductsResponse:
        """List products by code."""
        found = await self._database.run(store.products, tenant_id=caller().tenant_id)
        names, token = _page(sorted(found), request)
        return tenants_pb2.ListProductsResponse(
            products=[_product_message(found[name]) for name in names], next_page_token=token
        )

    # --- merchant accounts ------------------------------------------------------------------------------------------

    async def CreateMerchantAccount(
        self, request: tenants_pb2.CreateMerchantAccountRequest, context: Any
    ) -> tenants_pb2.MerchantAccountResponse:
        """Propose a contract on a channel with its first terms."""
        violations = [*_common_violations(request), *_id_violations(request, "account_id"), *_moment_violations(request)]
        if not 1 <= len(request.merchant_no) <= 32 or not request.merchant_no.isprintable():
            violations.append(Violation("merchant_no", "must be 1 to 32 printable characters"))
        # The ids of all tenants' accounts are different; none can find out another's by asking for it. No tenant's id has a "-".
        if not request.account_id.startswith(f"{caller().tenant_id}-"):
            violations.append(Violation("account_id", f"must begin with {caller().tenant_id}-"))
        _refuse(violations)
        arguments = {
            "account_id": request.account_id, "channel_id": request.channel_id, "merchant_no": request.merchant_no,
            "terms": terms.read_terms(request.terms), "valid_from_ms": translate.milliseconds(request.valid_from),
        }  # fmt: skip
        return await self._propose_account(account_store.CREATE, arguments, request)

    async def UpdateMerchantAccount(
        self, request: tenants_pb2.UpdateMerchantAccountRequest, context: Any
    ) -> tenants_pb2.MerchantAccountResponse:
        """Propose a new version of an account's terms."""
        _refuse([*_common_violations(request), *_moment_violations(request)])
        arguments = {
            "account_id": request.account_id, "version": request.version, "terms": terms.read_terms(request.terms),
            "valid_from_ms": translate.milliseconds(request.valid_from),
            "keep_channel_terms": not request.terms.HasField("channel_terms"),
        }  # fmt: skip
        return await self._propose_account(account_store.UPDATE, arguments, request)

    async def _propose_account(
        self, kind: str, arguments: dict[str, Any], request: Any
    ) -> tenants_pb2.MerchantAccountResponse:
        proposed = await commands.propose(
            self._database, kind, arguments, request_id=request.request_id, reason=request.reason
        )
        response = tenants_pb2.MerchantAccountResponse(proposal=translate.proposal_message(proposed))
        found = await self._accounts(account_id=request.account_id)
        if found:
            response.account.CopyFrom(terms.account_message(found[0]))
        return response

    async def _accounts(self, **wanted: Any) -> list[account_store.Version]:
        return await self._database.run(account_store.accounts, tenant_id=caller().tenant_id, **wanted)

    async def GetMerchantAccount(
        self, request: tenants_pb2.GetMerchantAccountRequest, context: Any
    ) -> tenants_pb2.MerchantAccount:
        """Read a merchant account with the terms that are in force."""
        _refuse(_id_violations(request, "account_id"))
        found = await self._accounts(account_id=request.account_id)
        if not found:
            raise Refused(store.missing("account", request.account_id))
        return terms.account_message(found[0])

    async def ListMerchantAccounts(
        self, request: tenants_pb2.ListMerchantAccountsRequest, context: Any
    ) -> tenants_pb2.ListMerchantAccountsResponse:
        """List merchant accounts by id, with the terms that are in force."""
        limit, after = pages.size(request.page_size), pages.key_of(request.page_token)
        found = await self._accounts(after=after, limit=limit + 1)
        response = tenants_pb2.ListMerchantAccountsResponse(accounts=map(terms.account_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(found[limit - 1].account_id)
        return response

    async def ListMerchantAccountVersions(
        self, request: tenants_pb2.ListMerchantAccountVersionsRequest, context: Any
    ) -> tenants_pb2.ListMerchantAccountVersionsResponse:
        """List the versions of an account's terms, the newest first."""
        _refuse(_id_violations(request, "account_id"))
        limit, key = pages.size(request.page_size), pages.key_of(request.page_token)
        if key and not key.isdecimal():
            raise Refused(invalid(Violation("page_token", "is not a token of this list")))
        found = await self._database.run(
            account_store.versions, tenant_id=caller().tenant_id, account_id=request.account_id, before=int(key or 0),
            limit=limit + 1,
        )  # fmt: skip
        if not found and not key:
            raise Refused(store.missing("account", request.account_id))
        response = tenants_pb2.ListMerchantAccountVersionsResponse(versions=map(terms.account_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(str(found[limit - 1].version))
        return response

    # --- settings ---------------------------------------------------------------------------------------------------

    async def SetSetting(
        self, request: tenants_pb2.SetSettingRequest, context: Any
    ) -> tenants_pb2.SetSettingResponse:
        """Propose a value of a setting at a level."""
        _refuse([*_common_violations(request), *_moment_violations(request)])
        arguments = {
            "key": request.key, "level": terms.read_level(request.level), "version": request.version,
            "value": terms.json_value(request.value, "value") if request.HasField("value") else None,
            "valid_from_ms": translate.milliseconds(request.valid_from),
        }  # fmt: skip
        if request.key not in KEYS:
            raise Refused(invalid(Violation("key", f"{request.key[:64]!r} is no setting; see ListSettings")))
        proposed = await commands.propose(
            self._database, setting_store.SET, arguments, request_id=request.request_id, reason=request.reason
        )
        return tenants_pb2.SetSettingResponse(proposal=translate.proposal_message(proposed))

    async def ListSettings(
        self, request: tenants_pb2.ListSettingsRequest, context: Any
    ) -> tenants_pb2.ListSettingsResponse:
        """List the keys that there are, and the values given for the tenant and for all."""
        keys = [KEYS[name] for name in _keys(request.key)]
        desk = self._desk.desk
        mine = {"", caller().tenant_id}
        given = [
            setting
            for setting in (*desk.settings, *desk.later_settings)
            if setting.level.tenant_id in mine and setting.key in {key.name for key in keys}
        ]
        return tenants_pb2.ListSettingsResponse(
            keys=map(terms.key_message, keys), settings=map(terms.setting_message, given)
        )

    async def ExplainConfig(
        self, request: tenants_pb2.ExplainConfigRequest, context: Any
    ) -> tenants_pb2.ExplainConfigResponse:
        """Tell what counts for orders of a kind, and what was passed over for it."""
        names, tenant_id = _keys(request.key), caller().tenant_id
        order = Level(tenant_id, **terms.read_level(request.order))
        settings = self._desk.settings_of(tenant_id)
        response = tenants_pb2.ExplainConfigResponse()
        for name in names:
            found = settings.resolve(name, order)
            response.resolutions.add(
                key=name, chosen=terms.considered_message(found.chosen),
                passed_over=map(terms.considered_message, found.passed_over),
            )  # fmt: skip
        return response

    async def _once(
        self,
        request: Any,
        operation: str,
        object_kind: str,
        object_id: str,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any],
        work: Callable[[Connection], Any],
    ) -> None:
        """Do something once for its request id. What an update leaves is part of its content as the request has it."""
        await commands.once(
            self._database, f"Tenants.{operation}", object_kind=object_kind, object_id=object_id,
            request_id=request.request_id, content=(request.SerializeToString(deterministic=True),), before=before,
            after=after, reason=request.reason, work=work,
        )  # fmt: skip


def _keys(key: str) -> list[str]:
    if key and key not in KEYS:
        raise Refused(invalid(Violation("key", f"{key[:64]!r} is no setting; see ListSettings")))
    return [key] if key else list(KEYS)


def _page(names: list[str], request: Any) -> tuple[list[str], str]:
    """Return the names on a page, and the token of the next."""
    limit, after = pages.size(request.page_size), pages.key_of(request.page_token)
    rest = [name for name in names if name > after]
    return rest[:limit], pages.token(rest[limit - 1]) if len(rest) > limit else ""


def _refuse(violations: list[Violation]) -> None:
    if violations:
        raise Refused(invalid(*violations))


def _common_violations(request: Any) -> list[Violation]:
    violations = [*orders.text_violations(request_id=request.request_id)]
    if len(request.reason) > REASON_LENGTH_MAX or not (request.reason + " ").isprintable():
        violations.append(Violation("reason", f"must be at most {REASON_LENGTH_MAX} printable characters"))
    return violations


def _name_violations(request: Any, *, optional: bool = False) -> list[Violation]:
    name = request.display_name
    if (optional and not name) or (0 < len(name) <= NAME_LENGTH_MAX and name.isprintable()):
        return []
    return [Violation("display_name", f"must be 1 to {NAME_LENGTH_MAX} printable characters")]


def _id_violations(request: Any, field: str) -> list[Violation]:
    if _ID.fullmatch(getattr(request, field)):
        return []
    return [Violation(field, "must be 1 to 32 letters, digits, _ and -, the first a letter or digit")]


def _bindings_violations(institution_ids: Any) -> list[Violation]:
    if len(institution_ids) > BINDINGS_MAX:
        return [Violation("institution_ids", f"has more than {BINDINGS_MAX} entries")]
    return []


def _state_violations(state: int, states: dict[int, str]) -> list[Violation]:
    return [] if state == 0 or state in states else [Violation("state", f"{state} is no state")]


def _moment_violations(request: Any) -> list[Violation]:
    if translate.is_time(request.valid_from) and request.valid_from.seconds >= 0:
        return []
    return [Violation("valid_from", "is no moment since 1970")]


def _tenant_message(row: store.TenantRow) -> tenants_pb2.Tenant:
    return tenants_pb2.Tenant(
        tenant_id=row.tenant_id, display_name=row.display_name, state=_TENANT_STATE_VALUES[row.state],
        version=row.version,
    )  # fmt: skip


def _institution_message(row: Institution) -> tenants_pb2.Institution:
    return tenants_pb2.Institution(
        institution_id=row.institution_id, parent_id=row.parent_id, display_name=row.display_name,
        state=_SALE_STATE_VALUES[row.state], version=row.version,
    )  # fmt: skip


def _product_message(row: Product) -> tenants_pb2.Product:
    return tenants_pb2.Product(
        product_code=row.product_code, display_name=row.display_name, institution_ids=sorted(row.institutions),
        state=_SALE_STATE_VALUES[row.state], version=row.version,
    )  # fmt: skip


def _product_record(row: Product) -> dict[str, Any]:
    return {**row._asdict(), "institutions": sorted(row.institutions)}
