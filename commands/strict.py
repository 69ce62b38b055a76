"""Command lines that cannot be meant are refused before anything is read or written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

READ = ("cluster", "faults")
WRITTEN = ("svg", "log", "html")
"""Parameters that name a file."""


class StrictCommand(TyperCommand):
    """A command that takes each option once, and no file to write that is a folder, lies in none, or is read too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises BadParameter."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        given = Counter(option for option in order if isinstance(option, TyperOption) and not option.is_flag)
        for option, times in given.items():
            if times > 1:
                raise typer.BadParameter("is given more than once; give it once", ctx=ctx, param=option)
        left = super().parse_args(ctx, args)
        files = {name: Path(ctx.params[name]) for name in (*READ, *WRITTEN) if ctx.params.get(name) is not None}
        out = ctx.params.get("out")
        if out is not None and str(out).startswith("-"):
            raise typer.BadParameter(f"{out} reads like an option; name a folder", ctx=ctx, param_hint="'--out'")
        for name in WRITTEN:
            wrong = _wrong_to_write(name, files)
            if wrong is not None:
                raise typer.BadParameter(wrong, ctx=ctx, param_hint=f"'--{name}'")
        return left


class StrictApp(typer.Typer):
    """An app whose commands are strict."""

    def command(self, *args: Any, **settings: Any) -> Any:
        settings.setdefault("cls", StrictCommand)
        return super().command(*args, **settings)


def _wrong_to_write(name: str, files: dict[str, Path]) -> str | None:
    path = files.get(name)
    if path is None:
        return None
    if str(path).startswith("-"):
        return f"{path} reads like an option; name a file"
    return _unwritable(name, path, files)


def _unwritable(name: str, path: Path, files: dict[str, Path]) -> str | None:
    try:
        if path.is_dir():
            return f"{path} is a folder; name a file in it"
        if not path.parent.is_dir():
            return f"there is no folder {path.parent}; make it, or name a file in one that is there"
        for other, its in files.items():
            if other != name and (path.samefile(its) if its.exists() and path.exists() else path == its):
                return f"{path} is what --{other} names; name another file"
    except (OSError, ValueError) as error:
        return f"{str(path)[:100]!r} cannot be a file ({getattr(error, 'strerror', error)}); name another"
    return None
