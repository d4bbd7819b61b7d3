"""Secrets that cross the network inside Ray's messages."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from raydp_ml.session.sealing import Receiver, seal


def test_only_the_receiver_opens_what_was_sealed_for_it():
    receiver, other = Receiver(), Receiver()
    sealed = seal("the secret", receiver.public_key())
    assert b"the secret" not in sealed
    assert sealed != seal("the secret", receiver.public_key())
    assert receiver.open(sealed) == "the secret"
    with pytest.raises(InvalidTag):
        other.open(sealed)


@pytest.mark.parametrize("at", [0, 31, 32, 43, 44, -1])
def test_what_was_changed_on_the_way_is_not_opened(at):
    receiver = Receiver()
    sealed = bytearray(seal("the secret", receiver.public_key()))
    sealed[at] ^= 1
    with pytest.raises(InvalidTag):
        receiver.open(bytes(sealed))
