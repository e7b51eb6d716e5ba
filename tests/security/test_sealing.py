"""A sealed payload opens for the one party of the one message that it was made for, and for nothing else."""

from __future__ import annotations

import time
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.keys import KeyStore, Kind
from gateway.security.sealing import SealBroken, Sealed, Sealer

PLACE = {"message_id": "m-1", "message_type": "identity-information-update", "party": "city-cs"}
TEXT = "<架空>架空 太郎</架空>".encode()

pytestmark = pytest.mark.invariant("I5")


def opened(sealer: Sealer, sealed: Sealed, **changed: object) -> bytes:
    arguments = {"wrapped": sealed.wrapped, "kek_id": sealed.kek_id, **PLACE, **changed}
    body = arguments.pop("body", sealed.sealed)
    return sealer.unseal(body, **arguments)  # type: ignore[arg-type]


def test_opens_in_its_place_and_hides_the_text(keys: KeyStore) -> None:
    sealer = Sealer(keys)
    sealed = sealer.seal(TEXT, **PLACE)
    assert opened(sealer, sealed) == TEXT
    assert TEXT not in sealed.sealed
    assert TEXT[8:20] not in sealed.sealed
    assert sealed.wrapped.hex() not in repr(sealed)


@pytest.mark.parametrize("changed", [{"message_id": "m-2"}, {"message_type": "x"}, {"party": "prefecture-server"}])
def test_does_not_open_in_another_place(keys: KeyStore, changed: dict[str, str]) -> None:
    sealer = Sealer(keys)
    with pytest.raises(SealBroken, match="seal-broken"):
        opened(sealer, sealer.seal(TEXT, **PLACE), **changed)


def test_parts_of_the_binding_cannot_be_shifted_into_each_other(keys: KeyStore) -> None:
    sealer = Sealer(keys)
    sealed = sealer.seal(TEXT, message_id="ab", message_type="c", party="d")
    with pytest.raises(SealBroken):
        opened(sealer, sealed, message_id="a", message_type="bc", party="d")


def test_every_flipped_bit_and_every_cut_is_refused(keys: KeyStore) -> None:
    sealer = Sealer(keys)
    sealed = sealer.seal(b"short", **PLACE)
    for place in range(len(sealed.sealed)):
        broken = bytearray(sealed.sealed)
        broken[place] ^= 1
        with pytest.raises(SealBroken):
            opened(sealer, sealed, body=bytes(broken))
        with pytest.raises(SealBroken):
            opened(sealer, sealed, body=sealed.sealed[:place])
    for place in range(len(sealed.wrapped)):
        broken = bytearray(sealed.wrapped)
        broken[place] ^= 1
        with pytest.raises(SealBroken, match="data-key-broken"):
            opened(sealer, sealed, wrapped=bytes(broken))
        with pytest.raises(SealBroken, match="data-key-broken"):
            opened(sealer, sealed, wrapped=sealed.wrapped[:place])


def test_no_two_seals_share_key_or_text(keys: KeyStore) -> None:
    sealer = Sealer(keys)
    seals = [sealer.seal(TEXT, **PLACE) for _ in range(50)]
    assert len({each.key_id for each in seals}) == len({each.wrapped for each in seals}) == len({each.sealed for each in seals}) == 50


def test_rotation_rewraps_the_key_and_leaves_the_text(keys: KeyStore) -> None:
    sealer = Sealer(keys)
    sealed = sealer.seal(TEXT, **PLACE)
    keys.rotate(Kind.KEK)
    kek_id, wrapped = sealer.rewrap(sealed.wrapped, kek_id=sealed.kek_id, message_id="m-1")
    keys.destroy(Kind.KEK, sealed.kek_id)
    assert opened(sealer, sealed, kek_id=kek_id, wrapped=wrapped) == TEXT
    with pytest.raises(ConfigurationError, match="key-unknown"):
        opened(sealer, sealed)


def test_cost_of_sealing_4_kb(keys: KeyStore) -> None:
    sealer, text = Sealer(keys), bytes(4096)
    sealed = sealer.seal(text, **PLACE)
    both = (
        min(timeit.repeat(lambda: (sealer.seal(text, **PLACE), opened(sealer, sealed)), timer=time.thread_time, number=200, repeat=5)) / 200
    )
    assert both < 200e-6, "the bar is 30 µs for each; on a busy machine a tenth of a reserve tells nothing"


@settings(max_examples=200)
@given(st.tuples(st.text(max_size=5), st.text(max_size=5)), st.tuples(st.text(max_size=5), st.text(max_size=5)))
def test_digests_agree_exactly_where_the_parts_agree(one: tuple[str, str], two: tuple[str, str]) -> None:
    index, mac = BlindIndex(b"k" * 32, "k1"), ContentMac(b"c" * 32)
    assert (index.of(*one) == index.of(*two)) == (one == two)
    assert (mac.of(*one) == mac.of(*two)) == (one == two)
    assert mac.of(*one) == mac.of(*(each.encode() for each in one))


def test_digests_depend_on_the_key_and_the_purposes_have_different_keys(keys: KeyStore) -> None:
    assert BlindIndex(b"1" * 32, "a").of("individual-number", "123456789018") != BlindIndex(b"2" * 32, "b").of(
        "individual-number", "123456789018"
    )
    assert BlindIndex.current(keys).of("a", "b") != ContentMac.current(keys).of("a", "b")
    before = BlindIndex.current(keys)
    keys.rotate(Kind.BLIND)
    assert BlindIndex.current(keys).key_id != before.key_id
