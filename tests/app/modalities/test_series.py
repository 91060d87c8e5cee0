from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidDataset, InvalidInputs
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile, Profile
from app.modalities.series import Series, SeriesPreprocessing
from app.networks.cnn1d import Cnn1dParams
from tests.support import recordings
from tests.support.dataset_reading import dataset, labels
from tests.support.factories import npz_bytes

SERIES = MODALITIES["series"]
SIGNALS, CLASSES = recordings.signals(), recordings.classes()


def read(folder: Path, filename: str, content: bytes, **options: Any) -> DatasetFile:
    return dataset(folder, filename, content, "series", **options)


def values(file: DatasetFile) -> np.ndarray[Any, Any]:
    return np.concatenate([chunk.inputs for chunk in SERIES.chunks(file, 4)])


def groups(file: DatasetFile) -> list[str] | None:
    found = [chunk.groups for chunk in SERIES.chunks(file, 4)]
    return None if found[0] is None else [group for part in found for group in part or ()]


def profile(file: DatasetFile) -> Profile:
    return Profile(file.format, 1, None, dict(file.details))


def warnings(file: DatasetFile) -> list[str]:
    return [warning["code"] for warning in file.details.get("warnings", ())]


def rejection(folder: Path, filename: str, content: bytes, **options: Any) -> str:
    with pytest.raises(InvalidDataset) as caught:
        read(folder, filename, content, **options)
    return caught.value.errors[0].detail


def fitted(folder: Path, file: DatasetFile) -> SeriesPreprocessing:
    preprocessing = Series().fit(SERIES.chunks(file), (), Cnn1dParams(), None, folder)
    return preprocessing


@pytest.mark.parametrize("filename", recordings.FORMATS)
def test_every_format_holds_the_same_recordings(tmp_path: Path, filename: str) -> None:
    file = read(tmp_path, filename, recordings.FORMATS[filename](SIGNALS, CLASSES))
    assert np.array_equal(values(file), SIGNALS)
    assert labels(list(SERIES.chunks(file))) == CLASSES
    assert groups(file) is None
    details = file.details
    assert (details["channels"], details["length"], details["recordings"], details["missing"]) == (2, 16, 6, 0)
    assert details["names"] == (None if filename in ("a.npz", "a.ts") else ["x", "y"])
    assert details["ranges"][1]["max"] == SIGNALS[:, 1].max()
    assert details["rate"] is None


def test_npz_without_channel_axis_has_one_channel(tmp_path: Path) -> None:
    file = read(tmp_path, "a.npz", npz_bytes(x=SIGNALS[:, 0]))
    assert values(file).shape == (6, 1, 16)
    assert not file.labelled


def test_wav_files_in_class_folders_are_read_with_their_rate(tmp_path: Path) -> None:
    sounds = np.arange(-32, 32, dtype=np.int16).reshape(2, 2, 16) * 1000
    files = [(f"{label}/a.wav", recordings.wav(sound)) for label, sound in zip("ab", sounds, strict=True)]
    file = read(tmp_path, "a.zip", recordings.archive(files))
    assert np.array_equal(values(file), sounds.astype(np.float32) / 32768)
    assert file.details["rate"] == 8000
    floats = [(f"{label}/a.wav", recordings.float_wav(signal)) for label, signal in zip("ab", SIGNALS[:2], strict=True)]
    assert np.array_equal(values(read(tmp_path, "b.zip", recordings.archive(floats))), SIGNALS[:2])
    mixed = [*files, ("b/b.wav", recordings.wav(sounds[0], rate=16000))]
    assert "rate of 16000 Hz" in rejection(tmp_path, "c.zip", recordings.archive(mixed))


def test_files_without_folders_or_in_one_folder_are_unlabelled(tmp_path: Path) -> None:
    table = b"time,x\n" + b"".join(b"%d,1.5\n" % step for step in range(20))
    flat = read(tmp_path, "a.zip", recordings.archive([("1.csv", table), ("2.csv", table)]))
    assert not flat.labelled
    assert "warnings" not in flat.details or warnings(flat) == []
    single = read(tmp_path, "b.zip", recordings.archive([("data/1.csv", table), ("data/2.csv", table)]))
    assert not single.labelled
    assert warnings(single) == ["one_folder"]


