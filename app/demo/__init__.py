"""`isthmus demo`: from two uploads to predictions over HTTP, on data included in scikit-learn."""

import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import typer

import isthmus
from app.api.web_ui import BUILT
from app.demo import images as demo_images
from app.demo.client import adapt
from app.demo.service import running

# the same for both jobs: many small batches at a constant rate, with averaged weights
PARAMS: dict[str, Any] = {
    "epochs": 9,
    "batch_size": 32,
    "learning_rate": 0.003,
    "lr_schedule": "constant",
    "ema_decay": 0.99,
    "augmentation": "none",
}
JOBS = {"fine_tune": "trained on the source only", "dann": "adapted to the target"}
SHOWN = 8


def run(folder: Path, port: int, seed: int) -> None:
    """Run the demo. The service is always stopped at the end."""
    _exit_on(signal.SIGTERM, signal.SIGHUP)
    start = time.monotonic()
    typer.echo(f"Starting the service in {folder} ...")
    with running(folder, port) as client:
        data = demo_images.make(seed)
        typer.echo(f"Uploading {len(data.source[0])} labelled digits and {len(data.target)} unlabelled ones on photographs ...")
        versions = _adapt(client, data, seed)
        _print_table(versions)
        _print_predictions(client, data)
        if sys.stdout.isatty():
            _show_until_ctrl_c(port, time.monotonic() - start)
    typer.echo(f"The demo took {time.monotonic() - start:.0f} s. To explore its results, start the service again\n")
    typer.echo(f"  {_command()} up --data {folder} --port {port}\n")
    typer.echo(f"and open http://127.0.0.1:{port}{_page()}")


def _show_until_ctrl_c(port: int, seconds: float) -> None:
    """Keep the service, so that its user can look at the results."""
    typer.echo(f"\nThe demo took {seconds:.0f} s. Look at its models: http://127.0.0.1:{port}{_page()}   (Ctrl-C ends it)")
    signal.pause()


def _page() -> str:
    """Return the path of the web UI, or that of the API documentation if the UI is not built."""
    return "/ui/" if BUILT.exists() else "/docs"


def _adapt(client: isthmus.Client, data: demo_images.Data, seed: int) -> dict[str, isthmus.Version]:
    """Run both jobs and return the version of each by algorithm."""
    source = client.datasets.upload(data.source, name="digits", modality="image")
    target = client.datasets.upload(data.target, name="photographs", modality="image")
    evaluation = client.datasets.upload(data.evaluation, name="photographs-labelled", modality="image")
    job = {"source": source, "target": target, "evaluation": evaluation, "base": {"network": "cnn"}}
    params = PARAMS | {"seed": seed}
    return {
        algorithm: adapt(client, job | {"model": _model(algorithm), "params": params | {"algorithm": algorithm}})
        for algorithm in JOBS
    }


def _model(algorithm: str) -> str:
    return f"digits-{algorithm.replace('_', '-')}"


def _print_table(versions: dict[str, isthmus.Version]) -> None:
    typer.echo("\n  model                training                       accuracy on labelled target images")
    for algorithm, version in versions.items():
        accuracy = version.metrics["target_accuracy"]
        typer.echo(f"  {_model(algorithm):<20} {JOBS[algorithm]:<30} {accuracy:6.1%}")


def _print_predictions(client: isthmus.Client, data: demo_images.Data) -> None:
    images, labels = data.evaluation[0][:SHOWN], data.evaluation[1][:SHOWN]
    typer.echo("\n  /predict on some of these images: predicted label and confidence\n")
    typer.echo(f"  {'true label':<20} {'  '.join(f'{label:<6}' for label in labels)}")
    for algorithm in JOBS:
        predictions = client.predict(_model(algorithm), list(map(demo_images.pillow, images)))
        correct = sum(prediction.label == str(label) for prediction, label in zip(predictions, labels, strict=True))
        cells = "  ".join(f"{prediction.label} {prediction.confidence:4.0%}" for prediction in predictions)
        typer.echo(f"  {_model(algorithm):<20} {cells}   {correct} correct")


def _command() -> str:
    """Return the command that started this program."""
    name = Path(sys.argv[0]).name
    return name if shutil.which(name) == sys.argv[0] else sys.argv[0]


def _exit_on(*signals: signal.Signals) -> None:
    for number in signals:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _exit)


def _exit(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signum)  # raises SystemExit, so that the service is stopped
