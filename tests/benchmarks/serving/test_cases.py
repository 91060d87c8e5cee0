import json

import pytest

from benchmarks.serving.cases import Move, lateness, staleness, summary
from benchmarks.serving.client import Outcome, parse

MOVES = [Move(0.0, 0.0, 1), Move(10.0, 10.2, 2), Move(20.0, 20.2, 1)]


@pytest.mark.parametrize(
    ("answered", "version", "expected"),
    [
        (5.0, 1, 0.0),
        (10.1, 1, 0.0),
        (10.1, 2, 0.0),
        (10.5, 1, 0.3),
        (12.2, 1, 2.0),
        (12.2, 2, 0.0),
        (20.1, 1, 0.0),
        (9.0, 2, 9.0),
    ],
)
def test_lateness_counts_from_the_end_of_the_alias_move(answered: float, version: int, expected: float) -> None:
    assert lateness(MOVES, answered, version) == pytest.approx(expected)


def test_late_and_failed_answers_are_counted() -> None:
    answers = [(5.0, 200, 1), (10.7, 200, 1), (11.7, 200, 1), (12.0, 200, 2), (13.0, 503, 0), (14.0, 0, 0)]
    outcomes = [Outcome(answered - 0.1, answered, status, json.dumps({"version": v}).encode()) for answered, status, v in answers]
    assert staleness(MOVES, outcomes) == {"answers": 4, "failed": 2, "longest_ms": 1500.0, "later_than_allowed": 1}


def test_served_and_refused_requests_are_timed_apart() -> None:
    outcomes = [
        Outcome(0.0, 0.2, 200, b""),
        Outcome(1.0, 1.4, 200, b""),
        Outcome(2.0, 2.001, 503, b""),
        Outcome(3.0, 63.0, 0, b""),
    ]
    assert summary(outcomes) == {
        "statuses": {"0": 1, "200": 2, "503": 1},
        "served": {"p50_ms": 300.0, "p99_ms": 398.0},
        "refused": {"p50_ms": 1.0, "p99_ms": 1.0},
    }


def test_response_is_complete_with_its_last_byte() -> None:
    answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nretry-after: 1\r\n\r\n{}"
    assert [parse(answer[:cut]) for cut in (10, len(answer) - 1)] == [None, None]
    assert parse(answer) == (503, b"{}")
