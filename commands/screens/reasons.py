"""Why VMs stay, so that a person can read it: equal reasons stand once, with all nodes and all VMs they hold for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shunter.topology.plan import Unplaced, Verdict


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against some nodes, and what would help."""

    targets: tuple[str, ...]
    rule: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Staying:
    """VMs that stay on a node for the same reasons."""

    vms: tuple[str, ...]
    node: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    vm: str
    verdict: Verdict


def grouped(unplaced: Iterable[Unplaced]) -> list[Staying]:
    """In the order in which VMs and nodes come first."""
    alike: dict[object, list[Unplaced]] = {}
    for stays in unplaced:
        pattern = tuple(sorted((v.target, *_pattern(stays.vm, v)) for v in stays.verdicts))
        alike.setdefault((stays.node, pattern), []).append(stays)
    return [Staying(tuple(stays.vm for stays in group), group[0].node, _reasons(group)) for group in alike.values()]


def _reasons(group: Sequence[Unplaced]) -> tuple[Reason, ...]:
    by_pattern: dict[tuple[str, ...], list[_Said]] = {}
    for stays in group:
        for verdict in stays.verdicts:
            by_pattern.setdefault(_pattern(stays.vm, verdict), []).append(_Said(stays.vm, verdict))
    return tuple(_merged(said) for said in by_pattern.values())


def _merged(said: Sequence[_Said]) -> Reason:
    """One reason for all of these; where they differ in numbers, the one that is easiest to mend stands for them."""
    example = min(said, key=lambda s: _first_number(s.verdict.remedy))
    return Reason(
        targets=tuple(dict.fromkeys(s.verdict.target for s in said)),
        rule=example.verdict.rule,
        reason=_common([(s, s.verdict.reason) for s in said], (example, example.verdict.reason), " (and so on)"),
        remedy=_common([(s, s.verdict.remedy) for s in said], (example, example.verdict.remedy), ""),
    )


def _common(texts: Sequence[tuple[_Said, str]], example: tuple[_Said, str], more: str) -> str:
    vms = {said.vm for said, _ in texts}
    targets = {said.verdict.target for said, _ in texts}

    def general(said: _Said, text: str) -> str:
        text = _replaced(text, said.vm, "the VM") if len(vms) > 1 else text
        return _replaced(text, said.verdict.target, "the node") if len(targets) > 1 else text

    if len({general(said, text) for said, text in texts}) == 1:
        return general(*example)
    return example[1] + more


def _pattern(vm: str, verdict: Verdict) -> tuple[str, ...]:
    """What verdicts have in common that differ in the VM, the node and the numbers alone."""

    def blank(text: str) -> str:
        return re.sub(r"\d+", "#", _replaced(_replaced(text, vm, "\x00"), verdict.target, "\x01"))

    return (verdict.rule, blank(verdict.reason), blank(verdict.remedy))


def _replaced(text: str, name: str, by: str) -> str:
    """The name as a whole word: N1, not the beginning of N10."""
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", lambda _: by, text) if name else text


def _first_number(text: str) -> int:
    found = re.search(r"(?<![\w-])\d+(?![\w-])", text)
    return int(found.group()) if found else 0
