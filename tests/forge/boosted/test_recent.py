from __future__ import annotations

from crucible.forge.boosted.recent import Recent


def test_what_was_asked_for_last_is_kept_and_the_rest_is_made_again():
    made = []

    def make(key):
        made.append(key)
        return key * 10

    held = Recent(2)
    assert [held.get(key, make) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]
