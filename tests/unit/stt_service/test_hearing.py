from stt_service.engine import Heard, Word
from stt_service.hearing import placed


def test_words_move_and_the_rest_stays():
    heard = Heard(text="a b", language="en", words=(Word("a", 0, 5, 0.5), Word("b", 5, 9)))
    assert placed(heard, lambda at: 100 + 2 * at) == Heard(
        text="a b", language="en", words=(Word("a", 100, 110, 0.5), Word("b", 110, 118))
    )
