"""Limits of callers: token buckets and slots."""

import pytest
from fastapi.testclient import TestClient

from app.auth import rate_limits
from app.auth.caller_limits import AllLimits, CallerLimits, LimitsPerKey, Slots
from app.auth.rate_limits import TokenBucket
from app.errors import RateLimited
from app.main import create_app
from app.settings import Settings
from tests.support.databases import migrate
from tests.support.list_queue import ListQueue


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_limits, "monotonic", clock)
    return clock


def test_bucket_allows_a_burst_and_then_its_rate(clock: Clock) -> None:
    bucket = TokenBucket(2.0)
    assert sum(bucket.take() for _ in range(100)) == 20
    clock.now += 1.5
    assert sum(bucket.take() for _ in range(100)) == 3
    clock.now += 1000
    assert sum(bucket.take() for _ in range(100)) == 20


def test_refusal_names_the_time_of_the_next_attempt(clock: Clock) -> None:
    bucket = TokenBucket(0.1)
    bucket.require()
    with pytest.raises(RateLimited) as refused:
        bucket.require()
    assert refused.value.headers == {
        "Retry-After": "10",
        "RateLimit-Policy": '"requests";q=1;w=10',
        "RateLimit": '"requests";r=0;t=10',
    }
    clock.now += 10
    bucket.require()


def test_spent_tokens_beyond_the_capacity_are_owed(clock: Clock) -> None:
    bucket = TokenBucket(2.0, "inputs")
    bucket.spend(30)
    assert bucket.refusal().headers["Retry-After"] == "6"
    clock.now += 5
    assert not bucket.has_token()
    clock.now += 0.5
    assert bucket.has_token()


def test_keys_have_limits_of_their_own(clock: Clock) -> None:
    limits = AllLimits(LimitsPerKey(requests_per_second=0.1))
    first, second = limits.of("a"), limits.of("b")
    first.require_request()
    with pytest.raises(RateLimited):
        first.require_request()
    second.require_request()
    assert limits.of("a") is first


def test_limits_of_zero_are_no_limits() -> None:
    limits = CallerLimits(LimitsPerKey())
    limits.count_prediction(10**9)
    limits.require_inputs()
    assert limits.allow_prediction()
    with limits.streams.held(), limits.streams.held():
        pass


def test_slot_is_free_again_after_its_block() -> None:
    slots = Slots(1, "uploads")
    for _ in range(2):
        with slots.held(), pytest.raises(RateLimited, match="1 uploads, as many as it may"), slots.held():
            pass


def test_request_beyond_the_rate_gets_429(settings: Settings) -> None:
    migrate(settings.database)
    app = create_app(settings.model_copy(update={"rate_requests_per_second": 0.1}), ListQueue())
    with TestClient(app) as client:
        answers = [client.get("/models") for _ in range(2)]
        assert client.get("/health/live").status_code == 200
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["code"] == "rate_limited"
    assert int(answers[1].headers["Retry-After"]) <= 10
