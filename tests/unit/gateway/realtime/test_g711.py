from itertools import pairwise
from typing import Any, Literal

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.realtime.g711 import (
    _TABLES,
    RATE_HZ,
    Decoder,
    Encoder,
    Law,
    decode,
    encode,
)

LAWS: list[tuple[Law, str]] = [("audio/pcmu", "pcm_mulaw"), ("audio/pcma", "pcm_alaw")]
EVERY_SAMPLE = np.arange(1 << 16).astype(np.uint16).view(np.int16)
DELAY = 34  # samples at 24 kHz, each way

SILENCE = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}


@pytest.mark.parametrize(("law", "codec"), LAWS)
def test_levels_are_those_of_ffmpeg(law: Law, codec: str) -> None:
    context = codec_context(codec, "r")
    context.sample_rate, context.layout = RATE_HZ, "mono"

    [frame] = context.decode(av.Packet(bytes(range(256))))

    assert frame.to_ndarray().ravel().tolist() == _TABLES[law][0].tolist()


@pytest.mark.parametrize(("law", "codec"), LAWS)
def test_every_sample_gets_the_byte_of_ffmpeg(law: Law, codec: str) -> None:
    context = codec_context(codec, "w")
    context.sample_rate, context.layout, context.format = RATE_HZ, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(EVERY_SAMPLE[None, :], format="s16", layout="mono")
    frame.sample_rate = RATE_HZ

    theirs = b"".join(bytes(packet) for packet in context.encode(frame) + context.encode(None))

    assert _TABLES[law][1][EVERY_SAMPLE.view(np.uint16)].tobytes() == theirs


@pytest.mark.parametrize(("law", "_"), LAWS)
def test_silence_is_silent_both_ways(law: Law, _: str) -> None:
    heard = np.frombuffer(decode(SILENCE[law] * 800, law), "<i2")

    assert abs(heard).max() <= 10  # A-law has no zero
    assert encode(bytes(2400), law) == SILENCE[law] * 400


@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 159, 160, 161])
def test_bytes_are_counted_exactly(n: int) -> None:
    assert len(Decoder("audio/pcmu").feed(bytes(n))) == n * 3 * 2
    assert len(Encoder("audio/pcmu").feed(bytes(n * 3 * 2))) == n


def test_a_rest_waits_and_is_filled_up_at_the_end() -> None:
    encoder = Encoder("audio/pcma")

    assert encoder.feed(bytes(5)) == b""
    assert encoder.feed(bytes(2)) == SILENCE["audio/pcma"]
    assert encoder.finish() == SILENCE["audio/pcma"]
    assert encoder.finish() == b""


@pytest.mark.parametrize(("law", "_"), LAWS)
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_decoded_audio_does_not_depend_on_the_cuts(
    law: Law, _: str, data: bytes, cuts: list[int]
) -> None:
    decoder = Decoder(law)

    assert b"".join(decoder.feed(part) for part in parts(data, cuts)) == decode(data, law)


@pytest.mark.parametrize(("law", "_"), LAWS)
@given(pcm=st.binary(max_size=900), cuts=st.lists(st.integers(0, 900), max_size=8))
def test_encoded_audio_does_not_depend_on_the_cuts(
    law: Law, _: str, pcm: bytes, cuts: list[int]
) -> None:
    encoder = Encoder(law)

    made = b"".join(encoder.feed(part) for part in parts(pcm, cuts))

    assert made + encoder.finish() == encode(pcm, law)


@pytest.mark.parametrize("hz", [100, 1000, 2000, 3000])
def test_the_band_of_a_telephone_is_flat_and_has_no_images(hz: int) -> None:
    heard = spectrum(samples(decode(encode_8k(tone(hz, RATE_HZ)), "audio/pcmu")), 3 * RATE_HZ)

    assert 20 * np.log10(heard[hz] / 10_000) == pytest.approx(0, abs=1)
    assert 20 * np.log10(heard[4_400:].max() / heard[hz]) < -40


@pytest.mark.parametrize("hz", [300, 1000, 3000])
def test_the_band_of_a_telephone_is_passed_on(hz: int) -> None:
    sent = spectrum(levels(encode(tone(hz, 3 * RATE_HZ).tobytes(), "audio/pcmu")), RATE_HZ)

    assert 20 * np.log10(sent[hz] / 10_000) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("hz", [4_700, 6_000, 7_000, 11_000])
def test_what_a_telephone_cannot_carry_does_not_fold_into_its_band(hz: int) -> None:
    sent = levels(encode(tone(hz, 3 * RATE_HZ).tobytes(), "audio/pcmu"))

    assert 20 * np.log10(spectrum(sent, RATE_HZ).max() / 10_000) < -40


@pytest.mark.parametrize(("law", "_"), LAWS)
def test_speech_comes_back_as_it_was(law: Law, _: str) -> None:
    random = np.random.default_rng(7)
    there = np.fft.rfft(random.normal(0, 3000, 24_000))
    there[3_300:] = 0  # a second, so a bin is a hertz
    pcm = np.fft.irfft(there).astype("<i2")

    back = samples(decode(encode(pcm.tobytes(), law), law))

    # The encoder's first byte stands for its first three samples and hears all of them.
    delay = 2 * DELAY - 2
    noise = back[delay:].astype(float) - pcm[:-delay]
    snr_db = 10 * np.log10(np.mean(pcm[:-delay].astype(float) ** 2) / np.mean(noise**2))
    assert snr_db > 30


def test_the_loudest_is_clipped_and_does_not_wrap() -> None:
    square = np.tile(np.repeat(np.array([-32768, 32767], "<i2"), 24), 50)

    back = samples(decode(encode(square.tobytes(), "audio/pcmu"), "audio/pcmu"))

    assert np.sign(back[100:148].astype(int)).sum() in range(-8, 9)
    assert abs(np.diff(back.astype(int))).max() < 40_000


def codec_context(codec: str, mode: Literal["r", "w"]) -> Any:
    return av.CodecContext.create(codec, mode)


def parts(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def tone(hz: int, rate_hz: int) -> NDArray[np.int16]:
    """A second of it."""
    phase = 2 * np.pi * hz * np.arange(rate_hz) / rate_hz
    return np.rint(10_000 * np.sin(phase)).astype("<i2")


def encode_8k(pcm: NDArray[np.int16]) -> bytes:
    return _TABLES["audio/pcmu"][1][pcm.view(np.uint16)].tobytes()


def levels(data: bytes) -> NDArray[np.float64]:
    return _TABLES["audio/pcmu"][0][np.frombuffer(data, np.uint8)]


def samples(pcm: bytes) -> NDArray[np.int16]:
    return np.frombuffer(pcm, np.int16)


def spectrum(signal: NDArray[np.int16] | NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """The amplitude at each hertz of a second of it."""
    assert len(signal) == rate_hz
    window = np.hanning(rate_hz)
    found: NDArray[np.float64] = abs(np.fft.rfft(signal * window)) * 2 / window.sum()
    return found