def test_windows_of_a_recording_share_its_group(tmp_path: Path) -> None:
    long = recordings.signals(4, 40)
    file = read(tmp_path, "a.npz", recordings.npz(long, CLASSES[:4]), window=16, stride=8)
    assert np.array_equal(values(file)[1], long[0][:, 8:24])
    assert len(values(file)) == 16
    assert groups(file) == [str(number) for number in range(4) for _ in range(4)]
    assert labels(list(SERIES.chunks(file)))[:8] == ["idle"] * 4 + ["worn"] * 4
    table = read(tmp_path, "a.csv", recordings.csv(long, CLASSES[:4]), window=16, stride=8)
    assert np.array_equal(values(table), values(file))
    machines = npz_bytes(x=long, y=np.array(CLASSES[:4]), group=np.array(["m1", "m1", "m2", "m2"]))
    assert groups(read(tmp_path, "b.npz", machines)) == ["m1", "m1", "m2", "m2"]
    assert groups(read(tmp_path, "b.npz", machines, window=40)) == ["m1", "m1", "m2", "m2"]


def test_label_that_changes_within_a_recording_ends_a_window(tmp_path: Path) -> None:
    rows = [f"u1,{step},{step},{'walk' if step < 20 else 'run'}" for step in range(40)]
    content = "\n".join(["id,time,x,label", *rows]).encode()
    file = read(tmp_path, "a.csv", content, window=8)
    assert labels(list(SERIES.chunks(file))) == ["walk"] * 2 + ["run"] * 2
    assert groups(file) == ["u1"] * 4
    assert values(file)[2, 0].tolist() == list(range(20, 28))
    assert "set `options.window`" in rejection(tmp_path, "b.csv", content)


def test_missing_values_are_interpolated_with_a_warning(tmp_path: Path) -> None:
    gaps = SIGNALS.copy()
    gaps[0, 0, :3] = gaps[0, 0, 5] = gaps[1, 1] = np.nan
    file = read(tmp_path, "a.npz", recordings.npz(gaps, CLASSES))
    assert warnings(file) == ["interpolated"]
    assert file.details["missing"] == 20
    preprocessing = fitted(tmp_path, file)
    encoded = Series().encoder(preprocessing, tmp_path)(values(file))["series"]
    assert encoded[0, 0, :3].tolist() == [gaps[0, 0, 3]] * 3
    assert encoded[0, 0, 5] == pytest.approx((gaps[0, 0, 4] + gaps[0, 0, 6]) / 2)
    assert np.isnan(encoded[1, 1]).all()
    cells = recordings.csv(SIGNALS, CLASSES).replace(b"id,time", b"id,time", 1).decode().splitlines()
    cells[2] = "0,1,,NA,idle"
    assert read(tmp_path, "b.csv", "\n".join(cells).encode()).details["missing"] == 2


def test_number_for_missing_values_is_reported_and_can_be_named(tmp_path: Path) -> None:
    broken = SIGNALS.copy()
    broken[0, 0, 3:6] = -9999
    file = read(tmp_path, "a.npz", recordings.npz(broken, CLASSES))
    assert warnings(file) == ["sentinel"]
    assert '"missing": [-9999]' in file.details["warnings"][0]["message"]
    named = read(tmp_path, "b.npz", recordings.npz(broken, CLASSES), missing=[-9999])
    assert (warnings(named), named.details["missing"]) == (["interpolated"], 3)
    preprocessing = fitted(tmp_path, named)
    assert abs(preprocessing.mean[0]) < 20
    served = Series().encoder(preprocessing, tmp_path)(SERIES.parse([broken[0].tolist()], preprocessing))["series"]
    assert served.min() >= SIGNALS.min()


