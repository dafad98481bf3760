from __future__ import annotations

from gateway.realtime.response_wire import failed_with, spoken, wire_of, written
from gateway.realtime.settings import Audio, AudioOutput, Pcmu, Settings
from tests.script import event_of

PART = ("r", "i", 1, 0)


def test_a_response_has_every_key_before_anything_happens():
    settings = Settings(audio=Audio(output=AudioOutput(format=Pcmu(), voice="ash")))
    wire = wire_of(settings, "r", None, {"k": "v"})
    assert wire == {
        "object": "realtime.response", "id": "r", "status": None, "status_details": None,
        "output": [], "conversation_id": None, "output_modalities": ("audio",),
        "max_output_tokens": "inf", "audio": {"output": {"format": Pcmu(), "voice": "ash"}},
        "usage": None, "metadata": {"k": "v"},
    }  # fmt: skip


def test_the_temperature_is_shown_to_those_who_set_it():
    assert wire_of(Settings(temperature=0.8), "r", "c", None)["temperature"] == 0.8
    assert "temperature" not in wire_of(Settings(), "r", "c", None)


def test_a_part_of_text_ends_with_all_of_it():
    done, part = map(event_of, written(PART, "hi"))
    assert (done.text, part.part.text) == ("hi", "hi")
    assert (done.output_index, part.item_id) == (1, "i")


def test_a_part_of_audio_ends_with_its_words_and_not_its_sound():
    audio, words, part = map(event_of, spoken(PART, "hi"))
    assert (audio.response_id, words.transcript, part.part.transcript) == ("r", "hi", "hi")


def test_a_failure_says_what_clients_know():
    error = {"type": "server_error", "code": "c", "message": "m"}
    assert failed_with("server_error", "c", "m") == {"type": "failed", "error": error}
