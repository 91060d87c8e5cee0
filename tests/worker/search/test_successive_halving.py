"""Plans of searches; `test_adaptation` runs whole searches."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from tests.support.toy_problems import table, toy_images
from worker.data.examples import EncodedDataset
from worker.data.splits import split_source
from worker.search.successive_halving import Plan, plan

CANDIDATES = [
    {"algorithm": "mcc"},
    {"algorithm": "mcc", "augmentation": "strong"},
    {"algorithm": "dann"},
    {"algorithm": "adabn"},
]


def planned(examples: EncodedDataset, **values: Any) -> Plan:
    params = AutoParams.model_validate({"candidates": CANDIDATES, **values})
    return plan(params, split_source(examples, examples, None, params))


def names(methods: list[AlgorithmParams]) -> list[str]:
    return [method.algorithm for method in methods]


def test_better_half_of_candidates_is_trained_to_the_end() -> None:
    rounds = planned(toy_images(60, 2, target=False))
    assert (names(rounds.first_round), rounds.second_round_size) == (["mcc", "mcc", "dann", "adabn"], 2)


def test_candidates_differing_only_in_augmentation_are_merged_without_images() -> None:
    rounds = planned(table(60, 2, target=False))
    assert (names(rounds.first_round), rounds.second_round_size) == (["mcc", "dann", "adabn"], 1)
    assert rounds.first_round[0].augmentation == "affine"


@pytest.mark.parametrize(("trials", "first", "second"), [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 3, 1), (6, 4, 2), (100, 4, 2)])
def test_search_keeps_its_budget_of_trials(trials: int, first: int, second: int) -> None:
    rounds = planned(toy_images(60, 2, target=False), budget={"trials": trials})
    assert (len(rounds.first_round), rounds.second_round_size) == (first, second)
    assert len(rounds.first_round) + rounds.second_round_size <= trials


def test_distinct_candidates_keep_their_order() -> None:
    table_of_two = table(60, 2, target=False)
    candidates = [{"algorithm": "mcc"}, {"algorithm": "dann"}, {"algorithm": "mcc", "augmentation": "strong"}]
    assert names(planned(table_of_two, candidates=candidates).first_round) == ["mcc", "dann"]


def test_epoch_is_a_pass_over_the_larger_training_dataset() -> None:
    methods = AutoParams.model_validate({"candidates": CANDIDATES}).methods
    data = split_source(table(200, 2, target=False), table(60, 2, target=True), None, methods[0])
    assert {method.algorithm: data.rows(method) for method in methods} == {"mcc": 180, "dann": 180, "adabn": 60}


def test_error_names_every_invalid_candidate() -> None:
    candidates = [{"algorithm": "mcc"}, {"algorithm": "dann", "lambda_max": -4, "foo": 1}, {"foo": 1}]
    with pytest.raises(ValidationError) as caught:
        AutoParams.model_validate({"candidates": candidates})
    message = str(caught.value)
    assert "candidate 0" not in message
    assert "candidate 1: `dann`: lambda_max" in message
    assert "foo" in message
    assert "candidate 2: `algorithm` is missing" in message
