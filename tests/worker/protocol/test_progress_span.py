import pytest

from worker.protocol.progress_span import ProgressSpan


def test_equal_parts_cover_the_span_without_gaps() -> None:
    parts = [ProgressSpan(0.2, 0.8).sub(index, 3) for index in range(3)]
    assert parts[0].start == 0.2
    assert parts[-1].end == pytest.approx(0.8)
    assert [one.end for one in parts[:-1]] == [other.start for other in parts[1:]]


def test_split_divides_at_the_fraction() -> None:
    before, after = ProgressSpan(0.0, 0.5).split(0.4)
    assert (before, after) == (ProgressSpan(0.0, 0.2), ProgressSpan(0.2, 0.5))
    assert after.at(1 / 3) == pytest.approx(0.3)
