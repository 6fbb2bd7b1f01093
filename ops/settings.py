"""The settings of a deployment: PAYDESK_* in the environment, or the same names in the file that PAYDESK_CONFIG names.

Every field has a value that works on one machine. What finance staff change is not here but in the database.
"""

import os
import secrets
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from actors.directory import Directory, Placement
from servers.tls import Files
from storage import private_files
from storage.master_keys import MasterKeys
from storage.vault import Vault

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# What the kernel takes as the path of a Unix socket.
SOCKET_LENGTH_MAX = 100


class Settings(BaseSettings):
    """How this deployment runs."""

    model_config = SettingsConfigDict(env_prefix="PAYDESK_", extra="forbid")

    data_dir: Path = Field(Path(".paydesk"), description="Where the embedded database, Ray and the sandbox keep files")
    database_url: str = Field("", description="SQLAlchemy URL of your own PostgreSQL; empty starts the embedded one")
    ray_address: str = Field("", description="Address of your own Ray cluster; empty starts a local one")
    host: str = Field("127.0.0.1", description="Address that gRPC and HTTP listen on")
    grpc_port: int = Field(7710, ge=0, le=65535, description="Port of gRPC; 0 chooses a free one")
    http_port: int = Field(7711, ge=0, le=65535, description="Port of callbacks, metrics and health; 0 chooses one")
    public_url: str = Field("", description="URL by which channels reach the HTTP port; empty means host and port")
    gateways: int = Field(1, ge=1, le=32, description="Gateway processes that share the gRPC port")
    placement: Placement = Field(Placement.SHARED, description="shared: connectors live with the first router; spread: a process per role")
    routers: int = Field(1, ge=1, le=64, description="Router actors; a tenant lives on one of them")
    desk_file: Path | None = Field(None, description="Tenants, channels and accounts to set up; default: the sandbox")
    simulator: bool = Field(True, description="Run the sandbox; without it, channels of kind sandbox do not answer")
    simulator_seed: int = Field(1, description="What the sandbox's chance begins with")
    simulator_http_port: int = Field(
        0, ge=0, le=65535, description="Port on loopback of the channels' simulated wires; 0 chooses a free one"
    )
    allow_private_webhooks: bool = Field(True, description="Let notices go to http and private addresses, and mail to servers there (sandbox)")
    allow_embedded_beyond_loopback: bool = Field(False, description="Listen beyond loopback with the embedded database")
    tls_cert_file: Path | None = Field(None, description="Certificate of gRPC and HTTP in PEM, with its chain; none: in the clear")
    tls_key_file: Path | None = Field(None, description="The certificate's key in PEM")
    tls_client_ca_file: Path | None = Field(
        None, description="Authority of client certificates; with it every gRPC client must show one"
    )
    allow_plaintext_beyond_loopback: bool = Field(False, description="Listen beyond loopback without TLS")
    notify_schedule_factor: float = Field(1.0, gt=0, description="Multiplies the waits between tries of a notice")
    audit_heads_file: Path | None = Field(
        None, description="Where signed heads of the audit chains are kept, best on another host; default: in data_dir"
    )
    master_key_file: Path | None = Field(
        None, description="The keys that guard all secrets, mode 600; default: in data_dir. PAYDESK_MASTER_KEY goes before it"
    )
    message_bytes_max: int = Field(1 << 20, ge=1024, description="The largest gRPC message taken")
    concurrent_calls_max: int = Field(4_000, ge=1, description="Calls that one gateway serves at once")
    address_connections_max: int = Field(
        250, ge=1, description="Connections to the port of callbacks that one address has at once; a proxy in front is one"
    )
    tenant_calls_max: int = Field(2_500, ge=1, description="Calls of one tenant that wait in one gateway at once")
    tenant_batch_items_max: int = Field(
        1_000, ge=1, description="Payments in batches of one tenant that wait in one gateway at once"
    )
    bulk_share: float = Field(
        0.1, gt=0, le=1, description="Part of a router's time that batches take while online calls come"
    )
    drain_s: float = Field(5.0, ge=0, description="How long calls under way are waited for at the end")
    reflection: bool | None = Field(
        None, description="Serve gRPC reflection, which tells strangers what there is; default: on loopback alone"
    )
    log_level: str = Field("info", description="debug, info, warning or error")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        file = os.environ.get("PAYDESK_CONFIG")
        sources = (init_settings, env_settings)
        return (*sources, TomlConfigSettingsSource(settings_cls, Path(file))) if file else sources

    def directory(self) -> Path:
        """Return the data directory as an absolute path, made for its owner alone (the embedded database may open a way through it)."""
        path = self.data_dir.expanduser().resolve()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def tls(self) -> Files | None:
        """Return the files that TLS needs, None where it is in the clear."""
        if self.tls_cert_file is None or self.tls_key_file is None:
            return None
        authority = self.tls_client_ca_file
        return Files(self.tls_cert_file.resolve(), self.tls_key_file.resolve(), authority.resolve() if authority else None)

    def listening_fault(self) -> str:
        """Return why nobody may listen as this says: in the clear where others can hear it, or with files of no use; "" if he may."""
        named = [self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file]
        if not any(named):
            if self.host in LOOPBACK or self.allow_plaintext_beyond_loopback:
                return ""
            return (
                f"refusing to listen on {self.host} without TLS: set PAYDESK_TLS_CERT_FILE and PAYDESK_TLS_KEY_FILE, or "
                "PAYDESK_ALLOW_PLAINTEXT_BEYOND_LOOPBACK=true where something in front of it speaks TLS"
            )
        files = self.tls()
        if files is None:
            return "TLS needs both PAYDESK_TLS_CERT_FILE and PAYDESK_TLS_KEY_FILE"
        try:
            files.check()
        except (OSError, ValueError) as error:
            return f"the TLS files can't be used: {error}"
        socket = str(self.gateway_socket(0))
        return f"the path of {socket} is too long for a socket: set a shorter PAYDESK_DATA_DIR" if len(socket) > SOCKET_LENGTH_MAX else ""

    def http_scheme(self) -> str:
        """Return how the HTTP port is spoken to."""
        return "https" if self.tls() else "http"

    def gateway_socket(self, index: int) -> Path:
        """Return where a gateway that speaks TLS also listens for the commands of this machine, in the clear."""
        return self.directory() / f"gateway-{index}.sock"

    def make_directory(self) -> Directory:
        """Return how to reach the actors of this deployment."""
        return Directory(router_count=self.routers, placement=self.placement)

    def key_file(self) -> Path:
        """Return where the master keys are, as an absolute path."""
        return (self.master_key_file or self.directory() / "master.key").expanduser().resolve()

    def vault(self) -> Vault:
        """Return what opens this deployment's secrets."""
        return Vault(MasterKeys(self.key_file()))

    def simulator_directory(self) -> Path:
        """Return where the sandbox keeps its ledger and the keys of its wires."""
        return self.directory() / "simulator"

    def runtime_file(self) -> Path:
        """Return where the engine writes how to reach it."""
        return self.directory() / "runtime.json"

    def environment(self) -> dict[str, str]:
        """Return these settings as environment variables for a child process."""
        values = self.model_dump(mode="json", exclude_none=True)
        values["data_dir"] = self.directory()  # absolute: a child may run in another directory
        values["master_key_file"] = self.key_file()
        return {f"PAYDESK_{name.upper()}": str(value) for name, value in values.items()}


def pepper(directory: Path) -> bytes:
    """Return the deployment's pepper for API keys, made at first use."""
    text = private_files.made_once(directory / "keys.pepper", lambda: secrets.token_hex(32).encode())
    return bytes.fromhex(text.decode())
