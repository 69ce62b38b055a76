"""Which Prefect a process gets: the configured one, else one of its own that leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from shunter.flows.settings import configured_api_url, prefect_at_hand

URL = "http://prefect.example/api"


@pytest.mark.parametrize(
    ("name", "text", "environment"),
    [
        ("work/.env", f"A=1\nexport PREFECT_API_URL='{URL}'\n", {}),
        ("work/prefect.toml", f'[api]\nurl = "{URL}"\n', {}),
        ("work/pyproject.toml", f'[tool.prefect.api]\nurl = "{URL}"\n', {}),
        ("home/.prefect/profiles.toml", f'active = "a"\n[profiles.a]\nPREFECT_API_URL = "{URL}"\n', {}),
        ("home/.prefect/profiles.toml", f'[profiles.b]\nPREFECT_API_URL = "{URL}"\n', {"PREFECT_PROFILE": "b"}),
        ("work/none", "", {"PREFECT_API_URL": URL}),
    ],
    ids=[".env", "prefect.toml", "pyproject.toml", "active profile", "chosen profile", "environment"],
)
def test_a_configured_server_is_found_where_prefect_looks(
    tmp_path: Path, name: str, text: str, environment: dict[str, str]
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert configured_api_url(environment, tmp_path / "work", tmp_path / "home") == URL


@pytest.mark.parametrize(
    "profiles",
    [
        'active = "local"\n[profiles.local]\nPREFECT_HOME = "h"\n[profiles.x]\nPREFECT_API_URL = "u"',
        "active = [",
    ],
    ids=["another profile is active", "a broken file"],
)
def test_what_is_not_active_is_not_configured(tmp_path: Path, profiles: str) -> None:
    path = tmp_path / "home/.prefect/profiles.toml"
    path.parent.mkdir(parents=True)
    path.write_text(profiles, encoding="utf-8")
    assert configured_api_url({}, tmp_path / "work", tmp_path / "home") is None


def test_prefect_must_not_be_imported_before() -> None:
    with pytest.raises(RuntimeError, match="prefect is imported already"), prefect_at_hand():
        pass


RUN = """
import asyncio, json, sys
from shunter.flows.settings import prefect_at_hand
with prefect_at_hand(quiet=True) as prefect:
    assert "prefect" not in sys.modules
    from shunter.flows.evacuate import evacuate_nodes
    prefect.wait_until_ready()
    report = asyncio.run(evacuate_nodes(cluster=sys.argv[1], nodes=["N1"], speed=100.0))
print(json.dumps({"ok": report.ok, "moved": len(report.moves), "home": str(prefect.embedded.home)}))
"""


def python(code: str, *arguments: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python process of a user who has configured nothing, and to whom nothing may be left."""
    here, temporary = tmp_path / "user", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    own = {"HOME": str(here), "USERPROFILE": str(here), "TMPDIR": str(temporary), "TEMP": str(temporary)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
        cwd=here,
        env={**kept, **own, **environment},
    )
    assert list(here.iterdir()) == [], "nothing is left in the user's folder"
    assert list(temporary.iterdir()) == [], "nothing is left among temporary files"
    return done


@pytest.mark.heavy
def test_without_a_configured_server_a_run_is_embedded_and_leaves_nothing_behind(
    cluster_file: Path, tmp_path: Path
) -> None:
    done = python(RUN, str(cluster_file), tmp_path=tmp_path)
    said = json.loads(done.stdout)
    assert (said["ok"], said["moved"]) == (True, 3)
    assert not Path(said["home"]).exists()
    assert done.stderr == ""


def test_a_user_who_wants_to_keep_the_history_names_a_folder(tmp_path: Path) -> None:
    code = "from shunter.flows.settings import prefect_at_hand as p\nwith p() as x: print(x.embedded.home)"
    done = python(code, tmp_path=tmp_path, SHUNTER_PREFECT_HOME=str(tmp_path / "kept"))
    assert done.stdout.strip() == str(tmp_path / "kept")
    assert (tmp_path / "kept" / "server.log").is_file()
