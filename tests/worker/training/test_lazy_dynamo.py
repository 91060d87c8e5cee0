"""Optimizers without `torch._dynamo`, and its import when it is needed."""

import subprocess
import sys

TRAINS = """
import sys, torch
from worker.training.lazy_dynamo import NAME, delay_dynamo
delay_dynamo()
weight = torch.nn.Parameter(torch.ones(2))
for optimizer in (torch.optim.AdamW([weight], fused=True), torch.optim.SGD([weight], 0.1)):
    optimizer.zero_grad()
    weight.sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
assert weight.max() < 1
assert "torch._dynamo.eval_frame" not in sys.modules
"""
NEEDS_IT = """
import torch._dynamo.config
assert torch._dynamo is sys.modules[NAME]
assert torch._dynamo.__file__
optimizer.step()
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def test_optimizers_work_without_dynamo() -> None:
    run(TRAINS)


def test_dynamo_is_loaded_when_it_is_needed() -> None:
    run(TRAINS + NEEDS_IT)
