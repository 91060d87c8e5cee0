import numpy as np
import torch

from worker.training.checkpoint_selection import MAX_COLLAPSED_EVALUATIONS, CheckpointSelector, EvaluationOutcome


def make_selector(chance: float, examples: int) -> CheckpointSelector:
    """Return a selector whose most common class has this proportion of the examples."""
    common = round(chance * examples)
    return CheckpointSelector(np.concatenate([np.zeros(common, np.int64), 1 + np.arange(examples - common)]))


def evaluate_all(
    accuracies: list[float], chance: float = 0.1, examples: int = 1000
) -> tuple[CheckpointSelector, list[EvaluationOutcome]]:
    """Evaluate networks with these accuracies; the weights at step s are [s]."""
    selector = make_selector(chance, examples)
    outcomes = [
        selector.update(step, accuracy, 0.0, {"w": torch.tensor([float(step)])})
        for step, accuracy in enumerate(accuracies, start=1)
    ]
    return selector, outcomes


def test_latest_checkpoint_is_kept_while_source_accuracy_holds() -> None:
    selector, outcomes = evaluate_all([0.5, 0.9, 0.97, 0.93, 0.9])
    assert all(outcome.healthy for outcome in outcomes)
    assert (selector.step, selector.accuracy, selector.best) == (5, 0.9, 0.97)
    assert selector.weights["w"].tolist() == [5]


def test_network_before_a_collapse_is_selected() -> None:
    selector, outcomes = evaluate_all([0.6, 0.95, 0.92, 0.6, 0.12])
    assert [outcome.collapsed for outcome in outcomes] == [False, False, False, False, True]
    assert (selector.step, selector.accuracy) == (3, 0.92)
    assert selector.ever_collapsed


def test_recovered_run_ends_with_the_recovered_network() -> None:
    selector, _ = evaluate_all([0.95, 0.1, 0.94])
    assert selector.step == 3
    assert selector.ever_collapsed
    assert not selector.has_collapsed_for_good


def test_run_that_never_learned_is_not_collapsed() -> None:
    selector, outcomes = evaluate_all([0.1, 0.12, 0.09, 0.1])
    assert not any(outcome.collapsed for outcome in outcomes)
    assert selector.step > 0


def test_noise_on_few_examples_is_healthy() -> None:
    _, outcomes = evaluate_all([0.9, 0.8, 0.87], chance=0.54, examples=30)
    assert all(outcome.healthy for outcome in outcomes)


def test_single_error_among_few_examples_is_no_accuracy_loss() -> None:
    selector, outcomes = evaluate_all([1.0, 8 / 9, 8 / 9], chance=0.36, examples=9)
    assert all(outcome.healthy for outcome in outcomes)
    assert selector.step == 3


def test_collapsed_run_is_stopped_after_some_evaluations() -> None:
    selector, _ = evaluate_all([0.95] + [0.1] * MAX_COLLAPSED_EVALUATIONS)
    assert selector.has_collapsed_for_good
    assert not evaluate_all([0.95] + [0.1] * (MAX_COLLAPSED_EVALUATIONS - 1))[0].has_collapsed_for_good


def test_selected_weights_are_a_copy_and_survive_a_checkpoint() -> None:
    weights = {"w": torch.ones(2)}
    selector = make_selector(0.5, 100)
    selector.update(1, 0.9, 0.0, weights)
    weights["w"].zero_()
    other = make_selector(0.5, 100)
    other.load_state_dict(selector.state_dict())
    assert other.weights["w"].tolist() == [1, 1]
    assert other.best == 0.9


def test_selector_keeps_the_latest_best_healthy_checkpoint() -> None:
    selector = make_selector(0.1, 1000)
    for step, (accuracy, score) in enumerate([(0.9, 1.0), (0.95, 2.0), (0.94, 2.0), (0.5, 9.0), (0.95, 1.5)], start=1):
        selector.update(step, accuracy, score, {"w": torch.tensor([float(step)])})
    assert (selector.step, selector.score) == (3, 2.0)
    assert selector.weights["w"].tolist() == [3]
    assert selector.evaluations_without_improvement == 3


def test_score_decides_without_a_source() -> None:
    selector = make_selector(0.0, 0)
    for step, score in enumerate([1.0, 3.0, 2.0], start=1):
        assert selector.update(step, float("nan"), score, {}).healthy
    assert selector.step == 2


def test_checkpoint_before_learning_is_discarded_despite_its_score() -> None:
    selector = make_selector(0.1, 1000)
    for step, (accuracy, score) in enumerate([(0.2, 9.0), (0.95, 1.0), (0.94, 0.5)], start=1):
        selector.update(step, accuracy, score, {"w": torch.tensor([float(step)])})
    assert (selector.step, selector.score) == (2, 1.0)
    assert selector.weights["w"].tolist() == [2]


def test_accuracy_decides_about_improvement_without_scores() -> None:
    selector = make_selector(0.1, 1000)
    counts = []
    for step, accuracy in enumerate([0.5, 0.8, 0.9, 0.9, 0.89, 0.91], start=1):
        selector.update(step, accuracy, float("nan"), {})
        counts.append(selector.evaluations_without_improvement)
    assert counts == [0, 0, 0, 1, 2, 0]
    assert selector.step == 6


def test_run_continues_without_scores_and_accuracies() -> None:
    selector = make_selector(0.0, 0)
    for step in range(1, 5):
        selector.update(step, float("nan"), float("nan"), {})
    assert (selector.step, selector.evaluations_without_improvement) == (4, 0)
