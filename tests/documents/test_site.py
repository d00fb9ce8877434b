"""The documents build as a site without a warning, and every link of the front page leads somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY

LINK = re.compile(r"\]\((?!https?:|#)(?P<file>[^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.process
def test_the_site_builds_in_strict_mode(tmp_path):
    program = Path(sys.executable).with_name("mkdocs")
    done = subprocess.run(
        [program, "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "concepts" / "selection.html").is_file()
    # Nothing on a page is fetched from elsewhere when it is opened.
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.findall(
        r'<(?:script|img|link)[^>]+(?:src|href)="https?://[^"]+\.(?:js|css|png|svg)"', page
    )


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md"])
def test_every_link_of_a_page_outside_of_the_site_leads_to_a_file(page):
    path = REPOSITORY / page
    found = [match["file"] for match in LINK.finditer(path.read_text(encoding="utf-8"))]
    assert [file for file in found if not (path.parent / file).exists()] == []


@pytest.mark.process
def test_every_picture_that_is_kept_is_shown_by_a_document():
    command = ["git", "ls-files", "README.md", "docs"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    files = [REPOSITORY / name for name in listed.stdout.splitlines()]
    pictures = {path for path in files if path.suffix in {".png", ".svg"}}
    shown = {
        (path.parent / match["file"]).resolve()
        for path in files
        if path.suffix == ".md"
        for match in LINK.finditer(path.read_text(encoding="utf-8"))
    }
    assert pictures
    assert pictures - shown == set()


def test_every_page_can_be_reached_by_the_navigation_or_the_index_of_decisions():
    listed = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    index = (REPOSITORY / "docs/decisions/index.md").read_text(encoding="utf-8")
    docs = REPOSITORY / "docs"
    lost = [
        str(page.relative_to(docs))
        for page in docs.rglob("*.md")
        if f": {page.relative_to(docs)}" not in listed and f"({page.name})" not in index
    ]
    assert lost == []
