"""Commands about the settings: what they are, where they came from, a file to begin with, and whether alerts arrive."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crucible.commands.options import AsJson, print_json

config_app = typer.Typer(
    no_args_is_help=True, help="The settings: show each with its source, write a file of defaults."
)

alerts_app = typer.Typer(
    no_args_is_help=True, help="Alerts: find out whether the addresses of the settings are reached."
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
    from crucible.errors import RefusedError, Rule
    from crucible.files import make_folder, write_text
    from crucible.operations.installation.settings_template import template
    from crucible.whereabouts import settings_file

    file = settings_file()
    if file.exists() and not force:
        message = f"{file} is there already; --force replaces it and what was changed in it"
        raise RefusedError(message, rule=Rule.KEEP_SETTINGS_FILE)
    make_folder(file.parent)
    write_text(file, template())
    if as_json:
        print_json({"file": str(file)})
    else:
        print(
            f"{file}: every setting with its default; crucible config show tells what is in force"
        )


@alerts_app.command("test")
def reach(as_json: AsJson = False) -> None:
    """Send one message to every address of the settings, and say at which it arrived."""
    from crucible.operations.alerts.addresses import read_addresses
    from crucible.operations.alerts.messages import Alert
    from crucible.operations.alerts.sender import AppriseSender, send_to_all
    from crucible.operations.errors import ServiceError
    from crucible.settings import load_settings

    addresses = read_addresses(load_settings().alerts)
    if not addresses:
        message = (
            "no address is set, so nobody is alerted; write addresses, one a line, into a file that only you "
            "can open (0600) and name it in alerts.urls_file, or set CRUCIBLE_ALERTS__URLS"
        )
        raise ServiceError(message)
    alert = Alert(
        "part", "A test of the alerts", "This address is reached. Nothing needs to be done."
    )
    faults = send_to_all(AppriseSender(), addresses, alert)
    if as_json:
        print_json(
            {
                "addresses": [
                    {"address": name, "arrived": not fault, "fault": fault}
                    for name, fault in faults.items()
                ]
            }
        )
    else:
        for name, fault in faults.items():
            print(f"{name}: {fault or 'arrived'}")
    if any(faults.values()):
        failed = ", ".join(name for name, fault in faults.items() if fault)
        print(f"crucible: not reached: {failed}", file=sys.stderr)
        raise typer.Exit(1)
