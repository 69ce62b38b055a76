"""`--backups`, `--backup-limit-s`, `--refresh-drifted`: what several commands let one say of a run's precautions."""

from __future__ import annotations

from typing import cast

from shunter.topology.precautions import USUAL_PRECAUTIONS, Backups, Precautions


def precautions(backups: str, backup_limit_s: float, refresh_drifted: bool) -> Precautions:
    return Precautions(
        backups=cast("Backups", backups.replace("-", "_")),
        backup_limit_s=backup_limit_s,
        refresh_drifted=refresh_drifted,
    )


def options_of(given: Precautions) -> list[str]:
    """On a command line; what is as usual is not said."""
    options = ["--backups", given.backups.replace("_", "-")] if given.backups != USUAL_PRECAUTIONS.backups else []
    if given.backup_limit_s != USUAL_PRECAUTIONS.backup_limit_s:
        options += ["--backup-limit-s", f"{given.backup_limit_s:g}"]
    return [*options, "--refresh-drifted"] if given.refresh_drifted else options
