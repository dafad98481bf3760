from gateway.rest import sse


def test_an_event_is_one_line_of_json_and_an_empty_one():
    assert sse.event({"delta": "zwei\nZeilen"}) == b'data: {"delta":"zwei\\nZeilen"}\n\n'
