"""Whatever a message, a page or a document tells a person to type exists, with its options."""

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from crucible.cli import app

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
# `crucible` and what follows it on the line; a name of the package (`crucible.forge`, `crucible/...`) is none.
PRINTED = re.compile(r"(?<![\w./-])crucible +(?P<name>[a-z][a-z-]*)(?P<rest>[^`\n\"]*)")
# Sentences whose subject is the program.
PROSE = {"is", "and", "never", "imports"}
# `from crucible import ...` is Python, not a command.
IMPORT = re.compile(r"^\s*from crucible import ")


def texts() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md"]
    found += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "flows").rglob("*.py")]
    for suffix in ("*.py", "*.html"):
        found += (ROOT / "crucible").rglob(suffix)
    for crate in ("cerebellum", "paper_venue", "protocol"):
        found += (ROOT / "cerebellum_core" / crate / "src").rglob("*.rs")
    return sorted(path for path in found if path.is_file())


def wrong(name: str, rest: str) -> str:
    """Say what is wrong with a told command; empty if nothing is."""
    if name not in COMMANDS:
        return f"there is no command {name}"
    command = COMMANDS[name]
    inner = re.match(r" +(?P<name>[a-z][a-z-]*)", rest)
    if inner and (below := getattr(command, "commands", None)):
        if inner["name"] not in below:
            return f"{name} has no command {inner['name']}"
        command = below[inner["name"]]
    known = {option for one in command.params for option in one.opts}
    named = set(
        re.findall(
            r"(?<![\w-])--[a-z][a-z-]*", rest.split(";", maxsplit=1)[0].split(" or ", maxsplit=1)[0]
        )
    )
    unknown = named - known - {"--help", "--no-browser"}
    if unknown:
        return f"{name} has no option {', '.join(sorted(unknown))}"
    missing = {
        one.opts[0] for one in command.params if one.required and one.param_type_name == "option"
    }
    # A command that is named with an option is told to be typed: it must be whole.
    if named and not missing <= named:
        return f"{name} also needs {', '.join(sorted(missing - named))}"
    return ""


def test_every_command_that_is_told_exists_and_is_whole():
    faults = []
    reported = 0
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if IMPORT.match(line):
                continue
            for match in PRINTED.finditer(line):
                if match["name"] in PROSE:
                    continue
                reported += 1
                if fault := wrong(match["name"], match["rest"]):
                    faults.append(f"{path.relative_to(ROOT)}:{number}: {fault}: {line.strip()}")
    assert reported > 40
    assert not faults, "\n".join(faults)


def test_nobody_is_told_to_resume_without_a_name():
    """`crucible resume` alone is refused: where it is a next step, it stands with its name."""
    loose = re.compile(r"crucible resume(?! --operator)")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in texts()
        if path.suffix in {".py", ".rs", ".html"}
        for line in path.read_text().splitlines()
        if loose.search(line) and "`crucible ...`" not in line
    ]
    assert not found, found


@pytest.mark.parametrize("word", ["set_state", "set_limits", "cancel_all"])
def test_no_sentence_tells_a_person_to_send_a_message_of_the_wire(word: str):
    reported = re.compile(rf'operator can {word}|"[^"]*; (?:send|call|use) {word}')
    for path in texts():
        assert not reported.search(path.read_text()), path


def test_the_check_sees_what_is_wrong():
    assert isinstance(app, typer.Typer)
    assert wrong("set-state", "") == "there is no command set-state"
    assert wrong("resume", " --agent X") == "resume also needs --operator"
    assert wrong("report", " --json --colour") == "report has no option --colour"
