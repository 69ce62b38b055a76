"""The form that Prefect's UI builds, and the bounds that its server holds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from shunter.flows.check import check_cluster
from shunter.flows.evacuate import evacuate_nodes
from shunter.flows.failover import failover
from shunter.flows.maintain import rolling_maintenance
from shunter.flows.migrate import live_migrate
from shunter.flows.parameters import spoken
from shunter.flows.repair import repair_placement
from shunter.flows.resume import resume_node
from shunter.flows.steer import steer_rolling_maintenance
from shunter.flows.watch import watch_cluster


def test_the_form_to_evacuate_has_a_typed_field_with_help_for_each_parameter() -> None:
    schema = parameter_schema(evacuate_nodes)
    fields = schema.properties
    assert schema.required == ["cluster", "nodes"]
    assert [name for name, field in fields.items() if not field["description"]] == []
    assert fields["nodes"]["items"] == {"type": "string", "minLength": 1, "maxLength": 255}
    assert fields["nodes"]["minItems"] == 1
    assert fields["reserve_nodes"]["anyOf"] == [
        {"type": "string", "const": "auto"},
        {"type": "integer", "minimum": 0, "maximum": 63},
    ]
    assert fields["speed"]["anyOf"][0] == {"type": "number", "exclusiveMinimum": 0, "maximum": 10000}
    assert fields["running_migrations_on_cancel"]["enum"] == ["finish", "cancel"]
    assert {name: field.get("default") for name, field in fields.items() if name not in schema.required} == {
        "reserve_nodes": "auto",
        "speed": None,
        "running_migrations_on_cancel": "finish",
        "undo_pause": False,
        "backups": "hold",
        "backup_limit_s": 3600.0,
        "refresh_drifted": False,
        "start_within_s": 3600.0,
    }


FORMS = (
    check_cluster,
    evacuate_nodes,
    failover,
    live_migrate,
    repair_placement,
    resume_node,
    rolling_maintenance,
    steer_rolling_maintenance,
    watch_cluster,
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_field_of_every_form_has_a_title_and_help(form: Any) -> None:
    fields = parameter_schema(form).properties
    assert [name for name, field in fields.items() if not field.get("description")] == []
    assert [name for name, field in fields.items() if field["title"] == name] == []


def test_the_form_to_migrate_asks_for_cluster_vm_and_target() -> None:
    assert parameter_schema(live_migrate).required == ["cluster", "vm", "target"]


def test_the_form_of_a_rolling_run_asks_for_the_cluster_alone_and_offers_choices() -> None:
    schema = parameter_schema(rolling_maintenance)
    fields = schema.properties
    assert schema.required == ["cluster"]
    assert fields["maintenance_s"]["title"] == "Maintenance of a node (seconds)"
    assert fields["prefer"]["enum"] == ["time", "moves"]
    assert fields["failback"]["enum"] == ["none", "as_it_was", "spread"]
    assert fields["action"]["enum"] == ["reboot", "by hand"]
    assert fields["parallel"]["anyOf"] == [{"type": "integer", "minimum": 1, "maximum": 64}, {"type": "null"}]
    assert fields["wait_for_approval_s"]["default"] is None


def test_the_form_to_steer_offers_what_can_be_asked() -> None:
    schema = parameter_schema(steer_rolling_maintenance)
    assert schema.required == ["cluster", "what"]
    assert schema.properties["what"]["enum"] == ["hold", "go on", "skip", "stop", "done by hand"]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    "wrong",
    [
        {"maintenance_s": 0},
        {"maintenance_s": float("nan")},
        {"parallel": 0},
        {"parallel": 65},
        {"parallel": True},
        {"prefer": "money"},
        {"window_s": -1},
        {"failback": "all"},
        {"first": "N1"},
        {"nodes": [""]},
        {"action": "pray"},
        {"own_action": "os.system"},
        {"own_action": "a.b:c; d"},
        {"own_action": "a:b:c"},
        {"retries": -1},
        {"failed_nodes": 64},
        {"warn_after_s": 0},
        {"stop_after_s": float("inf")},
        {"wait_for_approval_s": 59},
        {"go_on_within_s": -1},
        {"running_migrations_on_cancel": "kill"},
    ],
    ids=str,
)
def test_a_rolling_run_out_of_bounds_is_refused_before_anything_runs(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        asyncio.run(rolling_maintenance(**{"cluster": "c.json", **wrong}))


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    "wrong",
    [
        {"nodes": []},
        {"nodes": "N1"},
        {"reserve_nodes": -1},
        {"reserve_nodes": "all"},
        {"reserve_nodes": True},
        {"reserve_nodes": 1.5},
        {"reserve_nodes": 64},
        {"nodes": [""]},
        {"nodes": ["N" * 256]},
        {"nodes": [1]},
        {"cluster": ""},
        {"speed": True},
        {"speed": "20"},
        {"speed": float("nan")},
        {"speed": 0},
        {"speed": float("inf")},
        {"running_migrations_on_cancel": "stop"},
    ],
    ids=str,
)
def test_parameters_out_of_bounds_are_refused_before_anything_runs(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        asyncio.run(evacuate_nodes(**{"cluster": "c.json", "nodes": ["N1"], **wrong}))


@pytest.mark.parametrize(
    ("cluster", "name"), [("prod-1", "prod-1"), ("a/rack.json", "rack"), ("C:\\b\\rack.json", "rack")]
)
def test_a_run_is_named_after_its_cluster_without_the_folder(cluster: str, name: str) -> None:
    assert spoken(cluster) == name
