"""Which handle a call goes on with, and what is kept of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.sequential_agent import SequentialAgent
from google.adk.events.event import Event
from google.adk.sessions.session import Session
from google.genai import types

from rtc_server.agent.failures import HandleRefused
from rtc_server.agent.sessions.resumption import GOOD_S, STATE_KEY, Resumption
from tests.agent.scripted_llm import ScriptedLlm

NOW = 1_900_000_000.0


class Kept:
    """A call's resumption, and the state that it kept."""

    def __init__(self, now: float = NOW, model: str = "m") -> None:
        self.state: dict[str, Any] = {}
        self.sub = LlmAgent(name="sub", model=ScriptedLlm(model="other"))
        root = LlmAgent(name="root", model=ScriptedLlm(model=model), sub_agents=[self.sub])
        self.covered: tuple[str, ...] = ()
        self.resumption = Resumption(
            root,
            first_agent="root",
            keep=self.state.__setitem__,
            covered=lambda: self.covered,
            clock=lambda: now,
        )

    def session(self, *authors: str) -> Session:
        """As it comes back from a database."""
        events = [Event(author=author, invocation_id="run") for author in authors]
        state = json.loads(json.dumps(self.state))
        return Session(id="s", app_name="a", user_id="u", state=state, events=events)


def update(handle: str | None, author: str = "root") -> Event:
    return Event(
        author=author,
        invocation_id="run",
        live_session_resumption_update=types.LiveServerSessionResumptionUpdate(new_handle=handle),
    )


def taken_up(session: Session, **later: Any) -> str | None:
    resumption = Kept(**later).resumption
    resumption.take_up(session)
    return resumption.handle


def test_the_newest_handle_is_kept_and_gone_on_with() -> None:
    first = Kept()
    first.resumption.take(update("one"))
    first.resumption.take(update("two"))
    assert first.resumption.handle == "two"
    assert set(first.state) == {STATE_KEY}
    assert taken_up(first.session("user", "root"), now=NOW + 10) == "two"
    assert taken_up(first.session()) == "two"


def said(event_id: str, author: str = "root") -> Event:
    words = types.Content(role="model", parts=[types.Part(text="words")])
    return Event(id=event_id, author=author, invocation_id="run", content=words)


@pytest.mark.parametrize(
    ("history", "is_taken_up"),
    [
        (("a", "b"), True),
        (("a",), True),  # of "b" nothing was heard
        (("a", "b", "c"), False),  # said since, here or on another server
        (("c",), False),
        ((), True),
    ],
)
def test_a_handle_is_gone_on_with_only_where_the_history_ends_with_what_it_covers(
    history: tuple[str, ...], is_taken_up: bool
) -> None:
    first = Kept()
    first.covered = ("b", "a")
    first.resumption.take(update("one"))
    session = first.session()
    session.events = [said(one) for one in history]
    session.events.append(Event(author="root", invocation_id="run", turn_complete=True))
    assert taken_up(session) == ("one" if is_taken_up else None)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_handle_overwrites_none(empty: str | None) -> None:
    first = Kept()
    first.resumption.take(update("one"))
    first.resumption.take(update(empty))
    assert first.resumption.handle == "one"
    assert taken_up(first.session("root")) == "one"


def test_a_handle_that_is_too_old_is_left_alone() -> None:
    first = Kept()
    first.resumption.take(update("one"))
    assert taken_up(first.session("root"), now=NOW + GOOD_S + 1) is None
    assert taken_up(first.session("root"), now=NOW - 3600) is None
    assert taken_up(first.session("root"), now=NOW - 10) == "one"


def test_a_handle_of_another_agent_or_model_is_left_alone() -> None:
    first = Kept()
    first.resumption.take(update("one"))
    assert taken_up(first.session("root", "sub", "user")) is None
    assert taken_up(first.session("root"), model="newer") is None


