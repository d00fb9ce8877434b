"""What views are made of: gathered once for all open pages, whatever goes wrong on the way."""

import pytest

from crucible.dashboard import facts as facts_module
from crucible.dashboard.facts import Source
from tests.support.polling import until


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_addresses_are_asked_again_after_an_error_that_nobody_expected(workspace, monkeypatch):
    source, asked, usual = Source(workspace), [], facts_module.read_status

    def read_status(of, *, ask=True):
        if ask:
            asked.append(of)
            if len(asked) == 1:
                message = "a file that is none of ours"
                raise RuntimeError(message)
        return usual(of, ask=False)

    monkeypatch.setattr(facts_module, "read_status", read_status)
    monkeypatch.setattr(facts_module, "ASK_S", 0.0)
    until(lambda: source.status() and len(asked) >= 2, lambda: len(asked))
