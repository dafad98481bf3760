"""Wire messages to values of this tier and back. Nothing here waits or speaks."""

from __future__ import annotations

from collections.abc import Iterable

from mesh.errors import Rejected
from ovos.common.v1 import common_pb2
from ovos.tts.v1 import tts_pb2 as pb
from tts_service.engine import FASTEST, SLOWEST, Manner, Voice, Word
from tts_service.speech import Audio, Began, Cancelled, Degraded, Ended, Event, Speech

SLOWEST_RATE_HZ, FASTEST_RATE_HZ = 8_000, 48_000
CHUNK_S = 0.02
SHORTEST_CHUNK_S, LONGEST_CHUNK_S = 0.01, 0.2


def audio_format(rate_hz: int) -> common_pb2.AudioFormat:
    return common_pb2.AudioFormat(
        encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=rate_hz, channels=1
    )


def rate_of(asked: common_pb2.AudioFormat) -> int:
    """
    Raises:
        Rejected: it is not PCM16 mono at a rate for speech.
    """
    if asked.encoding != common_pb2.AUDIO_ENCODING_PCM_S16LE:
        raise Rejected("only PCM_S16LE is made", param="audio_format.encoding")
    if asked.channels > 1:
        raise Rejected("speech has one channel", param="audio_format.channels")
    if not SLOWEST_RATE_HZ <= asked.sample_rate_hz <= FASTEST_RATE_HZ:
        detail = f"rates are {SLOWEST_RATE_HZ} to {FASTEST_RATE_HZ} Hz"
        raise Rejected(detail, param="audio_format.sample_rate_hz")
    return asked.sample_rate_hz


def manner_of(asked: pb.VoiceSelection) -> Manner:
    """
    Raises:
        Rejected: the speed is out of bounds.
    """
    speed = asked.speaking_rate if asked.HasField("speaking_rate") else 1.0
    if not SLOWEST <= speed <= FASTEST:
        detail = f"speeds are {SLOWEST} to {FASTEST}"
        raise Rejected(detail, param="voice.speaking_rate")
    return Manner(asked.voice_id, asked.language_code, speed)


def speech_of(config: pb.StreamingSynthesisConfig) -> Speech:
    """
    Raises:
        Rejected: the audio format or the length of a chunk is out of bounds.
    """
    rate_hz = rate_of(config.audio_format)
    chunk_s = CHUNK_S
    if config.HasField("chunk_duration"):
        chunk_s = config.chunk_duration.ToTimedelta().total_seconds()
    if not SHORTEST_CHUNK_S <= chunk_s <= LONGEST_CHUNK_S:
        detail = f"chunks are {SHORTEST_CHUNK_S} to {LONGEST_CHUNK_S} s"
        raise Rejected(detail, param="chunk_duration")
    return Speech(
        rate_hz=rate_hz,
        chunk_samples=round(chunk_s * rate_hz),
        allowed_until=config.credit.allowed_until_sample if config.HasField("credit") else None,
        manual=config.segmentation == pb.SEGMENTATION_MODE_MANUAL,
        continues=config.continues,
    )


def response_of(event: Event) -> pb.StreamingSynthesizeResponse:
    match event:
        case Audio(segment, pcm, sequence, first_sample, words):
            chunk = common_pb2.AudioChunk(data=pcm, sequence=sequence, first_sample=first_sample)
            audio = pb.SegmentAudio(segment=segment, chunk=chunk, words=_timings(words))
            return pb.StreamingSynthesizeResponse(audio=audio)
        case Began(segment, text, start_char):
            started = pb.SegmentStarted(segment=segment, text=text, start_char=start_char)
            return pb.StreamingSynthesizeResponse(segment_started=started)
        case Ended(segment, end_sample, words):
            finished = pb.SegmentFinished(
                segment=segment, end_sample=end_sample, words=_timings(words)
            )
            return pb.StreamingSynthesizeResponse(segment_finished=finished)
        case Degraded(failed, serving, reason):
            degraded = pb.SynthesisDegraded(
                failed_engine=failed, serving_engine=serving, reason=reason
            )
            return pb.StreamingSynthesizeResponse(degraded=degraded)
        case Cancelled(cancel_id, sent_until_sample):
            cancelled = pb.SynthesisCancelled(
                cancel_id=cancel_id, sent_until_sample=sent_until_sample
            )
            return pb.StreamingSynthesizeResponse(cancelled=cancelled)


def _timings(words: Iterable[Word]) -> list[pb.WordTiming]:
    return [
        pb.WordTiming(
            start_char=word.start_char, end_char=word.end_char, start_sample=word.start_sample
        )
        for word in words
    ]


def usage_of(n_samples: int, n_chars: int) -> common_pb2.Usage:
    return common_pb2.Usage(output_audio_samples=n_samples, input_characters=n_chars)


def voices_of(engine: str, rate_hz: int, voices: Iterable[Voice]) -> list[pb.Voice]:
    return [
        pb.Voice(
            voice_id=voice.voice_id,
            display_name=voice.name,
            language_codes=voice.languages,
            engine=engine,
            native_sample_rate_hz=rate_hz,
        )
        for voice in voices
    ]
