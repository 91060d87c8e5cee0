import pytest
import torch
from sklearn import metrics

from tests.worker.toys import CPU
from worker import evaluate
from worker.batches import Examples


def test_the_measures_are_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (300,), generator=generator)
    predicted = torch.where(torch.rand(300, generator=generator) < 0.6, labels, torch.randint(0, 4, (300,), generator=generator))
    report = evaluate.report("target", labels, predicted, ["a", "b", "c", "d"])
    assert report["target_accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert report["target_balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert report["target_macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    counts = metrics.confusion_matrix(labels, predicted)
    assert evaluate.confusion(labels, predicted, 4).tolist() == counts.tolist()
    assert report["target_classes"]["c"] == {"examples": int(counts[2].sum()), "correct": int(counts[2, 2])}


def test_classes_that_do_not_occur_are_left_out_of_the_means() -> None:
    report = evaluate.report("target", torch.tensor([0, 0, 1]), torch.tensor([0, 0, 1]), ["a", "b", "c"])
    assert report["target_balanced_accuracy"] == report["target_macro_f1"] == 1


def test_predictions_come_in_the_order_of_the_indices_over_many_batches() -> None:
    examples = Examples({"numbers": torch.nn.functional.one_hot(torch.arange(700) % 7).float()}, None)
    indices = torch.randperm(700, generator=torch.Generator().manual_seed(1))
    predicted = evaluate.predict(lambda inputs: inputs["numbers"], examples, indices, CPU)
    assert torch.equal(predicted, indices % 7)
