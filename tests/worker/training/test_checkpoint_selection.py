import numpy as np
import torch

from worker.training.checkpoint_selection import MAX_COLLAPSED_EVALUATIONS, CheckpointSelector, EvaluationOutcome


def selection_of(chance: float, examples: int) -> CheckpointSelector:
    """That many examples, of whose commonest class this is the share."""
    common = round(chance * examples)
    return CheckpointSelector(np.concatenate([np.zeros(common, np.int64), 1 + np.arange(examples - common)]))


def look_at(
    accuracies: list[float], chance: float = 0.1, examples: int = 1000
) -> tuple[CheckpointSelector, list[EvaluationOutcome]]:
    """The weights of the network at step s are [s]."""
    selection = selection_of(chance, examples)
    checks = [
        selection.update(step, accuracy, 0.0, {"w": torch.tensor([float(step)])})
        for step, accuracy in enumerate(accuracies, start=1)
    ]
    return selection, checks


def test_latest_checkpoint_is_kept_while_source_accuracy_holds() -> None:
    selection, checks = look_at([0.5, 0.9, 0.97, 0.93, 0.9])
    assert all(check.healthy for check in checks)
    assert (selection.step, selection.accuracy, selection.best) == (5, 0.9, 0.97)
    assert selection.weights["w"].tolist() == [5]


def test_after_a_collapse_the_network_before_it_is_kept() -> None:
    selection, checks = look_at([0.6, 0.95, 0.92, 0.6, 0.12])
    assert [check.collapsed for check in checks] == [False, False, False, False, True]
    assert (selection.step, selection.accuracy) == (3, 0.92)
    assert selection.ever_collapsed


def test_recovered_run_ends_with_the_recovered_network() -> None:
    selection, _ = look_at([0.95, 0.1, 0.94])
    assert selection.step == 3
    assert selection.ever_collapsed
    assert not selection.has_collapsed_for_good


def test_run_that_never_learned_is_not_collapsed() -> None:
    selection, checks = look_at([0.1, 0.12, 0.09, 0.1])
    assert not any(check.collapsed for check in checks)
    assert selection.step > 0


def test_noise_on_few_examples_is_not_a_loss() -> None:
    _, checks = look_at([0.9, 0.8, 0.87], chance=0.54, examples=30)
    assert all(check.healthy for check in checks)


def test_single_error_among_few_examples_is_no_accuracy_loss() -> None:
    selection, checks = look_at([1.0, 8 / 9, 8 / 9], chance=0.36, examples=9)
    assert all(check.healthy for check in checks)
    assert selection.step == 3


def test_collapsed_run_is_stopped_after_some_evaluations() -> None:
    selection, _ = look_at([0.95] + [0.1] * MAX_COLLAPSED_EVALUATIONS)
    assert selection.has_collapsed_for_good
    assert not look_at([0.95] + [0.1] * (MAX_COLLAPSED_EVALUATIONS - 1))[0].has_collapsed_for_good


def test_selected_weights_are_a_copy_and_survive_a_checkpoint() -> None:
    weights = {"w": torch.ones(2)}
    selection = selection_of(0.5, 100)
    selection.update(1, 0.9, 0.0, weights)
    weights["w"].zero_()
    other = selection_of(0.5, 100)
    other.load_state_dict(selection.state_dict())
    assert other.weights["w"].tolist() == [1, 1]
    assert other.best == 0.9


def test_selector_keeps_the_latest_best_healthy_checkpoint() -> None:
    selection = selection_of(0.1, 1000)
    for step, (accuracy, score) in enumerate([(0.9, 1.0), (0.95, 2.0), (0.94, 2.0), (0.5, 9.0), (0.95, 1.5)], start=1):
        selection.update(step, accuracy, score, {"w": torch.tensor([float(step)])})
    assert (selection.step, selection.score) == (3, 2.0)
    assert selection.weights["w"].tolist() == [3]
    assert selection.evaluations_without_improvement == 3


def test_without_a_source_the_score_alone_decides() -> None:
    selection = selection_of(0.0, 0)
    for step, score in enumerate([1.0, 3.0, 2.0], start=1):
        assert selection.update(step, float("nan"), score, {}).healthy
    assert selection.step == 2


def test_checkpoint_before_learning_is_discarded_despite_its_score() -> None:
    selection = selection_of(0.1, 1000)
    for step, (accuracy, score) in enumerate([(0.2, 9.0), (0.95, 1.0), (0.94, 0.5)], start=1):
        selection.update(step, accuracy, score, {"w": torch.tensor([float(step)])})
    assert (selection.step, selection.score) == (2, 1.0)
    assert selection.weights["w"].tolist() == [2]


def test_without_scores_the_accuracy_tells_whether_a_run_still_gets_better() -> None:
    selection = selection_of(0.1, 1000)
    counts = []
    for step, accuracy in enumerate([0.5, 0.8, 0.9, 0.9, 0.89, 0.91], start=1):
        selection.update(step, accuracy, float("nan"), {})
        counts.append(selection.evaluations_without_improvement)
    assert counts == [0, 0, 0, 1, 2, 0]
    assert selection.step == 6


def test_where_nothing_is_known_a_run_goes_on() -> None:
    selection = selection_of(0.0, 0)
    for step in range(1, 5):
        selection.update(step, float("nan"), float("nan"), {})
    assert (selection.step, selection.evaluations_without_improvement) == (4, 0)
