import argparse

import pytest

from voicemesh import up_options
from voicemesh.up_options import MOST_WORKERS, ONE_OF_EACH, WORKERS, Counts


def counts(*arguments):
    parser = argparse.ArgumentParser()
    up_options.add(parser)
    return up_options.counts(parser.parse_args(arguments))


def test_without_options_there_is_one_of_each():
    assert counts() == ONE_OF_EACH
    assert [ONE_OF_EACH.of(tier) for tier in WORKERS] == [1, 1, 1]


def test_each_tier_has_a_count_of_its_own():
    asked = counts("--stt", "2", "--tts", "3", "--llm", "4", "--gateways", "5", "--haproxy")
    assert asked == Counts(gateways=5, haproxy=True, stt=2, tts=3, llm=4)
    assert [asked.of(tier) for tier in WORKERS] == [2, 3, 4]
    assert asked.all == 14


@pytest.mark.parametrize("wrong", ["0", str(MOST_WORKERS + 1), "two"])
@pytest.mark.parametrize("tier", WORKERS)
def test_there_is_one_of_each_at_least_and_not_too_many(tier, wrong, capsys):
    with pytest.raises(SystemExit):
        counts(f"--{tier}", wrong)
    assert f"--{tier}" in capsys.readouterr().err
