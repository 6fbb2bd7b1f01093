"""Every method that changes something leaves a record that nobody can take back."""

from servers.grpc_server import SERVICES
from servers.identity import NOTED_READS, RULES

METHODS = {
    f"{service.name}/{method.name}"
    for module in SERVICES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
READ_WORDS = ("Get", "List", "Search", "Explain", "DryRun", "Subscribe", "Verify", "WhoAmI", "Check", "Simulate", "Replay")
# Their own append-only record: the history of payments, the ledger of the sandbox.
HISTORY = {
    "Payments/CreatePayment", "Payments/BatchCreatePayments", "Simulator/ConfigureChannel", "Simulator/InjectFault",
    "Simulator/AdvanceClock", "Simulator/Reset",
}  # fmt: skip
# The name of the entry is Service.Method. `tests/integration/test_audit.py` and the tests of each service see them written.
AUDITED = {
    "Payments/ClosePayment", "Payments/SyncPayment", "Channels/SetMaintenanceWindow", "Channels/ForceChannelState",
    "Events/ResendEvent", "Channels/CreateChannel", "Channels/UpdateChannel", "Tenants/CreateTenant", "Tenants/UpdateTenant",
    "Tenants/CreateInstitution", "Tenants/UpdateInstitution", "Tenants/CreateProduct", "Tenants/UpdateProduct",
    "Tenants/CreateMerchantAccount", "Tenants/UpdateMerchantAccount", "Tenants/SetSetting", "Identity/CreatePrincipal", "Identity/DisablePrincipal", "Identity/GrantRole",
    "Identity/RevokeRole", "Identity/CreateApiKey", "Identity/RevokeApiKey", "Identity/BindCertificate",
    "Identity/UnbindCertificate", "Audit/ExportAudit", "Approvals/DecideApprovals", "Approvals/CancelApproval",
    "Approvals/SetApprovalPolicy", "Channels/CancelMaintenanceWindow", "Routing/CreateRuleSetDraft",
    "Routing/UpdateRuleSetDraft", "Routing/PublishRuleSet", "Routing/RollBackRuleSet", "Credentials/AddCredentials",
    "Credentials/ActivateCredentials", "Credentials/RetireCredentials", "Credentials/AcknowledgeReminder",
    "Credentials/CreateContact", "Credentials/DeleteContact", "Payments/RevealPayer",
}  # fmt: skip
SANDBOX_READS = {"Simulator/ExportTruth"}


def test_every_method_is_a_read_or_leaves_a_record() -> None:
    reads = {name for name in METHODS if name.partition("/")[2].startswith(READ_WORDS)} | SANDBOX_READS
    assert reads | HISTORY | AUDITED == METHODS
    assert not reads & (HISTORY | AUDITED)


# They calculate, over decisions that every reader may see one by one.
CALCULATED = {"Routing/CheckRuleSet", "Routing/SimulateRuleSet", "Routing/ReplayDecisions"}


def test_every_read_that_a_viewer_may_not_do_leaves_a_record_too() -> None:
    noted = {method.removeprefix("/paydesk.v1.") for method in NOTED_READS}
    reads = METHODS - HISTORY - AUDITED - SANDBOX_READS - CALCULATED
    privileged = {name for name in reads if "VIEWER" not in RULES[f"/paydesk.v1.{name}"] and not name.startswith("Simulator/")}
    assert privileged <= noted
    assert noted <= reads, "a change writes its own entry"


def test_a_noted_read_names_its_object_by_a_field_that_it_has() -> None:
    requests = {
        f"/{method.containing_service.full_name}/{method.name}": method.input_type
        for module in SERVICES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    for method, (_, field) in NOTED_READS.items():
        assert not field or field in requests[method].fields_by_name, method
