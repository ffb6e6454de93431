"""Models shared over the agent tree, and what of ADK's insides is leaned on."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.google_llm import Gemini
from google.adk.tools.function_tool import FunctionTool

from rtc_server.agent.adk_internals import make_live_client, sync_tools_on
from rtc_server.agent.models.agent_models import PING, prepare_models

from ..scripted_llm import ScriptedLlm
from ..tone_cascade import tone_cascade

LIVE = "gemini-3.1-flash-live-preview"


def test_agents_that_name_the_same_model_share_one_instance() -> None:
    """So that one client serves all calls; an agent without a model has its parent's."""
    quiet = LlmAgent(name="quiet")
    same = LlmAgent(name="same", model=LIVE)
    other = LlmAgent(name="other", model="gemini-live-2.5-flash-native-audio")
    root = LlmAgent(name="root", model=LIVE, sub_agents=[quiet, same, other])
    models = prepare_models(root)
    assert root.model is same.model
    assert quiet.canonical_live_model is root.model
    assert other.model is not root.model
    assert [one.model for one in models.models] == [LIVE, "gemini-live-2.5-flash-native-audio"]
    assert models.first_agent == "root"
    assert prepare_models(root) == models  # a second time changes nothing


def test_agent_without_any_model_gets_the_default_live_model_once() -> None:
    """ADK would make it anew."""
    root = LlmAgent(name="root")
    (model,) = prepare_models(root).models
    assert root.canonical_live_model is model


def test_first_model_is_found_below_an_agent_without_one() -> None:
    """The root need not be a model's agent itself."""
    first = LlmAgent(name="first", model=ScriptedLlm())
    models = prepare_models(BaseAgent(name="root", sub_agents=[first]))
    assert models.first_agent == "first"
    assert models.first is first.model


def test_kind_of_the_model_is_known() -> None:
    """It decides about resumption, interruption, transcripts and the text modality."""

    gemini = prepare_models(LlmAgent(name="a", model=LIVE))
    native = prepare_models(LlmAgent(name="a", model="gemini-live-2.5-flash-native-audio"))
    cascade = prepare_models(LlmAgent(name="a", model=tone_cascade(ScriptedLlm())))
    other = prepare_models(LlmAgent(name="a", model=ScriptedLlm()))
    kinds = [
        (one.is_gemini, one.is_cascade, one.cumulative_input, one.speaks_only)
        for one in (gemini, native, cascade, other)
    ]
    assert kinds == [
        (True, False, False, False),
        (True, False, False, True),
        (False, True, True, False),
        (False, False, None, False),
    ]


def test_a_tree_of_cascades_looks_at_no_pictures() -> None:
    """What such a model is given of them it drops; one that may look is enough."""
    cascade = tone_cascade(ScriptedLlm())
    blind = LlmAgent(name="root", model=cascade, sub_agents=[LlmAgent(name="too", model=cascade)])
    seeing = LlmAgent(
        name="root", model=cascade, sub_agents=[LlmAgent(name="sees", model=ScriptedLlm())]
    )
    assert not prepare_models(blind).takes_pictures
    assert prepare_models(seeing).takes_pictures


async def test_live_client_is_made_ahead_once_for_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A private name of ADK: this fails when it moves."""
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    (model,) = prepare_models(LlmAgent(name="a", model=LIVE)).models
    make_live_client(model)
    assert isinstance(model, Gemini)
    client = model._live_api_client
    assert model._live_api_client is client
    ping = client._api_client._websocket_ssl_ctx
    assert {name: ping[name] for name in PING} == PING
    await client.aio.aclose()
    await model.api_client.aio.aclose()


async def test_sync_tools_run_on_the_executor_and_async_ones_on_the_loop() -> None:
    """A private name of ADK: this fails when it moves or means something else."""

    def sync_tool() -> str:
        return threading.current_thread().name

    async def async_tool() -> str:
        return threading.current_thread().name

    context = inspect.signature(FunctionTool.run_async)
    assert set(context.parameters) >= {"args", "tool_context"}
    with ThreadPoolExecutor(1, thread_name_prefix="tool") as executor, sync_tools_on(executor):
        ran = [
            await FunctionTool(one).run_async(args={}, tool_context=None)  # type: ignore[arg-type]
            for one in (sync_tool, async_tool)
        ]
    assert ran[0].startswith("tool")
    assert ran[1] == threading.current_thread().name
