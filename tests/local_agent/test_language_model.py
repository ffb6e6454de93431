"""What the rule-based model says and calls, from the conversation alone."""

from __future__ import annotations

from typing import Any

from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types

from rtc_server.local_agent.intents import ToolCall
from rtc_server.local_agent.language_model import (
    GO_ON_NOTE,
    Reply,
    RuleBasedLlm,
    respond,
    split_sentences,
    timer_note,
)
from rtc_server.local_agent.stories import STORIES

STORY = STORIES["The Lamp Keeper"]


def user(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


def agent(text: str) -> types.Content:
    return types.Content(role="model", parts=[types.Part(text=text)])


def tool(*results: tuple[str, dict[str, Any]]) -> list[types.Content]:
    """A call of tools and their results."""
    calls = [types.Part(function_call=types.FunctionCall(name=name)) for name, _ in results]
    responses = [
        types.Part(function_response=types.FunctionResponse(name=name, response=result))
        for name, result in results
    ]
    return [
        types.Content(role="model", parts=calls),
        types.Content(role="user", parts=responses),
    ]


def test_question_for_a_tool_becomes_its_call() -> None:
    assert respond([user("What is 17 times 4?")]) == Reply(
        calls=(ToolCall("calculate", {"expression": "17 * 4"}),)
    )


def test_result_of_a_tool_is_spoken() -> None:
    result = {"expression": "17 * 4", "result": "68", "exact": True}
    contents = [user("What is 17 times 4?"), *tool(("calculate", result))]
    assert respond(contents) == Reply("17 times 4 is 68.")


def test_several_questions_are_answered_in_their_order() -> None:
    question = user("Hello. What is 1 plus 1? What time is it?")
    assert [call.name for call in respond([question]).calls] == ["calculate", "get_current_time"]
    sum_ = {"expression": "1 + 1", "result": "2", "exact": True}
    contents = [question, *tool(("calculate", sum_), ("get_current_time", {"time": "3:45 PM"}))]
    assert respond(contents).text == "Hello! 1 plus 1 is 2. It is 3:45 PM."


def test_what_is_not_understood_is_admitted_with_a_hint() -> None:
    reply = respond([user("The quick brown fox.")])
    assert "did not understand" in reply.text
    assert "The quick brown fox" in reply.text
    assert reply.calls == ()


def test_sentence_said_in_two_parts_is_understood_as_one() -> None:
    contents = [user("What is seventeen"), user("times four?")]
    assert respond(contents).calls == (ToolCall("calculate", {"expression": "17 * 4"}),)


def test_repeat_says_the_last_answer_again() -> None:
    assert respond([user("Hi"), agent("Hello!"), user("say that again")]).text == "Hello!"


def test_nothing_is_said_after_the_agents_own_words() -> None:
    assert respond([user("Hi"), agent("Hello!")]) == Reply()
    assert respond([]) == Reply()
    assert respond([user("  ")]) == Reply()


def test_failed_tool_is_admitted() -> None:
    contents = [user("What is 5 / 0?")]
    broken = {"expression": "5 / 0", "error": "nothing can be divided by zero"}
    reply = respond(contents + tool(("calculate", broken)))
    assert reply.text == "I cannot work that out: nothing can be divided by zero."


TOLD = (user("Tell me a story."), *tool(("pick_story", {"title": "The Lamp Keeper"})))


class TestBrokenOffAnswers:
    def test_go_on_begins_with_the_sentence_that_was_broken_off(self) -> None:
        second = split_sentences(STORY)[1]
        heard = STORY[: STORY.index(second) + 10]
        for note in ("Go on.", GO_ON_NOTE):
            rest = respond([*TOLD, agent(heard), user(note)]).text
            assert rest == STORY[STORY.index(second) :]

    def test_go_on_finds_the_story_behind_other_answers(self) -> None:
        stopped = [*TOLD, agent(STORY[:60]), user("Stop."), agent("Okay.")]
        assert STORY.endswith(respond([*stopped, user("Go on")]).text)

    def test_story_can_be_broken_off_and_gone_on_with_twice(self) -> None:
        first = [*TOLD, agent(STORY[:60]), user("Go on")]
        rest = respond(first).text
        second = [*first, agent(rest[:200]), user("Go on")]
        assert 0 < len(respond(second).text) < len(rest)
        assert STORY.endswith(respond(second).text)

    def test_cough_taken_for_a_word_does_not_end_the_story(self) -> None:
        assert STORY.endswith(respond([*TOLD, agent(STORY[:60]), user("Her.")]).text)
        assert STORY.endswith(respond([*TOLD, agent(STORY[:60]), user("Yeah.")]).text)
        assert respond([*TOLD, agent(STORY[:60]), user("No.")]).text == "All right."
        assert "did not" in respond([*TOLD, agent(STORY[:60]), user("Blue umbrella.")]).text
        assert "did not" in respond([*TOLD, agent(STORY), user("Her.")]).text

    def test_apology_for_not_understanding_is_not_taken_up(self) -> None:
        contents = [user("Front."), agent("I heard"), user("Center.")]
        assert "Center" in respond(contents).text

    def test_cough_taken_for_a_word_does_not_take_the_place_of_a_question(self) -> None:
        asked = [user("What time is it?"), user("Her.")]
        assert [call.name for call in respond(asked).calls] == ["get_current_time"]
        told = [*asked, *tool(("get_current_time", {"time": "3:45 PM"}))]
        assert respond(told).text == "It is 3:45 PM."

    def test_go_on_after_a_whole_answer_has_nothing_to_add(self) -> None:
        assert respond([user("Hi"), agent("Hello! What can I do for you?"), user(GO_ON_NOTE)]) == (
            Reply()
        )

    def test_a_hundred_times_go_on_takes_no_time(self) -> None:
        contents = [user("Hi"), agent("Hel")]
        for _ in range(200):
            contents += [user("go on"), agent("There is")]
        respond([*contents, user("go on")])


class TestTimers:
    finished = ("finish_timer", {"finished": {"id": "a", "seconds": 10, "due": 1.0}})

    def test_timer_that_is_due_is_taken_off_the_list_first(self) -> None:
        reply = respond([user(timer_note("a"))])
        assert reply.calls == (ToolCall("finish_timer", {"timer_id": "a"}),)

    def test_and_then_announced(self) -> None:
        contents = [user("Set a timer."), user(timer_note("a")), *tool(self.finished)]
        assert respond(contents).text == "Your 10 second timer is up!"

    def test_announcement_that_was_cut_off_unheard_is_not_lost(self) -> None:
        contents = [user(timer_note("a")), *tool(self.finished), user("Hello.")]
        assert respond(contents).text.startswith("Your 10 second timer is up! Hello!")

    def test_late_announcement_says_so(self) -> None:
        name, result = self.finished
        contents = [user(timer_note("a")), *tool((name, result | {"seconds_late": 125.0}))]
        assert respond(contents).text == "Your 10 second timer went off 2 minutes ago."

    def test_story_that_a_timer_broke_off_is_taken_up_behind_the_announcement(self) -> None:
        noted = [*TOLD, agent(STORY[:60]), user(timer_note("a", go_on=True))]
        assert respond(noted).calls == (ToolCall("finish_timer", {"timer_id": "a"}),)
        text = respond([*noted, *tool(self.finished)]).text
        assert text.startswith("Your 10 second timer is up! Now, where was I? On a small island")
        assert text.endswith(STORY[-40:])

    def test_story_that_the_caller_broke_off_is_not(self) -> None:
        contents = [*TOLD, agent(STORY[:60]), user(timer_note("a")), *tool(self.finished)]
        assert respond(contents).text == "Your 10 second timer is up!"

    def test_timer_that_is_gone_already_is_not_mentioned(self) -> None:
        contents = [user(timer_note("a")), *tool(("finish_timer", {"error": "no such timer"}))]
        assert respond(contents) == Reply()


async def generate(request: LlmRequest, *, stream: bool) -> list[LlmResponse]:
    return [r async for r in RuleBasedLlm().generate_content_async(request, stream=stream)]


def text_of(response: LlmResponse) -> str:
    assert response.content is not None
    return "".join(part.text or "" for part in response.content.parts or [])


async def test_stream_is_sentence_by_sentence_and_then_whole() -> None:
    request = LlmRequest(contents=[user("Who are you?")])
    *partial, final = await generate(request, stream=True)
    assert len(partial) == 3
    assert all(response.partial for response in partial)
    assert "".join(map(text_of, partial)) == text_of(final)
    assert [text_of(r) for r in await generate(request, stream=False)] == [text_of(final)]


def test_stories_take_about_a_minute_to_tell() -> None:
    for story in STORIES.values():
        assert 150 < len(story.split()) < 280
