"""The folders and repositories from which jobs may load pretrained encoders."""

from pathlib import Path

import pytest

from app.errors import InvalidRequest
from app.services.pretrained_sources import PretrainedSources, label
from app.settings import Settings


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """Return an allowed folder that contains the checkpoint `encoder`; the checkpoint `private` is beside it."""
    for folder in (tmp_path / "allowed" / "encoder", tmp_path / "private"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    return tmp_path / "allowed"


def sources(folders: Path | str, hub: str = "") -> PretrainedSources:
    return PretrainedSources.of(Settings(_env_file=None, pretrained_folders=str(folders), pretrained_hub=hub))


def message(name: str, where: PretrainedSources) -> str:
    with pytest.raises(InvalidRequest) as caught:
        where.check(name)
    return caught.value.message.replace(repr(name), "")


def test_checkpoint_in_an_allowed_folder_is_found_by_either_name(allowed: Path) -> None:
    for name in (str(allowed / "encoder"), "encoder", f"{allowed}/../allowed/./encoder"):
        assert sources(allowed).folder(name) == (allowed / "encoder").resolve()
        sources(allowed).check(name)


def test_allowed_folder_may_itself_be_a_link(allowed: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(allowed)
    assert sources(tmp_path / "link").folder("encoder") == (allowed / "encoder").resolve()


def test_missing_and_forbidden_checkpoints_get_the_same_message(allowed: Path, tmp_path: Path) -> None:
    (allowed / "way-out").symlink_to(tmp_path / "private")
    where = sources(allowed)
    forbidden = [
        str(tmp_path / "private"),
        "../private",
        "way-out",
        f"{allowed}/../private",
        f"{allowed}-2",
        "/proc/self",
        "/proc/self/cwd",
        "/etc",
        ".",
        "~",
        "a" * 5000,
    ]
    missing = [str(tmp_path / "no-such-folder"), "no-such-folder", "owner/name"]
    assert where.folder(".") == allowed.resolve()
    assert len({message(name, where) for name in [*forbidden, *missing] if name != "."}) == 1


def test_nothing_is_allowed_without_settings(allowed: Path) -> None:
    assert sources("").folder(str(allowed / "encoder")) is None
    assert message(str(allowed / "encoder"), sources("")) == message("/no/such/folder", sources(""))


def test_every_folder_is_allowed_by_a_star(allowed: Path) -> None:
    assert sources("*").folder(str(allowed / "encoder")) == (allowed / "encoder").resolve()
    assert sources("*").folder("encoder") is None


@pytest.mark.parametrize("name", ["sentence-transformers/all-MiniLM-L6-v2", "bert-base-uncased"])
def test_repositories_are_allowed_by_patterns(name: str) -> None:
    assert sources("", "sentence-transformers/*, bert-base-uncased").allows_repository(name)
    assert sources("", "*").allows_repository(name)
    assert not sources("", "google/*").allows_repository(name)
    assert not sources("", "").allows_repository(name)


@pytest.mark.parametrize("name", ["sentence-transformers/../private/x", "/etc", "a/b/c", "../up", " a/b", "a/", ""])
def test_names_that_are_no_repositories_are_never_allowed(name: str) -> None:
    assert not sources("", "*").allows_repository(name)


def test_folder_that_only_workers_have_is_left_to_them(tmp_path: Path) -> None:
    where = sources(tmp_path / "models")
    where.check(str(tmp_path / "models" / "encoder"))
    message(str(tmp_path / "models" / ".." / "private"), where)


def test_label_hides_the_folder_of_a_checkpoint() -> None:
    assert label("/srv/models/encoder") == "encoder"
    assert label("owner/encoder") == "owner/encoder"
