"""Which paths below `/v1/` may hold objects of a key."""

import pytest

from gateway.server.passing.paths import parts_of


@pytest.mark.parametrize(
    ("path", "is_stateless"),
    [
        ("/v1/audio/speech", True),
        ("/v1/audio/transcriptions", True),
        ("/v1/audio/translations/", True),
        ("/v1/audio/speech/stream", True),
        ("/v1/images/generations", True),
        ("/v1/audio/voices/v-1", False),
        ("/v1/audio/audio/voices/v-1", False),
        ("/v1/audio/speech_profiles/p-1", False),
        ("/v1/audio/transcriptions-archive/t-1", False),
        ("/v1/audio", False),
    ],
)
def test_below_audio_only_whole_names_are_stateless(path: str, is_stateless: bool) -> None:
    assert parts_of(path).is_stateless is is_stateless
