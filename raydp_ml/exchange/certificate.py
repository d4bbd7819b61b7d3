"""Encryption between hosts: a server's own certificate, which its clients know beforehand.

Whoever connects takes this certificate and no other, so that no name and no authority is needed;
it reaches Spark's tasks the way the session's secret does. The secret is sent inside the encrypted
connection, and so only to the server that it belongs to.
"""

from __future__ import annotations

import base64
import datetime
import os
import ssl
from pathlib import Path

from raydp_ml.session.launch import write_private

_VALID = datetime.timedelta(days=3650)
_CLOCKS_DIFFER = datetime.timedelta(days=365)


def certified(folder: str) -> tuple[ssl.SSLContext, str]:
    """Make a key and a certificate for it, which live as long as this process.

    Parameters
    ----------
    folder : str
        A private folder; the key is in it for a moment, since OpenSSL reads files only.

    Returns
    -------
    context : ssl.SSLContext
        For the server's side of connections.
    certificate : str
        The certificate (DER), in base64: what clients are to expect.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "raydp_ml block server")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    file = Path(folder, "key.pem")
    write_private(file, private.decode() + made.public_bytes(pem).decode())
    try:
        context.load_cert_chain(file)
    finally:
        os.remove(file)
    der = made.public_bytes(serialization.Encoding.DER)
    return context, base64.b64encode(der).decode()
