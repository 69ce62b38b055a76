"""The rules R01–R21, each with its tests, and the page that says so."""

from __future__ import annotations

import pytest
from rules import ROOT, RULES, Rule, table

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def test_every_rule_is_there_once_and_in_order() -> None:
    assert [rule.name for rule in RULES] == [f"R{number:02}" for number in range(1, 22)]


@each_rule
def test_a_rule_has_tests_that_bear_its_name_and_exist(rule: Rule) -> None:
    for test in rule.all_tests:
        file, _, name = test.partition("::")
        assert f"test_{rule.name.lower()}_" in name
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


@each_rule
def test_what_enforces_a_rule_exists_and_what_breaks_it_is_found_once(rule: Rule) -> None:
    assert all((ROOT / file).is_file() for file in rule.where)
    for change, _ in rule.breaks:
        text = (ROOT / change.file).read_text(encoding="utf-8")
        assert text.count(change.old) == 1
        assert change.new != change.old


def test_the_page_is_what_the_rules_say() -> None:
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert page == table(), "docs/rules.md is stale: run python tests/rules.py docs/rules.md"
