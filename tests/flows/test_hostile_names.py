"""Names, reasons and findings that are Markdown themselves, in all that is left on the Prefect server."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from rendering import EMPHASIS, RENDERER, texts

from shunter.engine.watch import Glance
from shunter.flows import artifacts
from shunter.flows.markdown import check_document, document
from shunter.flows.watch_document import state_document
from shunter.topology.clusterfile import read_cluster
from shunter.topology.plan import (
    Alternative,
    Finding,
    Loss,
    Maintenance,
    Move,
    Plan,
    RoleMove,
    Unplaced,
    Untouched,
    Verdict,
    VolumeMove,
)
from shunter.topology.preflight import Check, check
from shunter.topology.watching.condition import Occurrence, Standing

PIXEL = "![x](http://evil.example/pixel.png)"
LINK = "[log in](http://evil.example)|*a*"
MAIL = "<b>mail@evil.example</b>"
VERDICT = Verdict(target=LINK, rule="R13", reason=f"{PIXEL} is not {MAIL}", remedy=f"ask {MAIL}")


def move(outcome: Any) -> Move:
    return Move(
        vm=PIXEL,
        source=LINK,
        target=MAIL,
        start_s=0.0,
        end_s=9.0,
        why=MAIL,
        outcome=outcome,
        reason=PIXEL,
        estimate_s=1,
    )


def plan(kind: Any, *, executed: bool) -> Plan:
    rolling: dict[str, Any] = {
        "maintenance": (Maintenance(node=LINK, paused_s=0, start_s=1, end_s=2, outcome="failed", reason=PIXEL),),
        "untouched": (Untouched(node=MAIL, reason=PIXEL, remedy=LINK),),
        "alternatives": (
            Alternative(name="all", parallel=1, makespan_s=1, moves=1, moves_per_vm=1, left_mib=-1, chosen=True),
        ),
    }
    failover: dict[str, Any] = {"survives_loss": (Loss(node=MAIL, ok=False, unplaced=(PIXEL, LINK)),)}
    return Plan(
        kind=kind,
        node=LINK,
        resumes=True,
        cluster=LINK,
        ok=False,
        executed=executed,
        reserve_nodes=1,
        findings=(Finding(rule="R19", severity="error", subject=f"vm {PIXEL}", message=MAIL, remedy=LINK),),
        moves=(move("done"), move("lost_sight")) if executed else (move(None),),
        role_moves=(RoleMove(name=PIXEL, source=LINK, target=MAIL, start_s=1.0),),
        volume_moves=(VolumeMove(volume=PIXEL, source=LINK, target=MAIL, start_s=1.0),),
        unplaced=(Unplaced(vm=PIXEL, node=MAIL, verdicts=(VERDICT,)),),
        makespan_s=9.0,
        degraded_backups=(PIXEL, MAIL),
        **{"rolling_maintenance": rolling, "failover": failover}.get(kind, {}),
    )


def images(markdown: str) -> list[str]:
    parts = [part for token in RENDERER.parse(markdown) for part in token.children or [] if part.type == "image"]
    return [str(part.attrs["src"]).partition(",")[0] for part in parts]


@pytest.mark.parametrize("executed", [False, True], ids=["plan", "report"])
@pytest.mark.parametrize("kind", ["evacuation", "migration", "repair", "rolling_maintenance", "failover", "resume"])
def test_of_plans_and_reports_they_are_the_text_that_they_are(kind: Any, executed: bool) -> None:
    text = document(plan(kind, executed=executed), [LINK, MAIL])
    said = texts(text, also=(*EMPHASIS, "image"))
    assert images(text) == ["data:image/svg+xml;base64"]
    assert {PIXEL, LINK, MAIL, f"vm {PIXEL}", VERDICT.reason, VERDICT.remedy} <= set(said)


HOSTILE: dict[str, Any] = {
    "name": LINK,
    "nodes": [{"name": PIXEL, "memory_mib": 65536}, {"name": MAIL, "memory_mib": 8192, "state": "down"}],
    "vms": [{"name": LINK, "node": PIXEL, "memory_mib": 32768, "volumes": [MAIL], "switches": [PIXEL]}],
    "volumes": [{"name": MAIL}],
}


def test_of_a_check_they_are_the_text_that_they_are() -> None:
    said = texts(check_document(check(read_cluster(HOSTILE))))
    assert {PIXEL, LINK} <= set(said)
    assert any(PIXEL in each and each != PIXEL for each in said)


def test_of_a_watch_they_are_the_text_that_they_are() -> None:
    told: dict[str, Any] = {"severity": "error", "subject": f"vm {LINK}", "message": PIXEL, "remedy": MAIL}
    glance = Glance(0.0, read_cluster(HOSTILE), (Standing(state="x", since_s=0.0, **told),), reachable=True)
    happened = Occurrence(at_s=0.0, what="vm_failed", before="normal", state="x", **told)
    said = texts(state_document(glance, [happened], 0.0), also=EMPHASIS)
    assert [said.count(each) for each in (f"vm {LINK}", PIXEL, MAIL)] == [2, 3, 3]


def test_of_descriptions_they_are_the_text_that_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of Prefect's UIs render them as Markdown."""
    left: list[str] = []

    async def leave(*_: object, description: str, **__: object) -> object:
        left.append(description)
        return uuid4()

    for name in ("acreate_markdown_artifact", "acreate_progress_artifact", "aupdate_progress_artifact"):
        monkeypatch.setattr(artifacts, name, leave)

    async def leave_all() -> None:
        report = plan("evacuation", executed=True)
        await artifacts.leave_plan(report, [LINK])
        await artifacts.leave_report(report, [LINK])
        await artifacts.leave_check(Check(cluster=LINK, ok=True, findings=(), survives_loss=()))
        await artifacts.leave_note(report, PIXEL)
        bar = artifacts.ProgressBar(report)
        await bar.show(1.0, f"moves {PIXEL}")
        await bar.show(2.0, f"moves {MAIL}")

    asyncio.run(leave_all())
    said = [texts(description) for description in left]
    assert len(said) == 6
    assert said[3:] == [[PIXEL], [f"moves {PIXEL}"], [f"moves {MAIL}"]]
    assert [LINK in text or PIXEL in text for (text,) in said[:3]] == [True, True, True]
