"""Stamped models are as good as validated ones."""

from __future__ import annotations

import copy
import pickle

import pytest
from google.adk.agents.live_request_queue import LiveRequest
from google.genai import types

from rtc_server.agent.model_stamp import ModelStamp

BLOBS = ModelStamp(types.Blob(data=b"", mime_type="audio/pcm;rate=16000"), "data")
REQUESTS = ModelStamp(LiveRequest(), "blob")


def test_a_stamped_model_equals_the_one_that_pydantic_makes() -> None:
    """In its values, in what counts as set, as JSON and as a copy."""
    blob = BLOBS.make(b"\1\2")
    expected = types.Blob(data=b"\1\2", mime_type="audio/pcm;rate=16000")
    assert blob == expected
    assert blob.model_fields_set == expected.model_fields_set
    assert blob.model_dump_json() == expected.model_dump_json()
    assert copy.deepcopy(blob) == pickle.loads(pickle.dumps(blob)) == blob.model_copy() == expected
    request = REQUESTS.make(blob)
    assert request == LiveRequest(blob=expected)
    assert request.model_dump() == LiveRequest(blob=expected).model_dump()
    assert LiveRequest.model_validate(request.model_dump()) == request
    assert repr(request) == repr(LiveRequest(blob=expected))


def test_stamped_models_do_not_share_what_is_changed_in_one() -> None:
    first, second = BLOBS.make(b"\1"), BLOBS.make(b"\2")
    first.mime_type = "audio/pcm"
    first.display_name = "mine"
    assert second == types.Blob(data=b"\2", mime_type="audio/pcm;rate=16000")
    assert "display_name" not in second.model_fields_set


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no field pcm"):
        ModelStamp(types.Blob(data=b""), "pcm")
