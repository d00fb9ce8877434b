"""Write docs/reference/commands.md from the commands themselves: ``python -m tools.reference_commands``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from crucible.cli import app
from crucible.errors import Rule

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "commands.md"
HEAD = """\
# Commands

Generated from the code by `python -m tools.reference_commands`; a test holds it to what the commands take.

## How every command ends

| exit code | means |
|---|---|
| 0 | done |
| 1 | a fault of the input or the system: the message names the thing, the value and the next step |
| 2 | a wrong call: an unknown option, a missing argument, an option that makes no sense there |
| 3 | refused by a rule, which is named: `refused by the rule only-proven: ...` |
| 130 | interrupted with Ctrl-C; the message says how to go on |

With `--json` a command prints exactly one JSON object on standard output, and everything else on standard error.
A fault is `{"error": "..."}`, a refusal `{"error": "...", "rule": "..."}`; `crucible doctor`, `crucible data check` and
`crucible lookahead` print what they found in every case, and tell by the exit code.

A command refuses by one of these rules:

| rule | refuses where |
|---|---|
{rules}

`crucible --install-completion` sets up completion for your shell: commands, options, slots, agents, symbols, services.
"""


def page() -> str:
    """Give the whole page."""
    rules = "\n".join(f"| `{rule}` | {rule.meaning} |" for rule in Rule)
    return (
        "\n".join(
            [HEAD.replace("{rules}", rules), *_commands(get_command(app), "crucible")]
        ).rstrip()
        + "\n"
    )


def _commands(group: Any, above: str) -> Iterator[str]:  # noqa: ANN401 - click or what typer carries of it
    for name, command in group.commands.items():
        called = f"{above} {name}"
        if getattr(command, "commands", None):
            yield from _commands(command, called)
        else:
            yield from _section(called, command)


def _section(called: str, command: Any) -> Iterator[str]:  # noqa: ANN401
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([called, *(_metavar(one) for one in arguments), "[OPTIONS]"])
    yield f"## {called}"
    yield ""
    yield f"`{usage}`"
    yield ""
    yield " ".join((command.help or "").split())
    yield ""
    rows = [*arguments, *(one for one in options if one.name != "help")]
    if rows:
        yield "| | default | |"
        yield "|---|---|---|"
        yield from (_row(one) for one in rows)
        yield ""


def _metavar(one: Any) -> str:  # noqa: ANN401
    return str(one.metavar or one.name.upper())


def _row(one: Any) -> str:  # noqa: ANN401
    names = [*one.opts, *one.secondary_opts]
    called = _metavar(one) if one.param_type_name == "argument" else ", ".join(names)
    default = one.default if not callable(one.default) else None
    shown = "required" if one.required else _default(one, default)
    text = " ".join((one.help or "").split()).replace("|", "\\|")
    return f"| `{called}` | {shown} | {text} |"


def _default(one: Any, default: object) -> str:  # noqa: ANN401
    if default in (None, ()):
        return ""
    if isinstance(default, bool):
        if not one.secondary_opts:
            return ""
        return f"`{one.opts[0] if default else one.secondary_opts[0]}`"
    return f"`{default}`"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
