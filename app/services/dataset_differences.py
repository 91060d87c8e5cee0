"""Differences between the datasets of a job.

Several sources are compared with one another first. All other comparisons see them as one dataset, with the classes of all and
the columns that all of them have.
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from app.db.tables import DatasetRow
from app.errors import FieldError, IncompatibleDatasets
from app.formats.data_warnings import DataWarning
from app.formats.names import canonical_name
from app.formats.validation import LIMIT, printable
from app.modalities import MODALITIES
from app.services import datasets


def joined_source(sources: Mapping[str, DatasetRow]) -> DatasetRow | None:
    """Return the sources, which are keyed by their pointers, as one. Raise IncompatibleDatasets if they cannot be one."""
    if not sources:
        return None
    first, *_ = sources.values()
    errors = []
    for pointer, other in islice(sources.items(), 1, None):
        errors += [FieldError(pointer, difference) for difference in _differences(first, other)]
    if len(sources) > 1:
        errors += [
            FieldError(name, f"the source has no labels{_remedy(one)}") for name, one in sources.items() if not one.classes
        ]
    if not errors:
        joined = datasets.joined(list(sources.values()))
        if joined.profile.get("columns") != []:
            return joined
        errors = [FieldError("/source", "the sources have no column that all of them share: give the columns the same names")]
    raise IncompatibleDatasets("; ".join(error.detail for error in errors[:3]), errors)


def check_compatible(source: DatasetRow, target: DatasetRow | None, evaluation: DatasetRow | None) -> None:
    """Raise IncompatibleDatasets with every difference; pointers are `/source`, `/target` and `/evaluation`."""
    errors = []
    if source.classes is None:
        errors.append(FieldError("/source", f"the source has no labels{_remedy(source)}"))
    elif len(source.classes) < 2:
        errors.append(FieldError("/source", f"the source has only one class, {next(iter(source.classes))!r}: two are required"))
    elif max(source.classes.values()) < 2:
        errors.append(
            FieldError("/source", "the source has one example of each class; at least two of one class are needed for validation")
        )
    if target is not None:
        errors += [FieldError("/target", difference) for difference in _differences(source, target)]
    if evaluation is not None:
        errors += [FieldError("/evaluation", difference) for difference in _evaluation_differences(source, target, evaluation)]
    if errors:
        raise IncompatibleDatasets("; ".join(error.detail for error in errors[:3]), errors)


def _differences(source: DatasetRow, other: DatasetRow) -> list[str]:
    if source.modality != other.modality:
        return [f"the source is {source.modality} data, this is {other.modality} data"]
    return MODALITIES[source.modality].incompatibilities(datasets.profile_of(source), datasets.profile_of(other))


def _evaluation_differences(source: DatasetRow, target: DatasetRow | None, evaluation: DatasetRow) -> list[str]:
    reasons = _differences(source, evaluation)
    if not reasons:
        unlearned = set(unshared_inputs(source, target)) if target is not None else set()
        missing = [name for name in unshared_inputs(source, evaluation) if name not in unlearned]
        reasons = [f"column {printable(name, 50)!r} of the source is missing" for name in missing[:LIMIT]]
    return reasons + _unknown_labels(evaluation, source.classes or ())


def unshared_inputs(source: DatasetRow, other: DatasetRow) -> list[str]:
    """Return the inputs of the source that the other dataset does not have; a job does not learn them."""
    return MODALITIES[source.modality].unshared_inputs(datasets.profile_of(source), datasets.profile_of(other))


def comparison(source: DatasetRow, target: DatasetRow | None, evaluation: DatasetRow | None) -> list[DataWarning]:
    """Return differences that do not prevent a job, but that its sender should know."""
    modality, profile = MODALITIES[source.modality], datasets.profile_of(source)
    found = []
    for role, other in (("target", target), ("evaluation", evaluation)):
        if other is not None and other.modality == source.modality:
            found += modality.comparison(profile, datasets.profile_of(other), role)
    return found + _missing_classes(source, evaluation)


def source_differences(sources: Mapping[str, DatasetRow], joined: DatasetRow) -> list[DataWarning]:
    """Return what single sources have and a job does not learn, and the classes that they lack."""
    modality = MODALITIES[joined.modality]
    found = []
    for pointer, one in sources.items() if len(sources) > 1 else ():
        names = modality.unshared_inputs(datasets.profile_of(one), datasets.profile_of(joined))
        if names:
            message = f"{len(names)} columns are not used, because not all sources have them: {_shown(names)}"
            found.append(DataWarning("unshared_columns", message, pointer, tuple(names[:5])))
        missing = [name for name in joined.classes or () if name not in (one.classes or ())]
        if missing:
            message = f"this source has no examples of {len(missing)} of {len(joined.classes or ())} classes: {_shown(missing)}"
            found.append(DataWarning("missing_classes", message, pointer, tuple(missing[:5])))
    return found


def _shown(names: Iterable[str]) -> str:
    return ", ".join(repr(printable(name, 50)) for name in islice(names, 5))


def _missing_classes(source: DatasetRow, evaluation: DatasetRow | None) -> list[DataWarning]:
    if evaluation is None or not source.classes or not evaluation.classes:
        return []
    missing = [name for name in source.classes if name not in evaluation.classes]
    if not missing:
        return []
    message = f"the evaluation has no examples of {len(missing)} of {len(source.classes)} classes: {_shown(missing)}"
    return [DataWarning("missing_classes", message, "/evaluation", tuple(missing[:5]))]


def _remedy(source: DatasetRow) -> str:
    """Return what to do about missing labels, with the columns that may contain them."""
    likely = [name for warning in source.warnings if warning["code"] == "likely_label" for name in warning["examples"]]
    names = f", such as {_shown(likely)}" if likely else ""
    return f": name the column with the labels{names} in `options.label` of the upload" if "columns" in source.profile else ""


def check_evaluation(evaluation: DatasetRow, classes: Iterable[str]) -> None:
    """Raise IncompatibleDatasets if labels are missing, or are not classes of the model."""
    errors = [FieldError("/evaluation", reason) for reason in _unknown_labels(evaluation, classes)]
    if errors:
        raise IncompatibleDatasets(errors[0].detail, errors)


def _unknown_labels(evaluation: DatasetRow, classes: Iterable[str]) -> list[str]:
    if evaluation.classes is None:
        return ["an evaluation dataset needs labels"]
    known = {canonical_name(name) for name in classes}
    unknown = sorted(name for name in evaluation.classes if canonical_name(name) not in known)
    names = ", ".join(repr(name) for name in unknown[:5])
    return [f"classes that the source does not have: {names}"] if unknown else []
