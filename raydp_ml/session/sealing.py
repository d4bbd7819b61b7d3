"""Secrets for actors on other hosts, whose arguments Ray sends as they are.

The receiver makes a pair of keys and gives the public one away; what is sealed with it (X25519,
HKDF-SHA256, ChaCha20-Poly1305) only the receiver can open. It keeps a secret from whoever reads
the network, not from whoever can change what is sent there: that takes Ray's own TLS.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_NONCE = 12
_KEY = 32


class Receiver:
    """The one that can open what was sealed for it."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        self._key = X25519PrivateKey.generate()

    def public_key(self) -> bytes:
        """What `seal` takes."""
        return self._key.public_key().public_bytes_raw()

    def open(self, sealed: bytes) -> str:
        """Return the text that was sealed."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        sender = X25519PublicKey.from_public_bytes(sealed[:_KEY])
        cipher = _cipher(self._key.exchange(sender), sealed[:_KEY] + self.public_key())
        nonce, text = sealed[_KEY : _KEY + _NONCE], sealed[_KEY + _NONCE :]
        return cipher.decrypt(nonce, text, None).decode()


def seal(text: str, public_key: bytes) -> bytes:
    """Encrypt a text for the receiver that has this public key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    key = X25519PrivateKey.generate()
    sender, nonce = key.public_key().public_bytes_raw(), os.urandom(_NONCE)
    shared = key.exchange(X25519PublicKey.from_public_bytes(public_key))
    cipher = _cipher(shared, sender + public_key)
    return sender + nonce + cipher.encrypt(nonce, text.encode(), None)


def _cipher(shared: bytes, parties: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    made = HKDF(algorithm=hashes.SHA256(), length=_KEY, salt=None, info=b"raydp_ml" + parties)
    return ChaCha20Poly1305(made.derive(shared))
