"""Conditions, which last, and occurrences, which are told once: the values of a watch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, auto

from shunter.topology.model import Value
from shunter.topology.plan import Severity

NORMAL = "normal"
"""The state of whatever no condition is known of."""


class Kind(StrEnum):
    """What a condition concerns. A subject may have one condition of each kind."""

    NODE = auto()
    VM = auto()
    MIGRATION = auto()
    VOLUME = auto()
    OWNER = auto()
    STORAGE_JOB = auto()
    BACKUP = auto()
    CONFIGURATION = auto()
    N_PLUS_1 = auto()
    GROWTH = auto()
    QUORUM = auto()
    REACH = auto()


@dataclass(frozen=True, slots=True)
class Key:
    """`subject` with its noun: "node N1"; `detail` tells several of one kind apart, such as two storage jobs."""

    kind: Kind
    subject: str
    detail: str = ""

    @property
    def name(self) -> str:
        return self.subject.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is not as it should be, or is under way. As long as `state` is the same it is the same.

    `nodes`: those it has to do with, besides its subject. `vms`: as `nodes`; of N+1 those that would not restart.
    """

    state: str
    severity: Severity
    message: str
    remedy: str
    rule: str | None = None
    nodes: tuple[str, ...] = ()
    vms: tuple[str, ...] = field(default=(), compare=False)


class Occurrence(Value):
    """Something that happened to a watched cluster, told once. `at_s`: the cluster's clock, when it was seen.

    `what`: its name, such as node_lost. `subject` is "node N2", "vm web-1", "volume CSV1" or "cluster prod-1"; where
    the same happened to several VMs at once, `vms` names them all. `before` and `state` are what it was and is,
    "normal" included. `times`: the changes that it stands for; more than one where it changes again and again.
    """

    at_s: float
    what: str
    rule: str | None = None
    severity: Severity
    subject: str
    message: str
    remedy: str
    before: str
    state: str
    nodes: tuple[str, ...] = ()
    vms: tuple[str, ...] = ()
    times: int = 1


class Standing(Value):
    """What is not as it should be, or is under way, as a watch shows it. `since_s`: when it was seen first."""

    rule: str | None = None
    severity: Severity
    subject: str
    state: str
    since_s: float
    message: str
    remedy: str
    flapping: bool = False
