"""What is said of an address at which no Prefect API answers, before anything is touched."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
from nonsense import Answer, Request, always, answering, html, http, like_prefect

from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import PrefectUnreachable
from shunter.flows.probe import wait_for_api
from shunter.flows.settings import Access, PrefectAtHand, configured_access

AT_ONCE_S = 60.0
"""On a slow machine, too; whoever answers nonsense is not waited for, which would take minutes."""


def refused(url: str, access: Access | None = None, patience_s: float = 300.0) -> str:
    """The sentence; it comes without waiting."""
    began_s = time.monotonic()
    with pytest.raises(PrefectUnreachable) as error:
        wait_for_api(url, access or Access(), lambda _: None, patience_s)
    assert time.monotonic() - began_s < AT_ONCE_S
    said = str(error.value)
    assert "nothing was touched" in said
    return said


@pytest.mark.parametrize(
    ("answer", "said", "remedy"),
    [
        (
            always(html("500 Internal Server Error")),
            "GET /health with 500 Internal Server Error",
            "set PREFECT_API_URL",
        ),
        (always(html()), "is no Prefect API: it answers GET /health with 200 OK and '<!doctype", "set PREFECT_API_URL"),
        (always(http("200 OK", {"a": 1})), "GET /health with 200 OK and '{\"a\": 1}'", "set PREFECT_API_URL"),
        (always(http("404 Not Found", {"detail": "Not Found"})), "GET /health with 404 Not Found", "HOST:4200/api"),
        (always(http("302 Found", Location="https://login/")), "elsewhere (GET /health: 302, to 'https://login/')", ""),
        (always(b"\x15\x03\x01\x00\x02\x02\x16\r\n"), "does not speak HTTP", "try https://"),
        (always(http("200 OK", "[" * 4000, "text/plain")), "GET /health with 200 OK and '[[[", "set PREFECT_API_URL"),
        (always(http("200 OK", "true", **{"Content-Encoding": "gzip"})), "cannot be decoded", "set PREFECT_API_URL"),
        (like_prefect(always(b""), version="yes"), "GET /admin/version with 200 OK and '\"yes\"'", "PREFECT_API_URL"),
        (like_prefect(always(b""), version="2.20.1"), "has version 2.20.1, with which Prefect 3", "PREFECT_API_URL"),
    ],
    ids=["500", "html", "json", "wrong-path", "redirect", "junk", "deep", "not-gzip", "no-version", "old-version"],
)
def test_nonsense_is_refused_at_once_in_a_sentence_that_names_the_address_and_what_came(
    answer: Answer, said: str, remedy: str
) -> None:
    with answering(answer) as url:
        sentence = refused(url)
    assert sentence.startswith(f"the Prefect server {url} ")
    assert said in sentence
    assert remedy in sentence


def test_https_at_a_port_without_tls_is_named() -> None:
    with answering(like_prefect(always(b""))) as url:
        assert "does not speak TLS" in refused(url.replace("http:", "https:"))


@pytest.mark.parametrize("url", ["localhost:4200/api", "ftp://prefect/api", "http://", "http://[::1/api", "/api"])
def test_what_is_no_address_is_named(url: str) -> None:
    assert url.rstrip("/") in refused(url)


def test_a_password_in_the_address_is_not_shown() -> None:
    with answering(always(html())) as url:
        said = refused(url.replace("http://", "http://admin:secret@"))
    assert "secret" not in said
    assert url in said


# ------------------------------------------------------------------ who is let in


def guarded(authorization: str) -> Answer:
    """As a Prefect server that wants a password: whoever has none learns no more than that it is there."""
    inside = like_prefect(always(b""))

    def answer(request: Request) -> bytes:
        if request.path != "/api/health" and request.headers.get("Authorization") != authorization:
            return http("401 Unauthorized", {"exception_message": "Unauthorized"})
        return inside(request)

    return answer


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_server_that_does_not_let_us_in_is_told_from_one_that_is_none(status: str) -> None:
    with answering(lambda r: http("200 OK", True) if r.path == "/api/health" else http(status)) as url:
        said = refused(url)
    assert f"does not let us in (GET /admin/version: {status})" in said
    assert "PREFECT_API_AUTH_STRING" in said
    assert "PREFECT_API_KEY" in said


@pytest.mark.parametrize(
    ("setting", "value", "authorization"),
    [
        ("PREFECT_API_AUTH_STRING", "admin:pass", f"Basic {base64.b64encode(b'admin:pass').decode()}"),
        ("PREFECT_API_KEY", "pnu_1", "Bearer pnu_1"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", '{"Authorization": "Proxy 1"}', "Proxy 1"),
    ],
)
@pytest.mark.parametrize("where", ["environment", "profile"])
def test_we_are_let_in_with_what_is_configured_for_prefect(
    tmp_path: Path, setting: str, value: str, authorization: str, where: str
) -> None:
    environment = {setting: value} if where == "environment" else {}
    if where == "profile":
        (tmp_path / ".prefect").mkdir()
        profile = f"active = 'a'\n[profiles.a]\n{setting} = '{value}'\n"
        (tmp_path / ".prefect" / "profiles.toml").write_text(profile, encoding="utf-8")
    with answering(guarded(authorization)) as url:
        wait_for_api(url, configured_access(environment, tmp_path, tmp_path), lambda _: None, 0.0)
        assert "does not let us in" in refused(url)


def test_tls_is_spoken_as_is_configured_for_prefect(tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text("[api]\ntls_insecure_skip_verify = true\nssl_cert_file = '/ca.pem'\n")
    assert configured_access({}, tmp_path, tmp_path) == Access({}, "/ca.pem", any_certificate=True)
    assert configured_access({}, tmp_path / "none", tmp_path) == Access()
    assert "cannot be asked" in refused("https://127.0.0.1:9/api", Access(ca_file=str(tmp_path / "none.pem")))


# ------------------------------------------------------------------ who is waited for


@pytest.mark.parametrize(
    ("silence", "said"),
    [
        (always(b""), "disconnected"),
        (always(html("502 Bad Gateway")), "502 Bad Gateway"),
        (always(html("503 Service Unavailable")), "503 Service Unavailable"),
    ],
    ids=["closes", "502", "503"],
)
def test_a_server_that_does_not_answer_yet_is_waited_for_and_that_is_said_once(silence: Answer, said: str) -> None:
    told: list[str] = []
    prefect = like_prefect(always(b""))

    def answer(request: Request) -> bytes:
        return prefect(request) if told else silence(request)

    with answering(answer) as url:
        wait_for_api(url, Access(), told.append)
    (sentence,) = told
    assert f"the Prefect server {url} does not answer since " in sentence
    assert said in sentence
    assert "it is waited for until " in sentence


def test_where_nobody_listens_that_is_waited_for_too_but_not_for_ever() -> None:
    told: list[str] = []
    with pytest.raises(PrefectUnreachable, match=r"does not answer since \d\d:\d\d:\d\d .*; nothing was touched"):
        wait_for_api("http://127.0.0.1:9/api", Access(), told.append, patience_s=0.5)
    assert len(told) == 1


def test_a_server_that_is_older_is_used_and_that_is_said() -> None:
    told: list[str] = []
    with answering(like_prefect(always(b""), version="3.1.0")) as url:
        PrefectAtHand(url).wait_until_ready(told.append)
    (sentence,) = told
    assert f"{url} has version 3.1.0, which is older than Prefect 3." in sentence


def test_a_real_server_is_one(prefect_server: EmbeddedServer) -> None:
    told: list[str] = []
    wait_for_api(prefect_server.api_url, Access(), told.append, 0.0)
    assert told == []
