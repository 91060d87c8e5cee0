import numpy as np
import torch

from tests.worker.toys import CPU, table, table_network
from worker.examiner import answers


def test_answers_come_in_the_order_of_the_rows_over_many_batches() -> None:
    examples, network = table(700, 3, target=False), table_network(3).eval()
    rows = torch.randperm(700, generator=torch.Generator().manual_seed(1))
    features, logits = answers(network, examples, rows, CPU)
    with torch.no_grad():
        whole = network.features(examples.inputs)
    np.testing.assert_allclose(features, whole[rows].numpy(), atol=1e-5)
    np.testing.assert_allclose(logits, network.head(whole)[rows].detach().numpy(), atol=1e-5)
