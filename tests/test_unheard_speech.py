"""Speech at which the model shows no sign of life."""

from __future__ import annotations

from rtc_server.unheard_speech import UnheardSpeech

TIMEOUT_S = 10.0


def say(unheard: UnheardSpeech, begin: float, seconds: float) -> float:
    """Speech in pieces of 20 ms; returns when it is over."""
    for n in range(round(seconds * 50)):
        unheard.speech(begin + n * 0.02, 20)
    return begin + seconds


def overdue_at(unheard: UnheardSpeech, begin: float, end: float) -> list[float]:
    """When it is found to be overdue, looked at four times a second."""
    times = [begin + n / 4 for n in range(round((end - begin) * 4))]
    return [now for now in times if unheard.is_overdue(now, TIMEOUT_S)]


def test_a_model_that_gives_no_sign_is_overdue_once() -> None:
    unheard = UnheardSpeech()
    over = say(unheard, 100.0, 1.0)
    (at,) = overdue_at(unheard, over, over + 60)
    assert TIMEOUT_S <= at - over <= TIMEOUT_S + 0.5


def test_asking_again_puts_nothing_off() -> None:
    unheard = UnheardSpeech()
    over = say(unheard, 100.0, 1.0)
    assert overdue_at(unheard, over, over + 6) == []
    say(unheard, over + 6, 1.0)
    (at,) = overdue_at(unheard, over + 7, over + 20)
    assert at - over <= TIMEOUT_S + 0.5


def test_a_sign_of_the_model_settles_it() -> None:
    unheard = UnheardSpeech()
    over = say(unheard, 100.0, 1.0)
    assert overdue_at(unheard, over, over + 9) == []
    unheard.sign()
    assert overdue_at(unheard, over + 9, over + 60) == []


def test_coughs_and_a_long_speech_are_not_overdue() -> None:
    unheard = UnheardSpeech()
    for n in range(30):
        over = say(unheard, 100.0 + 5 * n, 0.2)
        assert overdue_at(unheard, over, over + 4.8) == []
    over = say(unheard, 300.0, 60.0)
    assert not unheard.is_overdue(over, TIMEOUT_S)


def test_noise_is_told_of_less_and_less_often_until_there_is_a_sign() -> None:
    unheard = UnheardSpeech()
    waits = []
    for n in (0, 1, 2):
        over = say(unheard, 1000.0 * (n + 1), 1.0)
        (at,) = overdue_at(unheard, over, over + 100)
        waits.append(round(at - over, -1))
    assert waits == [10.0, 20.0, 40.0]
    unheard.sign()
    over = say(unheard, 9000.0, 1.0)
    assert round(overdue_at(unheard, over, over + 100)[0] - over, -1) == 10.0


def test_the_time_without_a_connection_does_not_count() -> None:
    unheard = UnheardSpeech()
    over = say(unheard, 100.0, 1.0)
    assert not unheard.is_overdue(over + 3.0, TIMEOUT_S)
    back_at = over + 60.0
    assert not unheard.is_overdue(back_at + TIMEOUT_S - 0.1, TIMEOUT_S, back_at=back_at)
    assert unheard.is_overdue(back_at + TIMEOUT_S + 0.1, TIMEOUT_S, back_at=back_at)


def test_a_question_that_comes_when_the_time_is_over_is_not_cut_short() -> None:
    """The first was noise; the model is to have the user's silence."""
    unheard = UnheardSpeech()
    over = say(unheard, 100.0, 1.0)
    assert overdue_at(unheard, over, over + 9.5) == []
    over = say(unheard, over + 9.5, 1.0)
    assert overdue_at(unheard, over, over + 1.9) == []
    unheard.sign()
    assert overdue_at(unheard, over + 2, over + 60) == []


def test_where_a_voice_without_words_leads_to_no_sign_it_takes_two_utterances() -> None:
    """``Hm``, and then nothing, asks nothing; who is not heard says it again."""
    unheard = UnheardSpeech(least_utterances=2)
    for n in range(5):
        over = say(unheard, 100.0 + 100 * n, 1.0)
        assert overdue_at(unheard, over, over + 99) == []
    over = say(unheard, 1000.0, 1.0)
    assert overdue_at(unheard, over, over + 5) == []
    again = say(unheard, over + 5, 1.0)
    (at,) = overdue_at(unheard, again, over + 60)
    assert TIMEOUT_S <= at - over <= TIMEOUT_S + 0.5
