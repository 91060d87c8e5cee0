"""Requests for adaptations: every reference is resolved, and the datasets are compared, before a job is queued."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from app.artifacts import Manifest
from app.db.tables import DatasetRow, JobRow, JobSourceRow, VersionRow
from app.errors import DatasetNotFound, FieldError, IncompatibleDatasets, InvalidRequest, ModelNotFound
from app.formats.data_warnings import DataWarning
from app.labels.row_labels import Use
from app.modalities import MODALITIES
from app.networks import AnyNetwork, plain_network
from app.networks.base import NetworkParams
from app.schemas.jobs import JobCreate, ModelBase, PretrainedBase
from app.services import dataset_differences, datasets, encoders, label_requests, models, uploaded_encoders
from app.services.label_use import check_use


@dataclass(frozen=True, slots=True)
class JobDatasets:
    """The datasets that a request names; the sources by their pointers. `source` are all sources as one dataset."""

    sources: Mapping[str, DatasetRow]
    source: DatasetRow | None
    target: DatasetRow | None
    evaluation: DatasetRow | None


@dataclass(frozen=True, slots=True)
class JobCheck:
    """Whether a job can be submitted, the reasons why not, and what its sender should know."""

    accepted: bool
    errors: Sequence[FieldError]
    warnings: Sequence[DataWarning]


def build_row(session: Session, request: JobCreate) -> JobRow:
    """Return the row of a job after checking every reference."""
    data = _datasets(session, request)
    _check_roles(request, data)
    source, target, evaluation = data.source, data.target, data.evaluation
    target_labels = _target_labels(session, request, target)
    if source is not None:
        dataset_differences.check_compatible(source, target, evaluation)
        base, base_version_id = _base(session, request, source)
        found = _warnings(request, data)
    else:
        base, base_version_id = _base_without_source(session, request, target, evaluation)
        found = []
    _check_batch_norm(session, request, base, base_version_id)
    return JobRow(
        model_name=request.model,
        source_id=source and source.id,
        further_sources=[
            JobSourceRow(position=position, dataset_id=row.id) for position, row in enumerate(data.sources.values()) if position
        ],
        target_id=target and target.id,
        evaluation_id=evaluation and evaluation.id,
        base=base,
        base_version_id=base_version_id,
        params=request.params.model_dump(mode="json"),
        **({} if target_labels is None else {"target_labels": target_labels}),
        warnings=[{"code": warning.code, "message": warning.message} for warning in found],
    )


def _check_roles(request: JobCreate, data: JobDatasets) -> None:
    """Raise InvalidRequest if a dataset is missing, has two roles, or has labels that were collected for another use."""
    name, sources, target, evaluation = request.params.algorithm, data.sources.values(), data.target, data.evaluation
    if target is None and request.params.needs_target:
        raise InvalidRequest(errors=[FieldError("/target", f"`{name}` needs a target dataset")])
    if not sources and request.params.needs_source:
        raise InvalidRequest(errors=[FieldError("/source", f"`{name}` needs a source dataset")])
    if target is not None and target in sources:
        raise InvalidRequest(errors=[FieldError("/target", "is the source itself; name a dataset of another domain")])
    if evaluation is not None and evaluation in (*sources, target):
        raise InvalidRequest(errors=[FieldError("/evaluation", "must be a dataset that the job does not train on")])
    learned = target if request.params.use_target_labels else None
    uses: dict[str, tuple[DatasetRow | None, Use]] = {pointer: (row, "training") for pointer, row in data.sources.items()}
    check_use({**uses, "/target": (learned, "training"), "/evaluation": (evaluation, "measuring")})


def _target_labels(session: Session, request: JobCreate, target: DatasetRow | None) -> dict[str, Any] | None:
    """Return the target labels that the job learns from. Raise InvalidRequest if there are none."""
    if not request.params.use_target_labels:
        return None
    if target is None or request.source is None:
        detail = "needs a source and a target: labelled target rows join those of the source"
        raise InvalidRequest(errors=[FieldError("/params/use_target_labels", detail)])
    found = label_requests.labels_for_training(session, target.id)
    if not found["rows"] and not target.labelled:
        detail = "the target has no labels to learn from; label rows of a request with the purpose `improve` first"
        raise InvalidRequest(errors=[FieldError("/params/use_target_labels", detail)])
    return found


def check(session: Session, request: JobCreate) -> JobCheck:
    """Compare the datasets and the parameters of a job that is not submitted."""
    warnings: list[DataWarning] = []
    try:
        build_row(session, request)
        warnings = _warnings(request, _datasets(session, request))
    except (InvalidRequest, IncompatibleDatasets) as error:
        return JobCheck(False, error.errors or [FieldError("", error.message)], warnings)
    return JobCheck(True, [], warnings)


def _warnings(request: JobCreate, data: JobDatasets) -> list[DataWarning]:
    if data.source is None:
        return []
    found = encoders.missing_encoder(request.base, data.source)
    found += dataset_differences.source_differences(data.sources, data.source)
    return found + dataset_differences.comparison(data.source, data.target, data.evaluation)


def _datasets(session: Session, request: JobCreate) -> JobDatasets:
    """Return the datasets. Raise InvalidRequest that names every missing one, IncompatibleDatasets for unlike sources."""
    rows: dict[str, DatasetRow] = {}
    missing = []
    for pointer, reference in {**request.sources, "/target": request.target, "/evaluation": request.evaluation}.items():
        try:
            if reference is not None:
                rows[pointer] = datasets.load(session, reference)
        except DatasetNotFound as error:
            missing.append(FieldError(pointer, error.message))
    if missing:
        raise InvalidRequest("; ".join(error.detail for error in missing), missing)
    sources = {pointer: rows[pointer] for pointer in request.sources}
    if repeated := [pointer for number, pointer in enumerate(sources) if sources[pointer] in list(sources.values())[:number]]:
        raise InvalidRequest(errors=[FieldError(pointer, "names a dataset of this list again") for pointer in repeated])
    return JobDatasets(sources, dataset_differences.joined_source(sources), rows.get("/target"), rows.get("/evaluation"))


def _base_without_source(
    session: Session, request: JobCreate, target: DatasetRow | None, evaluation: DatasetRow | None
) -> tuple[dict[str, Any], UUID | None]:
    """Return the version to start from, which defines the classes. Raise InvalidRequest."""
    if not isinstance(request.base, ModelBase):
        raise InvalidRequest(errors=[FieldError("/base", "a job without a source starts from a version: set `model`")])
    version = named_version(session, request.base.model, "/base/model")
    _check_starts_from(request, version)
    for role, data in (("target", target), ("evaluation", evaluation)):
        if data is not None:
            check_version_accepts(version, data, f"/{role}", role)
    if evaluation is not None:
        dataset_differences.check_evaluation(evaluation, Manifest.read(version.manifest).classes)
    return {"model": f"{version.model.name}:{version.number}"}, version.id


def _base(session: Session, request: JobCreate, source: DatasetRow) -> tuple[dict[str, Any], UUID | None]:
    """Return the start of the training: a network with all its options, or a version with a fixed number."""
    match request.base:
        case ModelBase(model=reference):
            version = named_version(session, reference, "/base/model")
            _check_starts_from(request, version)
            check_version_accepts(version, source, "/base/model", "source")
            return {"model": f"{version.model.name}:{version.number}"}, version.id
        case PretrainedBase() as pretrained:
            network = encoders.named_base(source.modality, pretrained)
        case None:
            network = encoders.default_base(source)
        case given:
            network = given
    uploaded_encoders.require(session, getattr(network, "pretrained", ""), source.modality)
    network = _network_of(request, network, source.modality)
    _check_network(network, source.modality)
    return network.model_dump(mode="json", exclude=set(network.manifest_only_fields)), None


def _network_of(request: JobCreate, network: NetworkParams, modality: str) -> NetworkParams:
    """Return the network that the method trains. Raise InvalidRequest if it cannot train one."""
    params = request.params
    if params.plain_kind is None:
        if network.has_gradients:
            return network
        raise InvalidRequest(errors=[FieldError("/base", f"`{params.algorithm}` cannot train the network `{network.network}`")])
    plain = plain_network(network, modality, params.plain_kind)
    if plain is None:
        possible = "tables" if params.plain_kind == "trees" else "tables, texts and frozen encoders"
        raise InvalidRequest(errors=[FieldError("/params/algorithm", f"`{params.algorithm}` is for {possible}")])
    return plain


def _check_starts_from(request: JobCreate, version: VersionRow) -> None:
    """Raise InvalidRequest if the method cannot start from the version."""
    name, network = request.params.algorithm, TypeAdapter[NetworkParams](AnyNetwork).validate_python(version.manifest["network"])
    if request.params.plain_kind is not None:
        raise InvalidRequest(errors=[FieldError("/base/model", f"`{name}` fits a new model: name no version to start from")])
    if not network.has_gradients:
        detail = f"`{name}` cannot train the network `{network.network}` of this version: start from another one"
        raise InvalidRequest(errors=[FieldError("/base/model", detail)])


def _check_network(network: NetworkParams, modality: str) -> None:
    """Raise InvalidRequest for a network of another modality, or with options that only manifests have."""
    if modality not in network.modalities:
        error = FieldError("/base", f"the network `{network.network}` is not for {modality} data")
        raise InvalidRequest(error.detail, [error])
    unknown = network.manifest_only_fields & network.model_fields_set
    if unknown:
        raise InvalidRequest(errors=[FieldError(f"/base/{name}", "Extra inputs are not permitted") for name in sorted(unknown)])


def _check_batch_norm(session: Session, request: JobCreate, base: Mapping[str, Any], version_id: UUID | None) -> None:
    """Raise InvalidRequest for a method that only changes batch norm, with a network that has none."""
    if not request.params.needs_batch_norm:
        return
    version = session.get(VersionRow, version_id) if version_id is not None else None
    network = TypeAdapter[NetworkParams](AnyNetwork).validate_python(version.manifest["network"] if version is not None else base)
    if network.has_batch_norm is False:
        name = request.params.algorithm
        detail = f"`{name}` updates batch norm, and the network `{network.network}` has none: choose another algorithm or network"
        raise InvalidRequest(detail, [FieldError("/params/algorithm", detail)])


def named_version(session: Session, reference: str, pointer: str) -> VersionRow:
    """Return the version that a request names. Raise InvalidRequest with this pointer."""
    try:
        return models.resolve_for_job(session, reference)
    except ModelNotFound as error:
        raise InvalidRequest(error.message, [FieldError(pointer, error.message)]) from error


def check_version_accepts(version: VersionRow, data: DatasetRow, pointer: str, role: str) -> None:
    """Raise InvalidRequest with every reason why the version cannot read this dataset."""
    if version.modality != data.modality:
        name = f"{version.model.name}:{version.number}"
        detail = f"{name} is for {version.modality} data, the {role} is {data.modality} data"
        raise InvalidRequest(detail, [FieldError(pointer, detail)])
    modality = MODALITIES[data.modality]
    fitted = modality.preprocessing.model_validate(Manifest.read(version.manifest).preprocessing)
    reasons = modality.incompatibilities_with_model(fitted, datasets.profile_of(data))
    if reasons:
        raise InvalidRequest("; ".join(reasons[:3]), [FieldError(pointer, misfit) for misfit in reasons])
