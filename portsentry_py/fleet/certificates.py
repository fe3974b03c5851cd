"""The certificates of the broker: an authority of the fleet's own, and what it signs."""

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from portsentry_py.errors import LibraryMissing

if TYPE_CHECKING:
    from cryptography import x509

_VALID = timedelta(days=3650)
# A broker whose clock is a little slow must not find its own certificate in the future.
_BEFORE = timedelta(days=1)


class Certified(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


def certify(names: Iterable[str]) -> tuple[Certified, Certified]:
    """A new authority, and a broker of these host names and addresses that it certifies.

    Raises:
        LibraryMissing: cryptography is not installed.
    """
    try:
        from cryptography import x509  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - same
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - same
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415 - same
    except ImportError as error:
        raise LibraryMissing("cryptography", "fleet") from error

    def named(title: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])

    def pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Certified:
        forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return Certified(certificate.public_bytes(forms[0]), key.private_bytes(*forms))

    def builder(title: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(named(title))
            .issuer_name(named("portsentry-py fleet"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BEFORE)
            .not_valid_after(now + _VALID)
        )

    authority_key, broker_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    signs = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    authority = (
        builder("portsentry-py fleet", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(authority_identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    broker = (
        builder("broker", broker_key)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_identifier), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    return pem(authority, authority_key), pem(broker, broker_key)


def _general(name: str) -> "x509.GeneralName":
    from cryptography import x509  # noqa: PLC0415 - an extra

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
