from llm_orchestrator.engine import Usage


def test_usage_of_several_requests_adds_up_field_by_field():
    assert Usage(1, 2, 3) + Usage(10, 20, 30) == Usage(11, 22, 33)
    assert Usage() + Usage(5) == Usage(5, 0, 0)