def test_unequal_lengths_need_an_option(tmp_path: Path) -> None:
    tables = [b"x\n" + b"".join(b"%d.5\n" % step for step in range(length)) for length in (12, 20)]
    content = recordings.archive([("a/1.csv", tables[0]), ("b/1.csv", tables[1])])
    assert "b/1.csv has 20 steps, a/1.csv has 12: set `options.window`" in rejection(tmp_path, "a.zip", content)
    adjusted = values(read(tmp_path, "b.zip", content, length=16))
    assert adjusted[0, 0].tolist() == [*(step + 0.5 for step in range(12)), *[11.5] * 4]
    assert adjusted[1, 0].tolist() == [step + 0.5 for step in range(16)]
    windows = read(tmp_path, "c.zip", content, window=16)
    assert len(values(windows)) == 1
    assert "short_recordings" in warnings(windows)


def test_rows_are_sorted_by_time_with_a_warning(tmp_path: Path) -> None:
    lines = recordings.csv(SIGNALS, CLASSES).splitlines()
    lines[3], lines[5] = lines[5], lines[3]
    file = read(tmp_path, "a.csv", b"\n".join(lines))
    assert np.array_equal(values(file), SIGNALS)
    assert warnings(file) == ["sorted_by_time"]


def test_recording_that_continues_later_is_rejected(tmp_path: Path) -> None:
    lines = recordings.csv(SIGNALS, CLASSES).splitlines()
    assert "continues after another recording" in rejection(tmp_path, "a.csv", b"\n".join([*lines, *lines[1:9]]))


@pytest.mark.parametrize(
    ("filename", "content", "expected"),
    [
        ("a.npz", npz_bytes(x=np.full((2, 16), np.inf)), "is not a finite 32-bit number"),
        ("a.npz", npz_bytes(x=np.full((2, 16), 1e39)), "is not a finite 32-bit number"),
        ("a.npz", npz_bytes(x=np.full((2, 16), np.nan)), "all values are missing"),
        ("a.npz", npz_bytes(x=np.zeros((2, 4))), "has 4 steps: at least 8"),
        ("a.npz", npz_bytes(x=np.zeros((0, 4))), "there are no recordings"),
        ("a.npz", npz_bytes(x=np.zeros((2, 3, 4, 5))), "expected (n, channels, time)"),
        ("a.npz", npz_bytes(x=np.zeros((2, 16)), group=np.zeros(3)), "one group per recording"),
        ("a.npz", npz_bytes(x=np.zeros((2, 16)), z=np.zeros(3)), "unknown array 'z'"),
        ("a.csv", b"id,x\n1,2\n1,abc\n", "'abc' is not a number"),
        ("a.csv", b"x,y\n1,2\n1,3\n", "there is no column `id`"),
        ("a.ts", b"@problemName a\n1,2\n", "does not begin with `@`"),
        ("a.ts", b"@data\n1,2,x\n", "'x' is not a number"),
        ("a.ts", b"@timeStamps true\n@data\n", "time stamps"),
        ("a.ts", b"@targetLabel true\n@data\n", "regression"),
        ("a.ts", b"@data\n1,2:1,2,3\n", "different lengths"),
        ("a.zip", recordings.archive([("a/1.wav", b"RIFF0000WAVE")]), "not a readable WAV file"),
        ("a.zip", recordings.archive([("a/1.csv", b"x\n" + b"1\n" * 9), ("2.csv", b"x\n1\n")]), "expected class_name/file.csv"),
        ("a.zip", recordings.archive([("a/1.csv", b"x\n" + b"1\n" * 9), ("b/2.csv", b"y\n1\n")]), "columns are y"),
    ],
)
def test_invalid_files_are_rejected_with_the_reason(tmp_path: Path, filename: str, content: bytes, expected: str) -> None:
    assert expected in rejection(tmp_path, filename, content)


