"""What a channel says in a word that is in no table of ours: it proves nothing, and somebody has to see it."""

import structlog

from channels.port import Answer

log = structlog.get_logger()

WORD_LENGTH_MAX = 64


def note(channel_id: str, word: object) -> None:
    """Write an unknown word down."""
    log.error("channel_spoke_unknown", channel_id=channel_id, word=str(word)[:WORD_LENGTH_MAX])


def seen(answer: Answer, channel_id: str, word: object) -> Answer:
    """Return an answer that rests on a word; where that is an unknown one, write it down and add it, so that people are told."""
    if answer.reason != "UNKNOWN_WORD":
        return answer
    note(channel_id, word)
    return answer._replace(word=str(word)[:WORD_LENGTH_MAX])
