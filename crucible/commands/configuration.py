"""Commands about the settings: what they are, where they came from, and a file to begin with."""

from __future__ import annotations

from typing import Annotated

import typer

from crucible.commands.options import AsJson, print_json

config_app = typer.Typer(
    no_args_is_help=True, help="The settings: show each with its source, write a file of defaults."
)


@config_app.command("show")
def show(as_json: AsJson = False) -> None:
    """Show every setting, its value and where it came from: default, settings file or environment."""
    from crucible.operations.installation.setting_sources import read_settings
    from crucible.whereabouts import settings_file

    found = read_settings()
    file = settings_file()
    if as_json:
        print_json(
            {
                "settings_file": str(file),
                "settings_file_found": file.is_file(),
                "settings": [setting.to_json() for setting in found],
            }
        )
        return
    from crucible.operations.sheet import Column, Sheet, open_console

    there = "" if file.is_file() else " (not there: crucible config init writes it)"
    sheet = Sheet(
        f"Settings; file {file}{there}",
        Column("setting", "name"),
        Column("value", "name"),
        Column("from", "text"),
    )
    for setting in found:
        shown = ", ".join(map(str, setting.value)) if isinstance(setting.value, list) else None
        value = "-" if setting.value is None else shown or str(setting.value)
        sheet.add(setting.name, value, setting.where or setting.source)
    open_console().print(sheet)


@config_app.command("init")
def init(
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the settings file with every default and its comment."""
    from crucible.errors import RefusedError
    from crucible.files import make_folder, write_text
    from crucible.operations.installation.settings_template import template
    from crucible.whereabouts import settings_file

    file = settings_file()
    if file.exists() and not force:
        message = f"{file} is there already; --force replaces it and what was changed in it"
        raise RefusedError(message, rule="keep-settings-file")
    make_folder(file.parent)
    write_text(file, template())
    if as_json:
        print_json({"file": str(file)})
    else:
        print(
            f"{file}: every setting with its default; crucible config show tells what is in force"
        )
