"""The files of a version: the network as a graph and as weights, an optional quantized copy, and the manifest."""

from importlib.metadata import version
from typing import Any

import torch

from app.artifacts import InputSpec, Manifest
from app.db.tables import JobRow
from app.encoders.catalogue import known
from app.services.pretrained_sources import label
from app.storage import digest_of
from worker import networks
from worker.data.attempt_context import AttemptContext
from worker.data.splits import DomainData
from worker.data.training_setup import TrainingSetup
from worker.export.graph_cache import GraphCache
from worker.export.onnx import export
from worker.export.quantization import quantize_version
from worker.networks.base import Inputs
from worker.networks.checkpoint_files import uploads
from worker.protocol.progress import ProgressReporter
from worker.reporting.report import ModelReport
from worker.training.trials import TrialRunner

EXPORT_EXAMPLES = 8
LIBRARIES = ("isthmus", "numpy", "onnx", "onnxruntime", "polars", "torch", "transformers")


def write_version(setup: TrainingSetup, trials: TrialRunner, report: ModelReport, context: AttemptContext) -> Manifest:
    """Write all files of the version into the folder of the setup, and return the manifest."""
    graphs = GraphCache(context.settings.scratch_dir / "graphs")
    export_network(setup, report, trials.data, trials.runtime.reporter, graphs)
    manifest = make_manifest(setup, trials, report, context.job)
    manifest.write(setup.folder)
    return manifest


def example(data: DomainData) -> Inputs:
    """Return a few examples to trace the graph with."""
    examples = data.target if data.source is None else data.source
    assert examples is not None
    inputs, _ = examples.gather(torch.arange(min(EXPORT_EXAMPLES, len(examples))), torch.device("cpu"))
    return inputs


def export_network(
    setup: TrainingSetup, report: ModelReport, data: DomainData, reporter: ProgressReporter, graphs: GraphCache
) -> None:
    """Write the network's files and the requested quantized copy; add the copy's measurements to the metrics."""
    inputs = setup.cached.example if setup.cached else example(data)
    graph, _ = export(report.network, inputs, setup.folder, setup.specs, report.temperature, graphs)
    if setup.uncached_data is not None and setup.params.quantize != "none":
        data = setup.uncached_data()
    copy = quantize_version(setup.params, graph, data)
    if copy is None:
        return
    report.metrics["quantization"] = copy
    if not copy["accepted"]:
        lost = f"it loses {copy['loss']:.2%}, more than `max_quantization_loss` allows ({copy['max_loss']:.2%})"
        reporter.warn("quantization_rejected", f"The version has no {copy['precision']} copy: {lost}.")


def make_manifest(setup: TrainingSetup, trials: TrialRunner, report: ModelReport, job: JobRow) -> Manifest:
    """Return the version's manifest, with the digests of its other files."""
    return Manifest(
        job_id=job.id,
        modality=setup.preprocessing.modality,
        preprocessing=setup.preprocessing.model_dump(mode="json"),
        classes=setup.classes,
        base=_base(job),
        network=networks.self_contained_params(setup.network_of(report.plain_kind)).model_dump(mode="json"),
        encoder=_encoder(setup),
        algorithm=setup.params.algorithm,
        params=setup.params.model_dump(mode="json"),
        training_precision=trials.precision,
        temperature=report.temperature,
        abstention_threshold=report.abstention_threshold,
        inputs={name: InputSpec(spec.dtype, spec.shape) for name, spec in setup.specs.items()},
        digests={file.name: digest_of(file) for file in sorted(setup.folder.iterdir())},
        libraries={name: version(name) for name in LIBRARIES},
        metrics=report.metrics,
    )


def _encoder(setup: TrainingSetup) -> dict[str, str] | None:
    """Return the encoder of the catalogue, or the uploaded one, that the network contains."""
    if setup.base is not None:
        return setup.base.encoder
    pretrained = getattr(setup.network, "pretrained", "")
    if pretrained in uploads:
        return {"id": pretrained, "licence": uploads[pretrained].licence, "origin": "upload"}
    encoder = known(pretrained)
    return None if encoder is None else {"id": encoder.id, "licence": encoder.licence, "origin": encoder.origin}


def _base(job: JobRow) -> dict[str, Any]:
    """Return the start of the job for its manifest, without the folder of a checkpoint."""
    return job.base | {"pretrained": label(job.base["pretrained"])} if "pretrained" in job.base else job.base
