"""What runs that died have left behind on a cluster, as a value."""

from __future__ import annotations

from typing import Literal

from shunter.topology.model import Value


class DeadRun(Value):
    """`why`: what proves that it is dead. `held`: the nodes that its locks still keep from others."""

    name: str
    why: str
    held: tuple[str, ...] = ()


class HalfEmptied(Value):
    """A node that a run paused and did not give back. `vms`: those that still run on it."""

    node: str
    run: str
    vms: tuple[str, ...] = ()


class LeftBehind(Value):
    """JSON of `recover`. `ok`: nothing."""

    kind: Literal["recovery"] = "recovery"
    cluster: str
    runs: tuple[DeadRun, ...] = ()
    nodes: tuple[HalfEmptied, ...] = ()

    @property
    def ok(self) -> bool:
        return not (self.runs or self.nodes)

    def to_json(self) -> str:
        return self.model_dump_json(indent=2)
