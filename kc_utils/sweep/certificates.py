"""Who may give orders to the workers of a sweep: certificates for Dask, checked before use.

Whoever reaches a Dask scheduler without TLS can run any function in its workers. So a cluster that
a sweep starts itself has certificates that exist in memory only, and a scheduler elsewhere is asked
with certificates that the user gives, by options or in Dask's own configuration.
"""

from __future__ import annotations

import ssl
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import dask
from distributed.security import Security

from kc_utils.errors import KcError

TLS = "tls://"
OPTIONS = "--tls-ca-file, --tls-cert and --tls-key"


@dataclass(frozen=True)
class Certificates:
    """Files in PEM format: who is believed (``ca_file``), who this side is, and the key of that.

    ``key`` may stand in ``cert``. What is None is taken from Dask's configuration.
    """

    ca_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def given(self) -> bool:
        """Whether one was named."""
        return any(asdict(self).values())


def temporary_security() -> Security:
    """Certificates for one cluster on this machine; nobody else can have them.

    They exist as long as the cluster and are valid at any time, because Dask's own begin now: after
    a clock that goes back, no worker would be believed.

    Raises:
        KcError: the package that makes them is not installed.
    """
    try:
        made = Security.temporary()
        always = _valid_always(made.tls_ca_file.encode(), made.tls_client_key.encode()).decode()
    except ImportError:
        raise KcError(
            "The workers of a sweep take orders over TLS only, and the package cryptography, which "
            "makes the certificates, is not installed; 'pip install cryptography' installs it."
        ) from None
    made.tls_ca_file = made.tls_client_cert = always
    made.tls_scheduler_cert = made.tls_worker_cert = always
    return made


def _valid_always(certificate: bytes, key: bytes) -> bytes:
    """The same self-signed certificate, valid from 1970 until RFC 5280's "no expiration"."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    old = x509.load_pem_x509_certificate(certificate)
    new = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(old.serial_number)
        .not_valid_before(datetime(1970, 1, 1))
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59))
    )
    for extension in old.extensions:
        new = new.add_extension(extension.value, extension.critical)
    signed = new.sign(serialization.load_pem_private_key(key, None), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def security_for(scheduler: str | None, certificates: Certificates) -> Security | None:
    """What a client needs for the scheduler at this address; None where it needs nothing.

    Raises:
        KcError: certificates are missing, cannot be read, do not fit each other, or have no effect.
    """
    if scheduler is None or not scheduler.startswith(TLS):
        if certificates.given:
            where = "without --scheduler" if scheduler is None else f"with --scheduler {scheduler}"
            raise KcError(
                f"{OPTIONS} have no effect {where}; allowed is --scheduler {TLS}host:port."
            )
        if scheduler is not None and dask.config.get("distributed.comm.require-encryption"):
            raise KcError(
                f"--scheduler {scheduler} is refused by distributed.comm.require-encryption in "
                f"Dask's configuration; allowed is {TLS}host:port."
            )
        return None
    given = {
        "tls_ca_file": certificates.ca_file,
        "tls_client_cert": certificates.cert,
        "tls_client_key": certificates.key,
    }
    security = Security(
        require_encryption=True, **{name: str(path) for name, path in given.items() if path}
    )
    if not security.tls_ca_file or not security.tls_client_cert:
        raise KcError(
            f"--scheduler {scheduler} needs certificates; give {OPTIONS}, or set "
            "distributed.comm.tls in Dask's configuration."
        )
    _check(security)
    return security


def _check(security: Security) -> None:
    """Load the files once, as Dask will: it would say what is wrong with them much later."""
    authority, cert, key = (
        security.tls_ca_file, security.tls_client_cert, security.tls_client_key,
    )  # fmt: skip
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ValueError) as error:
        raise KcError(_unusable("--tls-ca-file", authority, error)) from None
    try:
        # With a password, however wrong: without one, OpenSSL would ask for it at the terminal.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        named = cert if key is None else f"{cert} with --tls-key {key}"
        raise KcError(_unusable("--tls-cert", named, error)) from None


def _unusable(option: str, file: str, error: Exception) -> str:
    missing = isinstance(error, FileNotFoundError)
    reason = "no such file" if missing else getattr(error, "reason", None) or error
    return (
        f"{option} {file} cannot be used ({reason}); allowed are files in PEM format, the key "
        "without a password and of that certificate."
    )
