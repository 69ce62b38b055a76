"""Findings as people read them: what is true of many VMs stands once, with all of them named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shunter.topology.plan import Finding, Severity
from shunter.topology.requirements.differing import listed

_PLURAL = {"vm": "vms", "node": "nodes", "volume": "volumes", "network": "networks", "rule": "rules"}


@dataclass(frozen=True, slots=True)
class Group:
    """One or more findings that differ in their subject, and perhaps in numbers, alone."""

    rule: str
    severity: Severity
    subjects: tuple[str, ...]
    message: str
    remedy: str

    def about(self, most: int = 8) -> str:
        """ "vm web-1", "vms web-1, web-2 and 40 more"."""
        if len(self.subjects) == 1:
            return self.subjects[0]
        kind, _, _ = self.subjects[0].partition(" ")
        return f"{_PLURAL.get(kind, kind)} {listed([_name(subject) for subject in self.subjects], most)}"


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """In the order in which their kinds come first."""
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for found in findings:
        kind, _, _ = found.subject.partition(" ")
        pattern = re.sub(r"\d+", "#", _general(found, found.message))
        alike.setdefault((found.severity, found.rule, kind, pattern), []).append(found)
    return [_merged(group) for group in alike.values()]


def _merged(group: Sequence[Finding]) -> Group:
    first = group[0]
    return Group(
        rule=first.rule,
        severity=first.severity,
        subjects=tuple(found.subject for found in group),
        message=_common(group, [found.message for found in group], " (and so on)").replace("NAME", _each(first)),
        remedy=_common(group, [found.remedy for found in group], ""),
    )


def _common(group: Sequence[Finding], texts: Sequence[str], more: str) -> str:
    """The text that holds for all; where there is none, the first stands for the others."""
    if len(group) == 1:
        return texts[0]
    general = {_general(found, text) for found, text in zip(group, texts, strict=True)}
    return general.pop() if len(general) == 1 else texts[0] + more


def _each(found: Finding) -> str:
    kind, _, _ = found.subject.partition(" ")
    return f"the {'VM' if kind == 'vm' else kind}"


def _general(found: Finding, text: str) -> str:
    """Without the name of its subject, where that stands as a whole word."""
    return re.sub(rf"(?<![\w-]){re.escape(_name(found.subject))}(?![\w-])", "NAME", text)


def _name(subject: str) -> str:
    return subject.partition(" ")[2]
