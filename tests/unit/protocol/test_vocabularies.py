"""What statuses are called."""

from protocol.entities import RunStatus
from protocol.vocabularies import STATUS_WORDS, statuses_called


def test_every_vocabulary_has_a_word_for_every_status() -> None:
    assert all(set(words) == set(RunStatus) for words in STATUS_WORDS.values())


def test_a_word_stands_for_the_statuses_that_have_it() -> None:
    assert statuses_called("running", "inferable") == (RunStatus.STARTING, RunStatus.EXECUTING)
    assert statuses_called("processing", "composable") == (
        RunStatus.STARTING,
        RunStatus.EXECUTING,
        RunStatus.PAUSED,
    )
    assert statuses_called("done", "composable") == ()
