"""Inputs drawn from a seed, most of them spoilt, and what must hold whatever they are: nothing but an answer or a
refusal that says what is wrong, and no answer in which the recheck finds fault."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from damage import json_bytes, places, spoil, spoil_arguments, spoil_bytes
from files import draw_file
from nights import Night, recorded, spend
from rolling_nights import RollingNight
from rolling_nights import spend as spend_rolling
from typer.testing import CliRunner

from shunter.clusters.simulated import draw_faults, read_faults
from shunter.commands.main import app
from shunter.engine.maintain import Budget
from shunter.topology.clusterfile import cluster_json, read_cluster
from shunter.topology.errors import ClusterFileError, RequestError
from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.preflight import check
from shunter.topology.recheck import Violation, check_log, check_plan, check_report
from shunter.topology.repair import plan_repair
from shunter.topology.rolling import RollingPolicy, plan_rolling

Kind = Literal["cluster file", "bytes", "fault plan", "command line", "log"]
KINDS: tuple[Kind, ...] = (
    *("cluster file",) * 12,
    *("bytes",) * 3,
    *("fault plan",) * 3,
    *("command line",) * 2,
    "log",
)
"""As often as one stands here, so likely is it drawn."""

LONGEST_S = 60.0
LONGEST_NIGHT_S = 6 * 3600.0
COMMANDS = (
    ("plan", "evacuate"),
    ("plan", "evacuate"),
    ("plan", "repair"),
    ("plan", "failover"),
    ("plan", "maintain"),
    ("plan", "maintain"),
    ("simulate", "evacuate"),
    ("simulate", "maintain"),
    ("check",),
    ("status",),
)
ROLLING_OPTIONS: dict[str, tuple[str, ...]] = {
    "--maintenance-s": ("60", "900", "604800"),
    "--parallel": ("1", "2", "64"),
    "--prefer": ("time", "moves"),
    "--window-s": ("30", "3600"),
    "--failback": ("none", "as-it-was", "spread"),
}
STARTS_A_FLOW = frozenset(
    {"demo", "evacuate", "failover", "lab", "maintain", "migrate", "repair", "resume", "serve", "watch"}
)
WHOLE_TEXT = re.compile(
    r"is (empty|not JSON|not a cluster|nested|UTF-|not UTF-8|larger|longer)|^the (file|fault plan): "
)
PATH = re.compile(r"""^(the file|[\w.…\[\]]+|[\w.\[\]]*\[".*"\].*): """, re.DOTALL)
REMEDY = re.compile(r"; |must be |give |did you mean")


@dataclass(frozen=True)
class Input:
    """`data`: the cluster file. `faults`: the fault plan. `arguments`: of a command line, {file} stands for both."""

    number: int
    kind: Kind
    seed: str
    data: bytes
    faults: bytes | None = None
    arguments: tuple[str, ...] = ()
    log: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """`trouble`: what must not be, None where all is well; `detail` for a person."""

    accepted: bool
    trouble: str | None = None
    detail: str = field(default="", compare=False)


def draw(seed: int, number: int) -> Input:
    """The input of this number: the same for the same seed."""
    rng = random.Random(f"input/{seed}/{number}")
    kind = rng.choice(KINDS)
    raw = draw_file(rng)
    drawn = Input(number, kind, f"{seed}/{number}", json_bytes(raw))
    match kind:
        case "cluster file":
            return replace(drawn, data=json_bytes(spoil(rng, raw, rng.choice((0, 0, 1, 1, 1, 2, 3)))))
        case "bytes":
            return replace(drawn, data=spoil_bytes(rng, drawn.data))
        case "fault plan":
            return replace(drawn, faults=_faults(rng, raw))
        case "command line":
            return replace(drawn, arguments=tuple(_arguments(rng, raw)), faults=_faults(rng, raw))
        case "log":
            return replace(drawn, log=_log(rng, raw))


def _log(rng: random.Random, raw: Any) -> bytes:
    """The log of a quiet night, spoilt."""
    of = read_cluster(raw)
    night = Night(0, of, (of.nodes[0].name,), "some", 0.0)
    if plan_evacuation(of, night.nodes).makespan_s > LONGEST_NIGHT_S:
        return b""
    lines = [json.loads(line) for line in recorded(night)[1]]
    if rng.random() < 0.2:
        return spoil_bytes(rng, b"\n".join(map(json_bytes, lines)))
    told, *events = lines
    if rng.random() < 0.2:
        return b"\n".join(map(json_bytes, [spoil(rng, told, 1), *events]))
    spoilt = spoil(rng, events, rng.randint(1, 3))
    return b"\n".join(map(json_bytes, [told, *spoilt] if isinstance(spoilt, list) else [told, spoilt]))


def _faults(rng: random.Random, raw: Any) -> bytes:
    try:
        of = read_cluster(raw)
    except ClusterFileError:
        return b"[]"
    told = [fault.told() for fault in draw_faults(of, rng.randrange(1000), rng.choice(("some", "many")))]
    spoilt = json_bytes(spoil(rng, told, rng.choice((0, 1, 1, 2))))
    return spoil_bytes(rng, spoilt) if rng.random() < 0.1 else spoilt


def _arguments(rng: random.Random, raw: Any) -> list[str]:
    command = rng.choice(COMMANDS)
    arguments = [*command]
    if command[-1] in ("evacuate", "failover"):
        arguments.append(rng.choice(raw["nodes"])["name"])
    if command[-1] == "maintain":
        arguments += _rolling_arguments(rng, [node["name"] for node in raw["nodes"]])
    arguments += ["--cluster", "{file}"]
    if command[0] == "simulate":
        arguments += ["--seed", str(rng.randrange(10)), "--faults", rng.choice(("none", "some", "{faults}"))]
    if command not in (("check",), ("status",), ("plan", "failover")) and rng.random() < 0.5:
        arguments += ["--reserve-nodes", rng.choice(("auto", "0", "1", "2"))]
    if rng.random() < 0.5:
        arguments.append("--json")
    return spoil_arguments(rng, arguments)


def _rolling_arguments(rng: random.Random, names: list[str]) -> list[str]:
    nodes = rng.sample(names, k=rng.randint(0, len(names)))
    arguments = [*nodes]
    for option, values in ROLLING_OPTIONS.items():
        if rng.random() < 0.3:
            arguments += [option, rng.choice(values)]
    if rng.random() < 0.2:
        arguments += ["--first", ",".join(rng.sample(names, k=rng.randint(1, len(names))))]
    if rng.random() < 0.1:
        arguments.append("--one-fault-domain")
    return arguments


def attempt(given: Input, folder: Path) -> Outcome:
    """What becomes of the input. `folder` is where files are written."""
    try:
        with _in_time():
            return _ATTEMPTS[given.kind](given, folder)
    except Exception as error:  # noqa: BLE001  whatever is no refusal is what this looks for
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {Path(last.filename).name}:{last.name}"
        return Outcome(False, where, "".join(traceback.format_exception(error))[-3000:])


@contextmanager
def _in_time() -> Iterator[None]:
    """An input that keeps it busy for very long is a trouble of its own. (Where there are no alarms it is not seen.)"""
    if sys.platform == "win32":
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {LONGEST_S:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ------------------------------------------------------------------ cluster files


def _of_file(given: Input, folder: Path) -> Outcome:
    file = folder / "cluster.json"
    file.write_bytes(given.data)
    try:
        cluster = read_cluster(file)
    except ClusterFileError as refusal:
        return _refused(refusal.problems)
    if read_cluster(cluster_json(cluster)) != cluster:
        return Outcome(True, "a cluster that is written and read again is another one")
    return _of_cluster(cluster, random.Random(given.seed))


def _refused(problems: tuple[str, ...]) -> Outcome:
    for problem in problems:
        if not WHOLE_TEXT.search(problem) and not (PATH.search(problem) and REMEDY.search(problem)):
            return Outcome(False, "a refusal without a path or a remedy", problem)
        if "Traceback" in problem or "Input should" in problem or "Value error" in problem:
            return Outcome(False, "a refusal in words of the machinery", problem)
    return Outcome(False) if problems else Outcome(False, "a refusal that says nothing")


def _of_cluster(cluster: Cluster, rng: random.Random) -> Outcome:
    names = [node.name for node in cluster.nodes]
    nodes = tuple(rng.sample(names, k=rng.randint(1, max(1, len(names) // 2))))
    plan = plan_evacuation(cluster, nodes, rng.choice(("auto", "auto", 0, 1, 2)))
    if Plan.model_validate_json(plan.to_json()) != plan:
        return Outcome(True, "a plan that is written and read again is another one", plan.to_json())
    for violation in check_plan(cluster, plan, nodes):
        return Outcome(True, f"plan to empty: {violation.invariant}", f"{nodes}: {violation}")
    if rng.random() < 0.2:
        check(cluster).to_json()
        plan_repair(cluster).to_json()
    if rng.random() < 0.5:
        outcome = _of_loss(cluster, tuple(rng.sample(names, k=rng.randint(1, min(3, len(names))))))
        if outcome.trouble:
            return outcome
    if rng.random() < 0.3:
        outcome = _of_rolling_run(cluster, nodes if rng.random() < 0.5 else (), rng)
        if outcome.trouble:
            return outcome
    if rng.random() < 0.1 and plan.makespan_s < LONGEST_NIGHT_S:
        return _of_night(Night(rng.randrange(10**6), cluster, nodes, rng.choice(("none", "some", "many")), 0.3))
    return Outcome(True)


def _of_loss(cluster: Cluster, nodes: tuple[str, ...]) -> Outcome:
    plan = plan_failover(cluster, nodes)
    if Plan.model_validate_json(plan.to_json()).to_json() != plan.to_json():
        return Outcome(True, "the plan of a failover that is written and read again is another one", plan.to_json())
    for violation in check_plan(cluster, plan, nodes):
        return Outcome(True, f"plan of a failover: {violation.invariant}", f"{nodes}: {violation}")
    return Outcome(True)


def _of_rolling_run(cluster: Cluster, nodes: tuple[str, ...], rng: random.Random) -> Outcome:
    """Its plan, and now and then a night in which it is carried out."""
    policy = RollingPolicy(
        maintenance_s=rng.choice((60.0, 900.0)),
        reserve_nodes=rng.choice(("auto", "auto", 0, 1)),
        parallel=rng.choice((None, None, 1, 2)),
        one_fault_domain=rng.random() < 0.1,
        window_s=rng.choice((None, None, 1000.0)),
        prefer=rng.choice(("time", "moves")),
        failback=rng.choice(("none", "as_it_was", "spread")),
    )
    plan = plan_rolling(cluster, nodes, policy)
    if Plan.model_validate_json(plan.to_json()) != plan:
        return Outcome(True, "a rolling plan that is written and read again is another one", plan.to_json())
    for violation in check_plan(cluster, plan, nodes):
        return Outcome(True, f"rolling plan: {violation.invariant}", f"{nodes}, {policy}: {violation}")
    if rng.random() < 0.3 and plan.makespan_s < LONGEST_NIGHT_S:
        seed, faults = rng.randrange(10**6), rng.choice(("none", "some", "many"))
        night = RollingNight(seed, cluster, nodes, policy, Budget(), faults, 0.3, balances=rng.random() < 0.5)
        return _judged(night, spend_rolling(night).violations)
    return Outcome(True)


def _of_night(night: Night) -> Outcome:
    return _judged(night, spend(night).violations)


def _judged(night: Night | RollingNight, violations: Sequence[Violation]) -> Outcome:
    kind = "night" if isinstance(night, Night) else "rolling night"
    for violation in violations:
        if "RequestError(" in violation.message:  # the simulated cluster cannot begin like this, and says why
            return Outcome(False)
        what = violation.message.partition("(")[0] if violation.invariant == "crash" else violation.invariant
        return Outcome(True, f"{kind}: {what}", f"{night.nodes}, {night.faults}, seed {night.seed}: {violation}")
    return Outcome(True)


# ------------------------------------------------------------------ fault plans and command lines


def _of_faults(given: Input, folder: Path) -> Outcome:
    try:
        cluster = read_cluster(given.data.decode())
    except ClusterFileError:
        return Outcome(False)
    assert given.faults is not None
    try:
        faults = read_faults(given.faults.decode("utf-8", "replace"), cluster)
    except RequestError as refusal:
        return _refused(tuple(str(refusal).splitlines()[:20]))
    rng = random.Random(given.seed)
    node = rng.choice(cluster.nodes).name
    if plan_evacuation(cluster, [node]).makespan_s > LONGEST_NIGHT_S:
        return Outcome(True)
    return _of_night(Night(rng.randrange(10**6), cluster, (node,), "none", 0.0, given=faults))


def _of_log(given: Input, folder: Path) -> Outcome:
    """Whatever stands in it, a log is judged, and a report held against it."""
    assert given.log is not None
    lines = given.log.decode("utf-8", "replace").splitlines()
    cluster = read_cluster(given.data.decode())
    nodes = [cluster.nodes[0].name]
    report = plan_evacuation(cluster, nodes).model_copy(update={"executed": True})
    found = [*check_log(lines, nodes), *check_report(report, lines, nodes)]
    return Outcome(not found)


def _of_command_line(given: Input, folder: Path) -> Outcome:
    files = {"{file}": folder / "cluster.json", "{faults}": folder / "faults.json"}
    files["{file}"].write_bytes(given.data)
    files["{faults}"].write_bytes(given.faults or b"[]")
    arguments = [str(files.get(argument, argument)) for argument in given.arguments]
    first = next((argument for argument in arguments if not argument.startswith("-")), "")
    if first in STARTS_A_FLOW:  # these take an embedded server, and seconds
        return Outcome(False)
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(app, arguments)
    finally:
        os.chdir(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return _answered(result.exit_code, result.stdout, result.stderr, as_json="--json" in arguments)


def _answered(code: int, out: str, err: str, *, as_json: bool) -> Outcome:
    if code not in (0, 1, 2, 3, 4):
        return Outcome(True, f"exit code {code}", err)
    if code == 2:
        if out and "Usage: " not in out:  # a group without a command shows its help
            return Outcome(False, "output beside a refusal", out)
        return Outcome(False) if err or out else Outcome(False, "a refusal that says nothing")
    if as_json and out and "Usage: " not in out and not out.startswith("shunter "):
        json.loads(out)
    return Outcome(True)


_ATTEMPTS: dict[Kind, Callable[[Input, Path], Outcome]] = {
    "cluster file": _of_file,
    "bytes": _of_file,
    "fault plan": _of_faults,
    "command line": _of_command_line,
    "log": _of_log,
}


# ------------------------------------------------------------------ making a failing input small


def minimised(given: Input, folder: Path, most_tries: int = 400) -> Input:
    """A smaller input with the same trouble."""
    trouble = attempt(given, folder).trouble
    tries = 0
    smaller = True
    while smaller and tries < most_tries:
        smaller = False
        for candidate in _smaller(given):
            tries += 1
            if attempt(candidate, folder).trouble == trouble:
                given, smaller = candidate, True
                break
            if tries >= most_tries:
                break
    return given


def _smaller(given: Input) -> Iterator[Input]:
    """The input with one thing left out, large things first."""
    for i in range(len(given.arguments)):
        yield replace(given, arguments=given.arguments[:i] + given.arguments[i + 1 :])
    for name in ("log", "faults", "data"):
        text = getattr(given, name)
        if text is None:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            for chunk in _without_chunks(text):
                yield replace(given, **{name: chunk})
            continue
        for k in sorted(range(len(places(value))), key=lambda k: -_size(places(value)[k])):
            copied = json.loads(text)
            holder, key = places(copied)[k]
            del holder[key]  # type: ignore[arg-type]  # a list's holder has a number, an object's a name
            yield replace(given, **{name: json_bytes(copied)})


def _size(place: tuple[Any, Any]) -> int:
    holder, key = place
    return len(repr(holder[key]))


def _without_chunks(text: bytes) -> Iterator[bytes]:
    size = len(text) // 2
    while size:
        for at in range(0, len(text), size):
            yield text[:at] + text[at + size :]
        size //= 4
