"""Slower or faster speech at the same pitch, for speeds an engine does not reach. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mesh.audio import Samples

FRAME_S = 0.03  # two periods of a low voice
SEARCH_S = 0.008  # half a period of a low voice: enough to find where the wave fits


def stretch(
    samples: Samples,
    sample_rate_hz: int,
    factor: float,
    stopped: Callable[[], bool] = lambda: False,
) -> Samples:
    """Make speech `factor` times as long. Half a minute takes a tenth of a second.

    Frames are laid over each other by half, each taken from where it continues the one
    before best (waveform similarity overlap-add, Verhelst and Roelands 1993).

    Args:
        stopped: Asked at every frame; true ends it with silence.
    """
    hop = int(FRAME_S * sample_rate_hz) // 2
    frame, search = 2 * hop, int(SEARCH_S * sample_rate_hz)
    if factor == 1 or len(samples) < frame:
        return samples
    window = np.hanning(frame + 1)[:-1].astype(np.float32)  # halves add up to 1
    source = np.pad(samples, (search, 2 * frame + search))
    n_out = int(len(samples) * factor)
    out = np.zeros(n_out + frame, dtype=np.float32)
    at = 0
    for to in range(0, n_out, hop):
        if stopped():
            break
        ideal = int(to / factor)
        if to:
            goes_on = source[search + at + hop :][:frame]
            around = source[ideal : ideal + frame + 2 * search]
            at = ideal - search + int(np.argmax(np.correlate(around, goes_on, "valid")))
        out[to : to + frame] += source[search + at :][:frame] * window
    return out[:n_out]
