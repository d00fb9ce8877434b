"""Every message to a person stands in one file that can be read through."""

import re

from tools.messages import FILE, messages, page


def test_the_file_of_messages_is_what_the_code_says():
    assert FILE.read_text(encoding="utf-8") == page(), "renew it: python -m tools.messages"


def test_no_message_shouts_blames_or_ends_without_having_said_anything():
    found = [text for _, text in messages()]
    assert len(found) > 150
    for text in found:
        said = re.sub(r"\{[^}]*\}", "", text)
        assert "!" not in said, text
        assert not re.search(
            r"\b(invalid|illegal|fatal|bad|oops|sorry|please)\b", said, re.IGNORECASE
        ), text
        assert not text.endswith("."), text
        assert not re.match(r"(error|failed|unable)\b", text, re.IGNORECASE), text
