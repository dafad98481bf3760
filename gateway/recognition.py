"""What recognition is asked for and what it answers, between our words and the wire's."""

from __future__ import annotations

from msgspec import UNSET

from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening
from gateway.realtime.settings import RATE_HZ, SemanticVad, ServerVad
from mesh import log as logs
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb

FORMAT = common_pb2.AudioFormat(
    encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=RATE_HZ, channels=1
)

_ATTEMPTS, _MOST_EPOCHS = 1 << 12, (1 << 20) - 1  # together 32 bits

_PLACES = {
    "near_field": pb.MICROPHONE_PLACE_NEAR_FIELD,
    "far_field": pb.MICROPHONE_PLACE_FAR_FIELD,
}
_EAGERNESS = {
    "auto": pb.EAGERNESS_MEDIUM,
    "low": pb.EAGERNESS_LOW,
    "medium": pb.EAGERNESS_MEDIUM,
    "high": pb.EAGERNESS_HIGH,
}


def recognition(how: Listening, model: str) -> pb.RecognitionConfig:
    """
    Args:
        model: What the operator chose for this session. The names that clients send are OpenAI's.
    """
    wanted = pb.RecognitionConfig(
        model=model,
        language_code=how.language or "",
        prompt=how.prompt or "",
        hints=how.keywords,
        token_logprobs=how.logprobs,
        speakers=how.speakers,
    )
    if (noise := how.noise_reduction) is not None:
        wanted.noise_reduction.place = _PLACES[noise.type]
        if noise.strength is not UNSET:
            wanted.noise_reduction.strength = noise.strength
    return wanted


def endpointing(how: Listening) -> pb.EndpointingConfig:
    vad = how.turn_detection
    if vad is None:
        return pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_MANUAL)
    # Semantic detection finds the start of speech as the other kind does by default; what is
    # not said would stay as it was.
    numbers = ServerVad() if isinstance(vad, SemanticVad) else vad
    ends = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_SERVER_VAD, threshold=numbers.threshold)
    ends.prefix_padding.FromMilliseconds(numbers.prefix_padding_ms)
    ends.silence_duration.FromMilliseconds(numbers.silence_duration_ms)
    if isinstance(vad, SemanticVad):
        ends.mode = pb.ENDPOINTING_MODE_SEMANTIC_VAD
        ends.eagerness = _EAGERNESS[vad.eagerness]
    return ends


def attempt_of(epoch: int, n: int) -> int:
    """What a worker that has other streams of the session tells the newest by: the stream number
    `n` of an owner. One that fell asleep may have left a stream open."""
    return min(epoch, _MOST_EPOCHS) * _ATTEMPTS + min(n, _ATTEMPTS - 1)


def opening(
    how: Listening, model: str, attempt: int, from_sample: int
) -> pb.StreamingRecognitionConfig:
    """What a session's stream begins with."""
    return pb.StreamingRecognitionConfig(
        session=common_pb2.SessionRef(
            tenant_id=logs.tenant_id.get(), session_id=logs.session_id.get(), attempt=attempt
        ),
        audio_format=FORMAT,
        recognition=recognition(how, model),
        endpointing=endpointing(how),
        interim_results=True,
        resume_from_sample=from_sample,
    )


def ms(n_samples: int) -> int:
    return n_samples * 1000 // RATE_HZ


def transcribed(utterance: str, transcript: pb.Transcript) -> sig.Transcribed:
    """A final transcript."""
    begin = transcript.start_sample
    return sig.Transcribed(
        utterance,
        transcript.text,
        ms(max(0, transcript.end_sample - begin)),
        tuple((part.token, part.logprob) for part in transcript.logprobs),
        tuple(
            sig.Spoken(
                part.text,
                part.speaker,
                ms(max(0, part.start_sample - begin)),
                ms(max(0, part.end_sample - begin)),
            )
            for part in transcript.segments
        ),
    )
