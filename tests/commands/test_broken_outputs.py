"""Full disks, closed pipes, folders that are gone: they cost no report, and no exit code says what is not so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanding import Answer, apart, begun, command_line

from shunter.flows.embedded import EmbeddedServer

resource = pytest.importorskip("resource", reason="a full disk is imitated by a limit that Windows does not know")
pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")

CLOSED_OUT, CLOSED_ERR = ">&-", "2>&-"
FULL_OUT, FULL_ERR = ">/dev/full", "2>/dev/full"


def through_shell(
    redirected: str, *arguments: str, prefect: EmbeddedServer | None = None, **environment: str
) -> Answer:
    """The command with its outputs redirected as a shell does it."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {redirected}', *command_line(*arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **(prefect.environment if prefect else {})},
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def evacuation(cluster: str, folder: Path) -> tuple[str, ...]:
    return ("evacuate", "N1", "--cluster", cluster, "--speed", "50", "--out", str(folder))


def assert_kept(folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert {(move["vm"], move["outcome"]) for move in report["moves"]} == {("web-1", "done"), ("web-2", "done")}
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["outcome"] == "done"


# ------------------------------------------------------------------ what has acted


@pytest.mark.heavy
def test_full_disks_beneath_standard_output_and_the_witness_log_cost_neither_the_report_nor_the_exit_code(
    roomy: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    folder = tmp_path / "run"
    run = (*evacuation(roomy, folder), "--json", "--log", "/dev/full")
    done = through_shell(FULL_OUT, *run, prefect=prefect_server)
    assert done.code == 0, done.err
    assert done.err.count("the witness log cannot be written any more (No space left on device)") == 1
    assert "shunter: standard output cannot be written (No space left on device)" in done.err
    assert done.err.splitlines()[-1] == f"Report, plan and log are kept in {folder}"
    assert "Traceback" not in done.err
    assert_kept(folder)


@pytest.mark.heavy
def test_a_run_needs_neither_standard_output_nor_standard_error(
    roomy: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    folder = tmp_path / "run"
    done = through_shell(f"{CLOSED_OUT} {CLOSED_ERR}", *evacuation(roomy, folder), prefect=prefect_server)
    assert done.code == 0
    assert_kept(folder)


@pytest.mark.heavy
def test_a_page_whose_folder_is_removed_meanwhile_is_drawn_in_the_folder_of_the_run(
    roomy: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    folder, gone = tmp_path / "run", tmp_path / "gone"
    gone.mkdir()
    pictures = ("--html", str(gone / "page.html"), "--svg", str(gone / "run.svg"))
    with begun(*command_line(*evacuation(roomy, folder), "--json", *pictures), prefect=prefect_server) as run:
        run.until_said("begins")
        shutil.rmtree(gone)
        done = run.ended()
    assert done.code == 0, done.err
    assert done.document["ok"]
    for name in ("page.html", "run.svg"):
        assert f"{gone / name}: cannot be written (No such file or directory)" in done.err
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.heavy
def test_where_no_folder_can_be_left_the_run_says_so_and_goes_on(
    roomy: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    no_folder = tmp_path / "a-file"
    no_folder.touch()
    run = ("evacuate", "N1", "--cluster", roomy, "--speed", "50", "--json")
    done = apart(*command_line(*run), prefect=prefect_server, SHUNTER_STATE_DIR=str(no_folder))
    assert done.code == 0, done.err
    assert done.document["ok"]
    assert (
        f"{no_folder / 'runs'} cannot be written (Not a directory): the run goes on, and no folder keeps it" in done.err
    )


@pytest.mark.heavy
def test_a_disk_that_fills_meanwhile_is_said_and_the_report_printed(
    roomy: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    folder = tmp_path / "run"

    def fills() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))  # as much as run.json needs

    done = subprocess.run(
        command_line(*evacuation(roomy, folder), "--json"),
        capture_output=True,
        text=True,
        env={**os.environ, **prefect_server.environment},
        preexec_fn=fills,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"]
    for name in ("log.txt", "report.json"):
        assert f"{folder / name} cannot be written" in done.stderr
    assert not (folder / "report.json").exists()


def test_a_folder_that_holds_a_run_is_not_used_again(roomy: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    done = apart(*command_line(*evacuation(roomy, tmp_path)))
    assert done.code == 2
    assert f"{tmp_path}: holds a run already" in done.err


def test_an_option_is_no_folder(shunter: Callable[..., Answer], roomy: str) -> None:
    done = shunter("evacuate", "N1", "--cluster", roomy, "--out", "--json")
    assert done.code == 2
    assert "--json reads like an option" in " ".join(done.err.split())


# ------------------------------------------------------------------ what touches nothing


@pytest.mark.parametrize(
    ("redirected", "why"),
    [(CLOSED_OUT, "it is closed"), (FULL_OUT, "No space left on device"), ("| true", "Broken pipe")],
)
@pytest.mark.parametrize("arguments", [("plan", "evacuate", "N1"), ("check", "--json")], ids=" ".join)
def test_an_answer_that_cannot_be_written_is_no_answer(
    arguments: tuple[str, ...], redirected: str, why: str, roomy: str
) -> None:
    if redirected == "| true":
        code, err = into_a_closed_pipe(*arguments, "--cluster", roomy)
    else:
        done = through_shell(redirected, *arguments, "--cluster", roomy)
        code, err = done.code, done.err
    assert (code, err) == (2, f"shunter: standard output cannot be written ({why}); nothing was touched\n")


def into_a_closed_pipe(*arguments: str, prefect: EmbeddedServer | None = None) -> tuple[int, str]:
    reading, writing = os.pipe()
    os.close(reading)
    with begun(*command_line(*arguments), stdout=writing, prefect=prefect) as run:
        os.close(writing)
        done = run.ended()
    return done.code, done.err


@pytest.mark.parametrize("arguments", [("--help",), ("runs",), ("simulate", "evacuate", "N1")], ids=" ".join)
def test_every_command_tells_that_its_answer_was_lost(arguments: tuple[str, ...], roomy: str) -> None:
    cluster = ("--cluster", roomy) if arguments[0] == "simulate" else ()
    done = through_shell(FULL_OUT, *arguments, *cluster)
    assert (done.code, done.err.count("cannot be written (No space left on device)")) == (2, 1), done.err
    assert "Traceback" not in done.err


def test_without_standard_error_the_answer_is_given_all_the_same(roomy: str) -> None:
    for redirected in (CLOSED_ERR, FULL_ERR):
        done = through_shell(redirected, "plan", "evacuate", "N1", "--cluster", roomy, "--json")
        assert done.code == 0
        assert done.document["ok"]


@pytest.mark.heavy
def test_a_watch_that_nobody_hears_ends(roomy: str, prefect_server: EmbeddedServer, tmp_path: Path) -> None:
    """The pipe is closed while it watches; what it tells next finds nobody."""
    losing = tmp_path / "losing.json"
    cluster: dict[str, Any] = json.loads(Path(roomy).read_text(encoding="utf-8"))
    cluster["vms"] = [{"name": "web-1", "node": "N1", "memory_mib": 1024, "state": "failed"}]
    losing.write_text(json.dumps(cluster), encoding="utf-8")
    code, err = into_a_closed_pipe("watch", "--cluster", str(losing), "--json-lines", prefect=prefect_server)
    assert code == 2, err
    assert "standard output cannot be written (Broken pipe)" in err


# ------------------------------------------------------------------ the witness


def test_a_witness_log_whose_disk_is_full_stops_nothing_in_the_simulated_cluster(
    shunter: Callable[..., Answer], roomy: str
) -> None:
    done = shunter("simulate", "evacuate", "N1", "--cluster", roomy, "--log", "/dev/full", "--json")
    assert done.code == 0
    assert [move["outcome"] for move in done.document["moves"]] == ["done", "done"]
    assert done.err.count("the witness log cannot be written any more") == 1


def test_the_host_of_a_simulated_cluster_goes_on_without_its_witness_log(roomy: str) -> None:
    host = [sys.executable, "-m", "shunter.clusters.simulated.host", "--cluster", roomy, "--log", "/dev/full"]
    with begun(*host) as run:
        assert run.process.stdout is not None
        assert run.process.stdout.readline().startswith("listening on ")
        run.process.terminate()
        done = run.ended()
    assert done.code == 0
    assert done.err.count("the witness log cannot be written any more") == 1
