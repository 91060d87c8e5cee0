"""`python -m benchmarks.gpu.compiled`: milliseconds of a training step, eager, with CUDA graphs and with torch.compile.

It prints one line of JSON for each way. The steps are those of a job's network without its reports and evaluations, so the ratios
are an upper bound of what a job could gain.
"""

import json
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from app.modalities.image import ImagePreprocessing
from app.networks.cnn import CnnParams
from app.networks.resnet import ResnetParams
from worker import networks

BATCH, CLASSES, STEPS = 64, 10, 200
Model = Callable[[Tensor], Tensor]


class Trained(nn.Module):
    """The service's network as a function of pixels."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        preprocessing = ImagePreprocessing(size=(28, 28), channels=3, resize=(28, 28), mean=(0.5,) * 3, std=(0.3,) * 3)
        params = CnnParams() if kind == "cnn" else ResnetParams()
        self.network = networks.build(params, preprocessing, {}, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network({"pixels": pixels})
        return logits


def step_milliseconds(model: Model, module: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Return the mean time of a step after a warm-up."""
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(pixels), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    for _ in range(10):
        step()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - began) / STEPS


def graphed(module: nn.Module, pixels: Tensor) -> Model:
    """Return the network whose forward and backward passes are CUDA graphs."""
    with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        model: Model = torch.cuda.make_graphed_callables(module, (pixels,))  # type: ignore[assignment]
    return model


WAYS: dict[str, Callable[[nn.Module, Tensor], Model]] = {
    "eager": lambda module, pixels: module,
    "CUDA graphs": graphed,
    "torch.compile": lambda module, pixels: torch.compile(module),
    "torch.compile, reduce-overhead": lambda module, pixels: torch.compile(module, mode="reduce-overhead"),
}


def main() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH, 28, 28, 3), dtype=torch.uint8, device="cuda")
    labels = torch.randint(0, CLASSES, (BATCH,), device="cuda")
    for kind in ("cnn", "resnet"):
        for way, make in WAYS.items():
            module = Trained(kind).cuda().train()
            began = time.perf_counter()
            try:
                milliseconds = step_milliseconds(make(module, pixels), module, pixels, labels)
                result: dict[str, float | str] = {"milliseconds": milliseconds, "seconds": time.perf_counter() - began}
            except Exception as error:  # noqa: BLE001  # compilers need more than pip installs; the other ways still run
                result = {"error": f"{type(error).__name__}: {str(error)[:100]}"}
            sys.stdout.write(json.dumps({"network": kind, "way": way, **result}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