def test_an_agent_that_takes_over_has_a_session_of_its_own() -> None:
    first = Kept()
    first.resumption.take(update("one"))
    first.resumption.take(Event(author="sub", invocation_id="run"))
    assert first.resumption.handle is None
    first.resumption.take(update("two", "sub"))
    assert first.state[STATE_KEY]["agent"] == "sub"
    assert first.state[STATE_KEY]["model"] == "other"
    assert taken_up(first.session("root", "sub")) == "two"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "one",
        {},
        {"handle": "", "agent": "root", "model": "m", "at": NOW},
        {"handle": "one", "agent": "root", "model": "m", "at": True},
        {"handle": 1, "agent": "root", "model": "m", "at": NOW},
    ],
)
def test_a_state_that_is_no_handle_is_none(value: object) -> None:
    kept = Kept()
    kept.state[STATE_KEY] = value
    assert taken_up(kept.session("root")) is None


def test_a_handle_that_led_to_nothing_is_dropped_once() -> None:
    first = Kept()
    first.resumption.take(update("one"))
    later = Kept().resumption
    later.take_up(first.session("root"))
    with pytest.raises(HandleRefused):
        later.connects_again()
    assert later.was_refused(is_unknown=False)
    assert later.handle is None
    assert not later.was_refused(is_unknown=False)
    later.take_up(first.session("root"))
    assert later.handle is None
    later.connects_again()


def test_a_handle_that_led_to_something_is_not_refused() -> None:
    first = Kept()
    first.resumption.take(update("one"))
    later = Kept().resumption
    later.take_up(first.session("root"))
    later.take(Event(author="root", invocation_id="run"))
    later.connects_again()
    assert not later.was_refused(is_unknown=True)
    assert later.handle == "one"


def test_a_handle_that_is_unknown_in_the_middle_of_a_call_is_refused_and_others_are_not() -> None:
    """Only what closes a connection that was made with it, and on which nothing came."""
    resumption = Kept().resumption
    resumption.connects()
    resumption.take(update("one"))
    assert not resumption.was_refused(is_unknown=True)
    resumption.connects()
    assert not resumption.was_refused(is_unknown=False)
    assert resumption.handle == "one"
    resumption.connects()
    assert resumption.was_refused(is_unknown=True)
    assert resumption.handle is None


def test_what_comes_late_of_the_connection_before_does_not_speak_for_the_handle() -> None:
    """ADK connects again while its last events still wait to be taken."""
    resumption = Kept().resumption
    resumption.connects()
    resumption.connected()
    resumption.take(update("one"))
    for becomes_connected in (True, False):
        resumption.connects()
        resumption.take(update("two"))
        if becomes_connected:
            resumption.connected()
        assert resumption.was_refused(is_unknown=True)
        assert resumption.handle is None
        resumption.connects()
        resumption.connected()
        resumption.take(update("three"))
    resumption.connects()
    resumption.connected()
    resumption.take(Event(author="root", invocation_id="run"))
    assert not resumption.was_refused(is_unknown=True)
    assert resumption.handle == "three"


@pytest.mark.filterwarnings("ignore:SequentialAgent is deprecated:DeprecationWarning")
def test_a_workflow_begins_with_its_first_agent_and_not_by_the_handle_of_the_last() -> None:
    agents = [LlmAgent(name=name, model=ScriptedLlm(model="m")) for name in ("root", "last")]
    flow = SequentialAgent(name="flow", sub_agents=list(agents))
    first = Kept()
    first.resumption.take(update("one"))
    first.state[STATE_KEY]["agent"] = "last"
    later = Resumption(flow, first_agent="root", keep=first.state.__setitem__, clock=lambda: NOW)
    later.take_up(first.session("root", "last"))
    assert later.handle is None


def test_an_agent_that_does_not_hand_back_does_not_begin_the_next_run() -> None:
    """ADK begins with the root then."""
    first = Kept()
    first.resumption.take(update("one", "sub"))
    later = Kept()
    later.sub.disallow_transfer_to_parent = True
    later.resumption.take_up(first.session("root", "sub"))
    assert later.resumption.handle is None
