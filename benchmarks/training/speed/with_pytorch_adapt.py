"""DANN by pytorch-adapt's `DANNHook`, with batches from memory, so that its loader does not count."""

import torch
from pytorch_adapt.hooks import DANNHook  # type: ignore[import-not-found]
from torch import nn

from benchmarks.training.speed import network, problem
from benchmarks.training.speed.problem import BATCH_SIZE
from benchmarks.training.speed.rounds import Rounds


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, round_steps = problem.from_command_line()
    models = {"G": network.features(), "C": network.head(), "D": nn.Sequential(network.discriminator(), nn.Flatten(0))}
    hook = DANNHook(opts=[network.optimizer(*models.values())], gradient_reversal_weight=problem.STRENGTH)
    source, labels, target = network.images(data.source_x), torch.from_numpy(data.source_y), network.images(data.target_x)
    domains = {"src_domain": torch.zeros(BATCH_SIZE), "target_domain": torch.ones(BATCH_SIZE)}
    rounds = Rounds(round_steps)
    for rows in torch.randperm(len(source)).view(-1, BATCH_SIZE):
        batch = {"src_imgs": source[rows], "src_labels": labels[rows], "target_imgs": target[rows]}
        hook({**models, **batch, **domains})
        rounds.step()
    models["G"].eval()
    rounds.end(*network.accuracies(data, nn.Sequential(models["G"], models["C"])))


if __name__ == "__main__":
    main()
