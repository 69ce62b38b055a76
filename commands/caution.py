"""`--backups`, `--backup-limit-s`, `--refresh-drifted`: what several commands let one say of a run's precautions."""

from __future__ import annotations

from typing import cast

from shunter.topology.precautions import Backups, Precautions


def precautions(backups: str, backup_limit_s: float, refresh_drifted: bool) -> Precautions:
    return Precautions(
        backups=cast("Backups", backups.replace("-", "_")),
        backup_limit_s=backup_limit_s,
        refresh_drifted=refresh_drifted,
    )
