"""A certificate of a broker whose time is over."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def expire(operator: Path) -> bytes:
    """Put a certificate that ended yesterday in the place of the broker's; the old one."""
    path = operator / "broker/broker.pem"
    before = path.read_bytes()
    old = x509.load_pem_x509_certificate(before)
    key = serialization.load_pem_private_key((operator / "authority-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now - timedelta(days=1))
    )
    for one in old.extensions:
        made = made.add_extension(one.value, one.critical)
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return before
