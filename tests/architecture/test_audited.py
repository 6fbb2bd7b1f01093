"""Every method that changes something leaves a record that nobody can take back."""

from servers.grpc_server import SERVICES

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
