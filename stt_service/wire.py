"""The wire's messages and ours, both ways. Nothing else in this tier but the servicer and
its streams sees protobuf."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from google.protobuf.duration_pb2 import Duration

from mesh.errors import Rejected, detail_of
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import hearing
from stt_service.denoise import NoiseReduction
from stt_service.endpointing import Settings
from stt_service.engine import RATE_HZ, Engine, Heard, How, Segment, Word
from stt_service.listener import Wishes
from stt_service.turn_taking import Eagerness

SLOWEST_HZ, FASTEST_HZ = 8_000, 96_000
MAX_PREFIX_MS = 5_000
MAX_UTTERANCE_MS = 300_000
EAGERNESS = {
    pb.EAGERNESS_LOW: Eagerness.LOW,
    pb.EAGERNESS_MEDIUM: Eagerness.MEDIUM,
    pb.EAGERNESS_HIGH: Eagerness.HIGH,
}


def rate_of(audio_format: common_pb2.AudioFormat) -> int:
    """The rate of audio that we can read.

    Raises:
        Rejected: we cannot read it.
    """
    if audio_format.encoding != common_pb2.AUDIO_ENCODING_PCM_S16LE:
        raise Rejected("encoding must be PCM_S16LE", param="audio_format.encoding")
    if audio_format.channels > 1:
        raise Rejected("audio must be mono", param="audio_format.channels")
    if not SLOWEST_HZ <= audio_format.sample_rate_hz <= FASTEST_HZ:
        raise Rejected(
            f"the rate must be {SLOWEST_HZ} to {FASTEST_HZ} Hz",
            param="audio_format.sample_rate_hz",
        )
    return audio_format.sample_rate_hz


def how_of(config: pb.RecognitionConfig) -> How:
    return How(
        language=config.language_code,
        prompt=config.prompt,
        hints=tuple(config.hints),
        word_timestamps=config.word_timestamps,
        logprobs=config.token_logprobs,
        speakers=config.speakers,
    )


def noise_of(config: pb.RecognitionConfig) -> NoiseReduction | None:
    """
    Raises:
        Rejected: the strength makes no sense.
    """
    if not config.HasField("noise_reduction"):
        return None
    wanted = config.noise_reduction
    strength = wanted.strength if wanted.HasField("strength") else 1.0
    if not 0 <= strength <= 1:
        raise Rejected("strength must be 0 to 1", param="recognition.noise_reduction.strength")
    return NoiseReduction(far=wanted.place == pb.MICROPHONE_PLACE_FAR_FIELD, strength=strength)


def wishes_of(config: pb.StreamingRecognitionConfig, defaults: Settings) -> Wishes:
    """
    Raises:
        Rejected: a value makes no sense.
    """
    return Wishes(
        settings=settings_of(config.endpointing, defaults),
        how=how_of(config.recognition),
        model=config.recognition.model,
        interim=config.interim_results,
        noise=noise_of(config.recognition),
    )


def updated(wishes: Wishes, update: pb.RecognitionUpdate) -> Wishes:
    """What is wanted after an update; what it leaves unset stays.

    Raises:
        Rejected: a value makes no sense.
    """
    if update.HasField("endpointing"):
        settings = settings_of(update.endpointing, wishes.settings)
        wishes = replace(wishes, settings=settings)
    if update.HasField("recognition"):
        how, model = how_of(update.recognition), update.recognition.model
        noise = noise_of(update.recognition)
        wishes = replace(wishes, how=how, model=model, noise=noise)
    if update.HasField("interim_results"):
        wishes = replace(wishes, interim=update.interim_results)
    return wishes


def settings_of(config: pb.EndpointingConfig, settings: Settings) -> Settings:
    """
    Args:
        settings: For what the message leaves unset.

    Raises:
        Rejected: a value makes no sense.
    """
    settings = _with_mode(config, settings)
    if config.HasField("threshold"):
        if not 0 <= config.threshold <= 1:
            raise Rejected("threshold must be 0 to 1", param="endpointing.threshold")
        settings = replace(settings, threshold=config.threshold)
    if config.HasField("prefix_padding"):
        prefix_ms = _ms(config.prefix_padding, "prefix_padding")
        settings = replace(settings, prefix_ms=min(prefix_ms, MAX_PREFIX_MS))
    if config.HasField("silence_duration"):
        silence_ms = _ms(config.silence_duration, "silence_duration")
        settings = replace(settings, silence_ms=silence_ms)
    if config.HasField("max_utterance"):
        max_ms = _ms(config.max_utterance, "max_utterance") or MAX_UTTERANCE_MS
        settings = replace(settings, max_utterance_ms=min(max_ms, MAX_UTTERANCE_MS))
    return settings


def _with_mode(config: pb.EndpointingConfig, settings: Settings) -> Settings:
    if config.mode != pb.ENDPOINTING_MODE_UNSPECIFIED:
        semantic = config.mode == pb.ENDPOINTING_MODE_SEMANTIC_VAD
        settings = replace(
            settings,
            server_vad=config.mode != pb.ENDPOINTING_MODE_MANUAL,
            semantic=semantic,
            eagerness=Eagerness.MEDIUM if semantic else settings.eagerness,
        )
    if config.eagerness != pb.EAGERNESS_UNSPECIFIED:
        settings = replace(settings, eagerness=EAGERNESS.get(config.eagerness, Eagerness.MEDIUM))
    return settings


def _ms(duration: Duration, name: str) -> int:
    ms = duration.ToMilliseconds()
    if ms < 0:
        raise Rejected(f"{name} must not be negative", param=f"endpointing.{name}")
    return ms


def response_of(heard: hearing.Hearing) -> pb.StreamingRecognizeResponse:
    match heard:
        case hearing.Started(utterance_id, start_sample):
            started = pb.SpeechStarted(utterance_id=utterance_id, start_sample=start_sample)
            return pb.StreamingRecognizeResponse(speech_started=started)
        case hearing.Stopped(utterance_id, end_sample):
            stopped = pb.SpeechStopped(utterance_id=utterance_id, end_sample=end_sample)
            return pb.StreamingRecognizeResponse(speech_stopped=stopped)
        case hearing.Guessed(utterance_id, text, stable, revision, start_sample, end_sample):
            guess = pb.Transcript(
                utterance_id=utterance_id,
                text=text,
                stable_chars=stable,
                revision=revision,
                start_sample=start_sample,
                end_sample=end_sample,
            )
            return pb.StreamingRecognizeResponse(transcript=guess)
        case hearing.Final():
            return pb.StreamingRecognizeResponse(transcript=transcript_of(heard))
        case hearing.Failed(utterance_id, error):
            failed = pb.UtteranceFailed(utterance_id=utterance_id, error=detail_of(error))
            return pb.StreamingRecognizeResponse(utterance_failed=failed)
        case _:
            assert_never(heard)


def transcript_of(final: hearing.Final) -> pb.Transcript:
    heard: Heard = final.heard
    return pb.Transcript(
        utterance_id=final.utterance_id,
        text=heard.text,
        is_final=True,
        stable_chars=len(heard.text),
        confidence=heard.confidence,
        language_code=heard.language,
        words=[_word_of(word) for word in heard.words],
        start_sample=final.start_sample,
        end_sample=final.end_sample,
        revision=final.revision,
        usage=usage_of(final.end_sample - final.start_sample),
        logprobs=[pb.TokenLogprob(token=t.text, logprob=t.logprob) for t in heard.tokens],
        segments=[_segment_of(segment) for segment in heard.segments],
    )


def _word_of(word: Word) -> pb.Word:
    return pb.Word(
        text=word.text,
        start_sample=word.start_sample,
        end_sample=word.end_sample,
        confidence=word.confidence,
    )


def _segment_of(segment: Segment) -> pb.Segment:
    return pb.Segment(
        text=segment.text,
        start_sample=segment.start_sample,
        end_sample=segment.end_sample,
        speaker=segment.speaker,
    )


def usage_of(n_samples: int) -> common_pb2.Usage:
    return common_pb2.Usage(input_audio_samples=n_samples)


def go_away(grace_s: float) -> pb.StreamingRecognizeResponse:
    message = pb.GoAway()
    message.grace.FromTimedelta(timedelta(seconds=grace_s))
    return pb.StreamingRecognizeResponse(go_away=message)


def model_of(engine: Engine) -> pb.SttModel:
    return pb.SttModel(
        name=engine.model,
        language_codes=engine.languages,
        loaded=True,
        native_sample_rate_hz=RATE_HZ,
    )
