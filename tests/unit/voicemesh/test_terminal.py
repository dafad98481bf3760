import json

from voicemesh.terminal import Terminal


def line(**fields):
    return json.dumps({"level": "INFO", **fields})


def test_a_dead_part_is_named_with_its_last_words():
    out = []
    Terminal(out=out.append).died("stt", "was ended by SIGKILL", 0.1, ["first", "last"])
    assert "stt" in out[0]
    assert "SIGKILL" in out[0]
    assert out[1].endswith("its last words: last")


def test_a_warning_that_repeats_is_shown_once():
    out = []
    terminal = Terminal(out=out.append)
    for n in (1, 2, 3):
        terminal.said("tts", line(level="WARNING", event="engine failed", time=f"{n}", after_ms=n))
    terminal.said("tts", line(event="routine"))
    assert len(out) == 1
    assert "engine failed" in out[0]


def test_verbose_shows_everything():
    out = []
    Terminal(verbose=True, out=out.append).said("tts", line(event="routine"))
    assert len(out) == 1


def test_engines_are_remembered():
    terminal = Terminal(out=[].append)
    terminal.said("tts", line(event="engine serves", engine="espeak"))
    terminal.said("tts", line(event="engine failed", engine="espeak"))
    assert [fields["engine"] for fields in terminal.events["tts"]] == ["espeak"]


def test_a_closed_terminal_does_not_matter():
    def broken(_):
        raise BrokenPipeError

    Terminal(out=broken).ready("stt", 1.0, again=False)
