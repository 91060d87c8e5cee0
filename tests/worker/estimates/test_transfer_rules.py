"""Decisions of the rules at their thresholds, and the table of rules in the documentation."""

from dataclasses import fields, replace
from math import nan
from pathlib import Path

import pytest

from tests.support.transfer_cases import CLEAR_GAIN
from worker.estimates.transfer_rules import RULES, THRESHOLDS, Condition, Rule, TransferEvidence
from worker.estimates.transfer_verdict import judge

PAGE = Path(__file__).parents[3] / "docs" / "methods" / "transfer-verdict.md"
NAMES = {rule.name for rule in RULES}

Changes = dict[str, float]

DECISIONS: list[tuple[Changes, str, bool, str]] = [
    ({}, "yes", True, ""),
    ({"source_accuracy_drop": 0.10}, "yes", True, ""),
    ({"source_accuracy_drop": 0.11}, "no", False, "source_accuracy_lost"),
    ({"source_accuracy_drop": 0.3, "reverse_validation_gain": 0.09}, "no", False, "source_accuracy_lost"),
    ({"source_accuracy_drop": 0.3, "reverse_validation_gain": 0.10}, "yes", True, ""),
    ({"gain": -0.02, "validators_in_favour": 0.0}, "unsure", True, "gain_too_small validators_not_in_favour"),
    (
        {"gain": -0.03, "validators_in_favour": 1 / 3},
        "no",
        False,
        "estimate_and_validators_worse gain_too_small validators_not_in_favour",
    ),
    ({"gain": -0.03, "validators_in_favour": 0.4}, "unsure", True, "gain_too_small validators_not_in_favour"),
    (
        {"gain": -0.05, "validators_in_favour": 0.0, "reverse_validation_gain": 0.15},
        "unsure",
        True,
        "gain_too_small validators_not_in_favour",
    ),
    ({"classes_lost": 1, "validators_in_favour": 0.5}, "no", False, "classes_lost validators_not_in_favour"),
    ({"classes_lost": 1, "validators_in_favour": 2 / 3}, "yes", True, ""),
    ({"classes_lost": -1, "validators_in_favour": 0.5}, "unsure", True, "validators_not_in_favour"),
    ({"label_shift_headroom": -0.05}, "yes", True, ""),
    ({"label_shift_headroom": -0.06}, "no", False, "label_shift_headroom_negative"),
    ({"label_shift_reverted": 0.05, "label_shift_trusted": True}, "yes", True, ""),
    ({"label_shift_reverted": 0.06, "label_shift_trusted": True}, "no", False, "trusted_label_shift_reverted"),
    ({"label_shift_reverted": 0.09}, "yes", True, ""),
    ({"label_shift_reverted": 0.10}, "unsure", True, "label_shift_reverted"),
    ({"gain": 0.02}, "unsure", True, "gain_too_small"),
    ({"gain": 0.021}, "yes", True, ""),
    ({"validators_in_favour": 0.6}, "unsure", True, "validators_not_in_favour"),
    ({"class_prior_distance": 0.19}, "yes", True, ""),
    ({"class_prior_distance": 0.20}, "unsure", True, "class_priors_differ"),
    ({"disagreements": 30}, "yes", True, ""),
    ({"disagreements": 29}, "unsure", False, "too_few_disagreements networks_not_comparable"),
    ({"disagreements": 16}, "unsure", False, "too_few_disagreements networks_not_comparable"),
    ({"disagreements": 15}, "unsure", True, "too_few_disagreements"),
    ({"disagreements": 0}, "unsure", True, "too_few_disagreements"),
    ({"disagreements": 7, "rows": 48}, "unsure", False, "too_few_disagreements networks_not_comparable"),
    ({"disagreements": 8, "rows": 48}, "unsure", True, "too_few_disagreements"),
    ({"disagreements": 8, "rows": 300}, "unsure", False, "too_few_disagreements networks_not_comparable"),
    ({"disagreements": 8, "rows": 600}, "unsure", True, "too_few_disagreements"),
    ({"reverse_validation_ratio": 0.74}, "yes", False, "reverse_validation_failed"),
    ({"reverse_validation_ratio": 0.75}, "yes", True, ""),
    ({"gain": nan}, "unsure", True, "gain_too_small"),
    ({"class_prior_distance": nan}, "unsure", True, "class_priors_differ"),
    ({"reverse_validation_ratio": nan}, "yes", False, "reverse_validation_failed"),
    ({"source_accuracy_drop": nan}, "yes", True, ""),
]
"""Changes of clear evidence; `helped`; whether a search may register the adapted network; the rules that fire.

The first three columns are the decisions of the implementation before the rules had names. They must not change by refactoring.
"""


@pytest.mark.parametrize(("changes", "helped", "supports_adapted", "names"), DECISIONS)
def test_decision_follows_from_the_fired_rules(changes: Changes, helped: str, supports_adapted: bool, names: str) -> None:
    verdict = judge(replace(CLEAR_GAIN, **changes))  # type: ignore[arg-type]
    assert (verdict.helped, verdict.supports_adapted) == (helped, supports_adapted)
    assert [rule.name for rule in verdict.fired] == names.split()


def test_every_rule_has_a_unique_name_and_a_case() -> None:
    assert len(NAMES) == len(RULES)
    assert {name for *_, names in DECISIONS for name in names.split()} == NAMES


def test_every_condition_compares_evidence() -> None:
    measures = {field.name for field in fields(TransferEvidence)}
    conditions = [condition for rule in RULES for condition in rule.conditions]
    assert {condition.measure for condition in conditions} <= measures
    assert all(hasattr(CLEAR_GAIN, name) for name in (c.threshold for c in conditions) if isinstance(name, str))


def test_fired_rule_states_values_and_thresholds() -> None:
    verdict = judge(replace(CLEAR_GAIN, disagreements=20))
    assert str(verdict.fired_with("source_only")[0]).endswith("(disagreements 20 < 30, disagreements 20 > 15)")


def test_documentation_lists_every_rule() -> None:
    table = "\n".join(["| rule | effect | fires if | reason | source |", "|---|---|---|---|---|", *map(table_row, RULES)])
    assert table in PAGE.read_text(), f"Replace the table of {PAGE.name} by:\n{table}"


def test_documentation_states_the_thresholds_of_disagreements() -> None:
    text = PAGE.read_text()
    assert f"the smaller of {THRESHOLDS.disagreements} and {100 * THRESHOLDS.disagreement_fraction:.0f} % of the rows" in text
    assert f"`max_harmless_disagreements` is {100 * THRESHOLDS.harmless_disagreement_fraction:.1f} % of the rows" in text


def table_row(rule: Rule) -> str:
    conditions = " and ".join(map(condition_text, rule.conditions))
    return f"| `{rule.name}` | `{rule.effect}` | {conditions} | {rule.reason} | {rule.source} |"


def condition_text(condition: Condition) -> str:
    threshold = f"`{condition.threshold}`" if isinstance(condition.threshold, str) else f"{condition.threshold:.3g}"
    return f"`{condition.measure}` {condition.comparison} {threshold}"
