"""Commands whose Prefect server is none, or becomes none: one sentence and exit code 4, whatever it answers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commanding import Answer, apart, command_line
from nonsense import Request, always, answering, forwarded, html, http, like_prefect
from patience import PATIENCE_S
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import PrefectUnreachable
from shunter.flows.unanswered import is_unanswered, told_as_unreachable, what_came

TESTS = Path(__file__).resolve().parents[1]
NEED_A_SERVER = (
    ("evacuate", "N1"),
    ("failover", "N1"),
    ("maintain",),
    ("migrate", "web-1", "N2"),
    ("repair",),
    ("resume", "N1"),
    ("watch",),
)
ONE_AFTER_THE_OTHER = """
import json, os, sys
from commanding import here
for url, arguments in json.load(sys.stdin):
    os.environ["PREFECT_API_URL"] = url
    answer = here(*arguments)
    print(json.dumps([answer.code, answer.out, answer.err]), flush=True)
assert "prefect" not in sys.modules
"""


def test_each_command_that_needs_a_server_ends_with_4_and_a_sentence_at_nonsense(tmp_path: Path) -> None:
    with (
        answering(always(html())) as page,
        answering(always(html("500 Internal Server Error"))) as broken,
        answering(always(http("200 OK", {"a": 1}))) as other,
    ):
        urls = [page, broken, other]
        asked = [(urls[i % 3], (*command, "--cluster", "prod-1", "--json")) for i, command in enumerate(NEED_A_SERVER)]
        done = subprocess.run(
            [sys.executable, "-c", ONE_AFTER_THE_OTHER],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
            cwd=tmp_path,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    answers = [Answer(*json.loads(line)) for line in done.stdout.splitlines()]
    assert len(answers) == len(asked)
    for (url, command), answer in zip(asked, answers, strict=True):
        assert (answer.code, answer.out) == (4, ""), command
        waiting, sentence = answer.err.splitlines()
        assert waiting == f"waiting for Prefect: asking {url}"
        assert sentence.startswith(f"shunter: the Prefect server {url} is no Prefect API: it answers GET /health with ")
        assert "nothing was touched" in sentence
        assert "set PREFECT_API_URL" in sentence
    assert list(tmp_path.iterdir()) == []


@contextmanager
def nonsense_later(url: str) -> Iterator[None]:
    """The settings of a process that has asked already whether a Prefect API is there."""
    with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (html(), "answers with what no Prefect server says"),
        (html("502 Bad Gateway"), "was answered with 502 Bad Gateway"),
        (http("200 OK", {"a": 1}), "answers with what no Prefect server says"),
        (http("200 OK", [None]), "answers with what no Prefect server says"),
        (http("401 Unauthorized"), "was answered with 401 Unauthorized"),
        (b"\0\1\2\r\n", "the Prefect server does not answer"),
        (b"", "the Prefect server does not answer"),
    ],
    ids=["html", "502", "json", "list", "401", "junk", "closes"],
)
def test_nonsense_that_begins_when_the_flow_does_is_one_error(roomy: str, answer: bytes, said: str) -> None:
    from shunter.flows.evacuate import evacuate_nodes  # noqa: PLC0415
    from shunter.flows.watch import watch_cluster  # noqa: PLC0415

    async def both() -> None:
        for flow in (evacuate_nodes(roomy, ["N1"]), watch_cluster(roomy, for_s=0)):
            with pytest.raises(PrefectUnreachable, match=said), told_as_unreachable("it cannot go on"):
                await flow

    with answering(like_prefect(always(answer))) as url, nonsense_later(url):
        asyncio.run(both())


@pytest.mark.heavy
@pytest.mark.parametrize("command", [("evacuate", "N1"), ("watch", "--for-s", "5")], ids=["evacuate", "watch"])
def test_a_command_whose_server_turns_into_nonsense_before_the_run_ends_with_4(
    roomy: str, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    with answering(like_prefect(always(html()))) as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        done = apart(*command_line(*command, "--cluster", roomy, "--json"))
    assert (done.code, done.out) == (4, "")
    assert "the run cannot go on without its Prefect server: the Prefect server answers with what no" in done.err
    assert "nothing was touched" in done.err
    assert "Traceback" not in done.err


@pytest.mark.heavy
def test_artifacts_that_are_answered_with_nonsense_cost_no_run(roomy: str, prefect_server: EmbeddedServer) -> None:
    from shunter.flows.evacuate import evacuate_nodes  # noqa: PLC0415

    real = forwarded(prefect_server.api_url)
    lost: list[str] = []

    def answer(request: Request) -> bytes:
        if request.path.startswith("/api/artifacts"):
            lost.append(request.path)
            return html()
        return real(request)

    with answering(answer) as url, nonsense_later(url):
        report = asyncio.run(evacuate_nodes(roomy, ["N1"], speed=100.0))
    assert report.ok
    assert {move.outcome for move in report.moves} == {"done"}
    assert lost


def test_a_bug_of_ours_is_not_told_as_trouble_with_the_server() -> None:
    bug: Any = None
    with pytest.raises(AttributeError) as raised, told_as_unreachable("it cannot go on"):
        bug.moves  # noqa: B018
    assert not is_unanswered(raised.value)
    assert "NoneType" in what_came(raised.value)
