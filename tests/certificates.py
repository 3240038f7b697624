"""A certificate authority that lives as long as a test, for keys that sign pictures."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
USES += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


def write_key_and_certificates(folder: Path) -> tuple[Path, Path]:
    """A key of `a booth`, and its certificates from its own up."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    own = certificate("a booth", key, "an authority", authority)
    (folder / "chain.pem").write_bytes(own + certificate("an authority", authority, "an authority", authority))
    return folder / "key.pem", folder / "chain.pem"


def certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """PEM; of an authority where it issues itself, else one that may sign."""
    authority, now = name == issuer, datetime.now(UTC)
    names = [
        x509.Name([x509.NameAttribute(kind, words) for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)])
        for words in (name, issuer)
    ]
    uses = ("key_cert_sign", "crl_sign") if authority else ("digital_signature",)
    builder = x509.CertificateBuilder(*reversed(names), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    builder = builder.add_extension(x509.KeyUsage(**{use: use in uses for use in USES}), critical=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)