def test_datasets_of_other_shapes_names_or_rates_do_not_fit(tmp_path: Path) -> None:
    source = read(tmp_path, "a.csv", recordings.csv(SIGNALS, CLASSES))
    other = read(tmp_path, "b.csv", recordings.csv(SIGNALS, CLASSES).replace(b"x,y", b"y,x"))
    assert SERIES.incompatibilities(profile(source), profile(source)) == []
    assert "channels y, x, in the source x, y" in SERIES.incompatibilities(profile(source), profile(other))[0]
    shorter = read(tmp_path, "c.csv", recordings.csv(SIGNALS, CLASSES), window=8)
    assert "8 steps, in the source 16" in SERIES.incompatibilities(profile(source), profile(shorter))[0]
    single = read(tmp_path, "d.npz", npz_bytes(x=SIGNALS[:, 0]))
    assert SERIES.incompatibilities(profile(source), profile(single)) == ["series of 1 channels, in the source 2"]
    unnamed = read(tmp_path, "e.npz", npz_bytes(x=SIGNALS))
    assert SERIES.incompatibilities_with_model(fitted(tmp_path, source), profile(unnamed)) == []


def test_preview_has_a_plot_of_each_example(tmp_path: Path) -> None:
    rows = SERIES.preview(read(tmp_path, "a.npz", recordings.npz(SIGNALS, CLASSES)), range(2))
    assert [(row["channels"], row["length"], row["label"]) for row in rows] == [(2, 16, "idle"), (2, 16, "worn")]
    assert rows[0]["thumbnail"].startswith("data:image/png;base64,")
    assert rows[0]["thumbnail"] != rows[1]["thumbnail"]


def model(**fields: Any) -> SeriesPreprocessing:
    return SeriesPreprocessing(**{"length": 16, "mean": (0, 0), "std": (1, 1), "names": ("x", "y")} | fields)


def test_predictions_take_lists_objects_and_nulls() -> None:
    one = SIGNALS[0].tolist()
    by_name = {"y": one[1], "x": one[0]}
    assert np.array_equal(SERIES.parse([one, by_name], model()), SIGNALS[[0, 0]])
    one[0][2] = None
    assert np.isnan(SERIES.parse([one], model())[0, 0, 2])
    assert SERIES.parse([one[1]], model(mean=(0,), std=(1,), names=None)).shape == (1, 1, 16)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[1] * 15] * 2, "2 x 15 numbers, expected 2 x 16 (channels x time)"),
        ([[1] * 16, [1] * 15], "different lengths"),
        ([["1"] * 16] * 2, "expected lists of numbers"),
        ([[True] * 16] * 2, "expected lists of numbers"),
        ([[None, "1", *[1] * 14]] * 2, "'1' is not a number"),
        ([[None, [], *[1] * 14]] * 2, "different lengths"),
        ([[1e39] * 16] * 2, "not a finite 32-bit number"),
        ([[None] * 16] * 2, "all values are missing"),
        ({"x": [1] * 16}, "expected the channels x, y"),
        ("abc", "expected lists of numbers"),
    ],
)
def test_invalid_inputs_are_rejected_with_their_position(value: Any, expected: str) -> None:
    with pytest.raises(InvalidInputs) as caught:
        SERIES.parse([SIGNALS[0].tolist(), value], model())
    assert caught.value.errors[0].pointer == "/inputs/1"
    assert expected in caught.value.errors[0].detail


def test_files_of_predictions_are_recognised_by_content() -> None:
    table = b"time,y,x\n" + b"".join(b"%d,%f,%f\n" % (step, *SIGNALS[0, ::-1, step]) for step in range(16))
    assert np.array_equal(SERIES.parse_bytes([table, npz_bytes(x=SIGNALS[1:3])], model()), SIGNALS[:3])
    sound = np.zeros((2, 16), np.int16)
    assert SERIES.parse_bytes([recordings.wav(sound)], model(rate=8000)).shape == (1, 2, 16)
    for content, expected in ((recordings.wav(sound), "8000 Hz, expected 4000 Hz"), (b"\x93NUMPYx", "magic"), (b"", "empty")):
        with pytest.raises(InvalidInputs, match=expected):
            SERIES.parse_bytes([content], model(rate=4000))


def test_model_that_fits_lengths_cuts_and_fills_inputs() -> None:
    parsed = SERIES.parse([[[1, 2, 3]] * 2, [list(range(20))] * 2], model(fits_length=True))
    assert parsed[0, 0].tolist() == [1, 2, *[3] * 14]
    assert parsed[1, 0].tolist() == list(range(16))
