import struct
import wave

import numpy as np
import pytest

from mesh import audio
from voicemesh import wav

SINE = (0.5 * np.sin(np.arange(8000) * 2 * np.pi * 440 / 8000)).astype(np.float32)


def riff(tag, bits, rate_hz, n_channels, data, extra=b""):
    frame = bits // 8 * n_channels
    head = struct.pack("<HHIIHH", tag, n_channels, rate_hz, rate_hz * frame, frame, bits) + extra
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(head)) + head
    body += b"LIST" + struct.pack("<I", 3) + b"odd\0"
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def encoded(tag, bits):
    match tag, bits:
        case 1, 8:
            return (SINE * 127 + 128).astype(np.uint8).tobytes()
        case 1, 24:
            wide = (SINE * (2**31 - 1)).astype("<i4")
            return wide.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
        case 1, _:
            return (SINE * (2 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes()
    return SINE.astype(f"<f{bits // 8}").tobytes()


@pytest.mark.parametrize(("tag", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
def test_every_width_gives_the_same_sound(tmp_path, tag, bits):
    file = tmp_path / "a.wav"
    file.write_bytes(riff(tag, bits, 8000, 1, encoded(tag, bits)))
    assert audio.to_float32(wav.read(file, 8000)) == pytest.approx(SINE, abs=0.02)


def test_channels_are_mixed_and_the_rate_is_changed(tmp_path):
    file = tmp_path / "a.wav"
    stereo = np.stack([SINE, -SINE], axis=1).astype("<f4").tobytes()
    file.write_bytes(riff(3, 32, 8000, 2, stereo))
    pcm = wav.read(file, 24_000)
    assert audio.duration_ms(pcm, 24_000) == pytest.approx(1000, abs=1)
    assert audio.to_float32(pcm) == pytest.approx(0, abs=1e-3)  # the resampler dithers


def test_the_extensible_header_is_read(tmp_path):
    file = tmp_path / "a.wav"
    extra = struct.pack("<HHIH", 22, 16, 0, 1) + b"\0" * 14
    file.write_bytes(riff(0xFFFE, 16, 8000, 1, encoded(1, 16), extra))
    assert len(wav.read(file, 8000)) == 16_000


def test_a_recording_of_unknown_length_is_read_to_its_end(tmp_path):
    file = tmp_path / "a.wav"
    content = riff(1, 16, 8000, 1, encoded(1, 16))
    at = content.index(b"data") + 4
    file.write_bytes(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :])
    assert len(wav.read(file, 8000)) == 16_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a recording at all",
        b"RIFF\0\0\0\0WAVE",
        riff(85, 16, 8000, 1, b"mp3"),
        riff(1, 16, 0, 1, b"\0\0"),
        riff(1, 16, 8000, 0, b"\0\0"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, content):
    file = tmp_path / "a.wav"
    file.write_bytes(content)
    with pytest.raises(wav.NotWav):
        wav.read(file, 8000)


def test_what_is_written_is_a_recording(tmp_path):
    wav.write(tmp_path / "a.wav", b"\1\0" * 24, 24_000)
    with wave.open(str(tmp_path / "a.wav")) as written:
        assert (written.getframerate(), written.getnframes()) == (24_000, 24)
