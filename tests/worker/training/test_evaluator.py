import numpy as np
import torch

from tests.support.toy_problems import CPU, table, table_network, toy_params
from worker.data.splits import split_source
from worker.training.evaluator import Evaluator, features_and_logits


def test_outputs_keep_the_order_of_rows_over_many_batches() -> None:
    examples, network = table(700, 3, target=False), table_network(3).eval()
    rows = torch.randperm(700, generator=torch.Generator().manual_seed(1))
    features, logits = features_and_logits(network, examples, rows, CPU)
    with torch.no_grad():
        whole = network.features(examples.inputs)
    np.testing.assert_allclose(features, whole[rows].numpy(), atol=1e-5)
    np.testing.assert_allclose(logits, network.head(whole)[rows].detach().numpy(), atol=1e-5)


def test_labels_belong_to_the_sampled_rows() -> None:
    data = split_source(table(600, 3, target=False), None, None, toy_params("fine_tune", validation_fraction=0.5))
    evaluator = Evaluator(data, 3, CPU, rows=100)
    assert len(data.held_out) == 300
    assert evaluator.source_labels.tolist() == evaluator.outputs(table_network(3)).source_labels.tolist()
    assert len(evaluator.source_labels) == 100
