"""What several workers share: the pure tables, the sums, the line between front and worker."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rtc_server.call_service import CallOffer
from rtc_server.errors import (
    BadRequest,
    CallError,
    CallNotFound,
    CandidateError,
    ConfigurationError,
    RtcServerError,
    ServerBusy,
    TooManyRequests,
)
from rtc_server.metrics import Metrics
from rtc_server.settings import Limits, Settings
from rtc_server.workers.link import MAX_REQUESTS, WorkerLink, WorkerLost
from rtc_server.workers.placement import Placement, WorkerState
from rtc_server.workers.remote_calls import RemoteCalls
from rtc_server.workers.summed_metrics import SummedMetrics, snapshot_of
from rtc_server.workers.supervisor import backoff_s, share_of, share_of_ports
from rtc_server.workers.wire import (
    Configuration,
    error_from_wire,
    error_to_wire,
    offer_from_wire,
    offer_to_wire,
    read_line,
    to_line,
)
from tests.waiting import until

ANN = ("agent", "ann", "session")


def placement(workers: int = 2, **options: Any) -> Placement:
    """All workers are open."""
    made = Placement(workers, **options)
    for number in range(workers):
        made.set_state(number, WorkerState.OPEN)
    return made


class TestPlacement:
    def test_the_worker_with_the_fewest_calls_is_chosen_and_of_equals_the_one_that_waited(
        self,
    ) -> None:
        table = placement(3)
        chosen = []
        for number in range(6):
            chosen.append(table.choose(None))
            table.place(f"call-{number}", chosen[-1], None)
        assert chosen == [0, 1, 2, 0, 1, 2]
        table.end("call-4")
        assert table.choose(None) == 1
        assert [table.calls_of(number) for number in range(3)] == [2, 1, 2]

    def test_a_worker_whose_calls_cost_more_gets_fewer(self) -> None:
        table = placement(2)
        for number in range(8):
            table.place(f"call-{number}", number % 2, None)
        table.set_load(0, 0.6)
        table.set_load(1, 0.3)
        chosen = []
        for number in range(8, 32):
            chosen.append(table.choose(None))
            table.place(f"call-{number}", chosen[-1], None)
        assert chosen[:12] == [1] * 12  # as many as 0.3 of load is worth
        assert set(chosen[13:]) == {0, 1}

    def test_idle_workers_are_told_apart_by_their_calls_alone(self) -> None:
        table = placement(2)
        table.set_load(0, 0.09)
        assert table.choose(None) == 0
        table.place("call", 0, None)
        table.set_load(1, 0.10)
        assert table.choose(None) == 1

    def test_a_conversation_stays_with_its_worker_also_after_its_calls(self) -> None:
        table = placement()
        table.place("a", 1, ANN)
        table.hold("a", 1, ANN)
        table.end("a")
        assert table.choose(ANN) == 1
        assert table.choose(("agent", "bob", "session")) == 0

    def test_two_offers_at_once_of_a_new_conversation_meet_one_worker(self) -> None:
        table = placement()
        table.place("a", table.choose(ANN), ANN)
        assert table.choose(ANN) == table.worker_of("a")

    def test_a_conversation_that_the_server_named_is_known_from_the_answer_on(self) -> None:
        table = placement()
        table.place("a", 1, None)
        table.hold("a", 1, ANN)
        assert table.holder(ANN) == 1

    def test_an_offer_that_came_to_nothing_holds_no_conversation(self) -> None:
        table = placement()
        table.place("a", 1, ANN)
        table.refuse("a")
        assert table.holder(ANN) is None
        assert table.active == 0

    def test_an_offer_that_came_to_nothing_leaves_a_conversation_that_was_there(self) -> None:
        table = placement()
        table.place("a", 1, ANN)
        table.hold("a", 1, ANN)
        table.end("a")
        table.place("b", 1, ANN)
        table.refuse("b")
        assert table.holder(ANN) == 1

    def test_an_answer_after_the_end_of_its_call_still_says_who_holds_the_conversation(
        self,
    ) -> None:
        table = placement()
        table.place("a", 1, None)
        table.end("a")
        table.hold("a", 1, ANN)
        assert table.holder(ANN) == 1
        assert table.active == 0

    def test_a_lost_worker_is_lost_with_its_calls_and_conversations_only(self) -> None:
        table = placement()
        for call_id, worker in (("a", 0), ("b", 1), ("c", 1)):
            session = ("agent", "ann", call_id)
            table.place(call_id, worker, session)
            table.hold(call_id, worker, session)
        assert table.lose(1) == 2
        assert table.worker_of("a") == 0
        assert table.worker_of("b") is None
        assert table.holder(("agent", "ann", "b")) is None
        assert table.choose(("agent", "ann", "b")) == 0
        table.end("b")  # said too late
        assert table.calls_of(1) == 0

    def test_a_busy_worker_gets_a_call_only_where_no_other_can(self) -> None:
        table = placement()
        table.set_state(0, WorkerState.BUSY)
        table.place("a", 1, None)
        assert table.choose(None) == 1
        assert table.choose(None, without={1}) == 0
        table.set_state(1, WorkerState.CLOSING)
        assert table.choose(None) == 0
        assert not table.takes_calls

    def test_a_conversation_whose_worker_closes_is_begun_nowhere_else_meanwhile(self) -> None:
        table = placement()
        table.place("a", 1, ANN)
        table.set_state(1, WorkerState.CLOSING)
        with pytest.raises(ServerBusy):
            table.choose(ANN)
        table.lose(1)
        assert table.choose(ANN) == 0

    def test_without_a_worker_there_is_no_place(self) -> None:
        with pytest.raises(ServerBusy):
            Placement(2).choose(None)

    def test_the_oldest_conversation_without_a_call_is_forgotten_first(self) -> None:
        table = placement(max_sessions=2)
        for name in ("live", "idle", "new"):
            session = ("agent", "ann", name)
            table.place(name, 0, session)
            table.hold(name, 0, session)
            if name == "idle":
                table.end(name)
        assert table.holder(("agent", "ann", "live")) == 0
        assert table.holder(("agent", "ann", "idle")) is None
        assert table.holder(("agent", "ann", "new")) == 0


class AnyPlacement(RuleBasedStateMachine):
    """Whatever happens in whatever order, the tables agree with each other."""

    def __init__(self) -> None:
        super().__init__()
        self.table = placement(3, max_sessions=4)
        self.calls: dict[str, tuple[int, str | None]] = {}
        self.count = 0

    @rule(name=st.sampled_from([None, *"abcdef"]))
    def place(self, name: str | None) -> None:
        session = None if name is None else ("agent", "ann", name)
        try:
            worker = self.table.choose(session)
        except ServerBusy:
            return
        live = {where for where, which in self.calls.values() if name and which == name}
        assert live <= {worker}, "a conversation that has a call is gone on with elsewhere"
        self.count += 1
        self.calls[f"call-{self.count}"] = (worker, name)
        self.table.place(f"call-{self.count}", worker, session)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), how=st.sampled_from(["end", "refuse", "hold"]))
    def go_on(self, data: st.DataObject, how: str) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.calls)))
        worker, name = self.calls[call_id]
        if how == "hold":
            self.table.hold(call_id, worker, ("agent", "ann", name or call_id))
            self.calls[call_id] = (worker, name or call_id)
            return
        del self.calls[call_id]
        self.table.end(call_id) if how == "end" else self.table.refuse(call_id)

    @rule(worker=st.integers(0, 2), state=st.sampled_from(WorkerState))
    def change(self, worker: int, state: WorkerState) -> None:
        if state is WorkerState.AWAY:
            lost = [one for one, (where, _) in self.calls.items() if where == worker]
            assert self.table.lose(worker) == len(lost)
            for one in lost:
                del self.calls[one]
        else:
            self.table.set_state(worker, state)

    @invariant()
    def counts_agree(self) -> None:
        assert self.table.active == len(self.calls)
        for worker in range(3):
            own = [one for one, (where, _) in self.calls.items() if where == worker]
            assert self.table.calls_of(worker) == len(own)
            assert all(self.table.worker_of(one) == worker for one in own)
        for worker, name in self.calls.values():
            if name is not None:
                assert self.table.holder(("agent", "ann", name)) == worker


TestAnyPlacement = AnyPlacement.TestCase


class TestShares:
    def test_every_udp_port_belongs_to_exactly_one_worker(self) -> None:
        for size in range(5, 23):
            shares = [share_of_ports((100, 99 + size), 5, number) for number in range(5)]
            ports = [port for one in shares if one for port in range(one[0], one[1] + 1)]
            assert ports == list(range(100, 100 + size))

    def test_fewer_ports_than_workers_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="3 workers cannot share 2 UDP ports"):
            share_of_ports((100, 101), 3, 0)
        assert share_of_ports(None, 3, 0) is None

    @pytest.mark.parametrize("workers", [1, 2, 3, 8])
    def test_all_workers_together_connect_to_a_model_no_faster_than_one_process(
        self, workers: int
    ) -> None:
        whole = Settings(workers=workers)
        shares = [share_of(whole, number).limits for number in range(workers)]
        assert sum(one.model_connects_per_s for one in shares) == pytest.approx(10.0)
        assert 40 <= sum(one.model_connects_at_once for one in shares) < 40 + workers

    def test_a_worker_that_cannot_live_is_started_less_and_less_often(self) -> None:
        waits = [backoff_s(failures, 1.0) for failures in range(1, 12)]
        assert waits[0] == 0.5
        assert waits == sorted(waits)
        assert waits[-1] == 30.0
        assert backoff_s(1, 0.0) == 0.25
        assert backoff_s(10_000, 0.5) <= 30.0


class TestWire:
    def test_settings_come_through_as_they_were(self) -> None:
        settings = Settings(
            udp_ports=(1, 2),
            allow_state=("a", "b"),
            greeting="Hé\n",
            limits=Limits(max_calls=3, drain_s=1.5),
        )
        sent = Configuration(
            settings=settings, log_format="json", log_level="debug", path=("/a", "")
        )
        assert Configuration.from_wire(json.loads(to_line(sent.to_wire()))) == sent

    def test_an_offer_comes_through_whatever_its_run_config_holds(self) -> None:
        offer = CallOffer(
            sdp="v=0\r\n",
            user_id="ann",
            run_config={"a": ["\ud800", {"b": None}]},
            client_tools=[{"name": "beep", "description": "Beeps."}],
            peer_is_loopback=True,
            call_id="c",
        )
        line = to_line(offer_to_wire(offer))
        assert line.count(b"\n") == 1
        assert offer_from_wire(json.loads(line)) == offer

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (CallNotFound("none"), CallNotFound),
            (ServerBusy("full", 5), ServerBusy),
            (TooManyRequests("often", 7), TooManyRequests),
            (CandidateError("bad"), CallError),
        ],
    )
    def test_an_error_keeps_its_status_its_words_and_when_to_come_back(
        self, error: CallError, kind: type[CallError]
    ) -> None:
        again = error_from_wire(json.loads(to_line(error_to_wire(error))))
        assert isinstance(again, kind)
        assert str(again) == str(error)
        assert getattr(again, "retry_after_s", None) == getattr(error, "retry_after_s", None)

    def test_of_what_is_no_error_of_a_call_nothing_is_said(self) -> None:
        sent = error_to_wire(KeyError("secret"))
        assert "secret" not in str(sent)
        again = error_from_wire(sent)
        assert isinstance(again, RtcServerError)
        assert not isinstance(again, CallError)


def samples(text: bytes) -> dict[str, float]:
    lines = text.decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line[:1] != "#")
    return {name: float(value) for name, _, value in pairs}


class TestSummedMetrics:
    async def test_counters_histograms_and_gauges_of_all_processes_are_summed(self) -> None:
        front, one, two = Metrics(), Metrics(), Metrics()
        for metrics, count in ((one, 2), (two, 3)):
            metrics.calls.labels("hangup").inc(count)
            metrics.calls_active.set(count)
            metrics.load.set(count / 10)
            metrics.response.observe(0.4)
        front.calls.labels("internal_error").inc()

        async def ask() -> dict[int, Any]:
            return {1: snapshot_of(one), 2: snapshot_of(two)}

        summed = SummedMetrics(front, ask)
        summed.add(1)
        summed.add(2)
        got = samples(await summed.scrape())
        assert got['rtc_calls_total{outcome="hangup"}'] == 5
        assert got['rtc_calls_total{outcome="internal_error"}'] == 1
        assert got["rtc_calls_active"] == 5
        assert got["rtc_load_ratio"] == 0.3
        assert got["rtc_response_seconds_count"] == 2
        assert got['rtc_response_seconds_bucket{le="0.5"}'] == 2
        alone = samples(front.exposition())
        assert set(got) > set(alone) - {'rtc_calls_total{outcome="internal_error"}'}
        for name in ("process_start_time_seconds", "process_max_fds"):
            assert got[name] == alone[name]

    async def test_what_a_process_that_is_gone_had_counted_stays_and_what_it_held_goes(
        self,
    ) -> None:
        gone = Metrics()
        gone.calls.labels("hangup").inc(2)
        gone.calls_active.set(7)
        answers = {1: snapshot_of(gone)}

        async def ask() -> dict[int, Any]:
            return dict(answers)

        summed = SummedMetrics(Metrics(), ask)
        summed.add(1)
        await summed.scrape()
        summed.retire(1)
        for _ in range(2):  # also when it seems to answer a scrape that was under way
            got = samples(await summed.scrape())
            assert got['rtc_calls_total{outcome="hangup"}'] == 2
            assert got["rtc_calls_active"] == 0
        summed.retire(1)
        assert samples(await summed.scrape())['rtc_calls_total{outcome="hangup"}'] == 2


class Scripted:
    """The worker's end of a line, in the hands of the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def next(self) -> dict[str, Any]:
        message = await read_line(self.reader)
        assert message is not None
        return message

    def say(self, message: Mapping[str, Any]) -> None:
        self.writer.write(to_line(message))


@asynccontextmanager
async def line(
    on_notice: Any = lambda notice, facts: None,
) -> AsyncIterator[tuple[WorkerLink, Scripted]]:
    """Both ends; the configuration has been read."""
    ours, theirs = socket.socketpair()
    sent = Configuration(settings=Settings(), log_format="text", log_level="info", path=())
    link = await WorkerLink.open(ours, sent, on_notice)
    worker = Scripted(*await asyncio.open_connection(sock=theirs))
    assert Configuration.from_wire(await worker.next()) == sent
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(link.read())
        try:
            yield link, worker
        finally:
            reading.cancel()
            await link.close()
            await link.close()
            worker.writer.close()
            await worker.writer.wait_closed()


class TestLink:
    async def test_answers_find_their_requests_in_any_order(self) -> None:
        async with line() as (link, worker):
            one = asyncio.create_task(link.request("a", timeout_s=5.0))
            two = asyncio.create_task(link.request("b", timeout_s=5.0, x=1))
            first, second = await worker.next(), await worker.next()
            assert second["with"] == {"x": 1}
            worker.say({"id": second["id"], "result": 2})
            assert await two == 2
            worker.say({"id": first["id"], "error": error_to_wire(CallNotFound("none"))})
            with pytest.raises(CallNotFound, match="none"):
                await one

    async def test_a_worker_that_does_not_answer_in_time_counts_as_lost_for_that_request(
        self,
    ) -> None:
        async with line() as (link, worker):
            with pytest.raises(WorkerLost):
                await link.request("a", timeout_s=0.01)
            late = await worker.next()
            worker.say({"id": late["id"], "result": None})  # nobody waits, nothing breaks
            again = asyncio.create_task(link.request("b", timeout_s=5.0))
            worker.say({"id": (await worker.next())["id"], "result": None})
            assert await again is None

    async def test_what_waits_when_the_line_closes_is_told_so(self) -> None:
        async with line() as (link, worker):
            waiting = asyncio.create_task(link.request("a", timeout_s=5.0))
            await worker.next()
            await link.close()
            with pytest.raises(WorkerLost):
                await waiting
            with pytest.raises(WorkerLost):
                await link.request("b", timeout_s=5.0)

    async def test_only_so_many_requests_wait_for_one_worker(self) -> None:
        async with line() as (link, _):
            waiting = [
                asyncio.create_task(link.request("a", timeout_s=5.0)) for _ in range(MAX_REQUESTS)
            ]
            await asyncio.sleep(0)
            with pytest.raises(ServerBusy):
                await link.request("b", timeout_s=5.0)
            await link.close()
            for one in waiting:
                with pytest.raises(WorkerLost):
                    await one


class TestRemoteCalls:
    @asynccontextmanager
    async def one_of_two(self, **limits: Any) -> AsyncIterator[tuple[RemoteCalls, list[Scripted]]]:
        """Two workers in the test's hands."""
        settings = Settings(workers=2, limits=Limits(**limits))
        calls = RemoteCalls(settings, Metrics())
        facts = {"agent": "agent", "modalities": ["audio", "text"]}
        async with (
            line(lambda *said: calls.take_notice(0, *said)) as (link_0, worker_0),
            line(lambda *said: calls.take_notice(1, *said)) as (link_1, worker_1),
        ):
            calls.join(0, 100, link_0, facts)
            calls.join(1, 101, link_1, facts)
            yield calls, [worker_0, worker_1]

    OFFER = CallOffer(sdp="v=0", user_id="ann")

    async def test_a_worker_that_has_no_room_hands_the_call_to_the_next(self) -> None:
        async with self.one_of_two() as (calls, workers):
            placing = asyncio.create_task(calls.place(self.OFFER))
            asked = await workers[0].next()
            call_id = asked["with"]["offer"]["call_id"]
            workers[0].say({"notice": "refused", "with": {"call_id": call_id}})
            workers[0].say({"id": asked["id"], "error": error_to_wire(ServerBusy("full", 5))})
            asked = await workers[1].next()
            second_id = asked["with"]["offer"]["call_id"]
            placed = {"call_id": second_id, "session_id": "s", "user_id": "ann", "answer_sdp": ""}
            workers[1].say({"id": asked["id"], "result": placed})
            assert (await placing).call_id == second_id != call_id
            assert calls.active == 1
            assert calls.placement.holder(("agent", "ann", "s")) == 1
            workers[1].say({"notice": "ended", "with": {"call_id": second_id}})
            await until(lambda: calls.active == 0)

    async def test_where_no_worker_has_room_the_caller_is_told_to_come_back(self) -> None:
        async with self.one_of_two() as (calls, workers):
            placing = asyncio.create_task(calls.place(self.OFFER))
            for worker in workers:
                asked = await worker.next()
                worker.say({"id": asked["id"], "error": error_to_wire(ServerBusy("full", 5))})
            with pytest.raises(ServerBusy, match="full"):
                await placing
            assert calls.active == 0
            assert not calls.is_ready
            calls.take_pulse(0, is_ready=True)
            assert calls.is_ready

    async def test_a_pulse_says_which_worker_is_the_least_loaded(self) -> None:
        async with self.one_of_two() as (calls, workers):
            calls.take_pulse(0, is_ready=True, load=0.7)
            calls.take_pulse(1, is_ready=True, load=0.4)
            placing = asyncio.create_task(calls.place(self.OFFER))
            asked = await workers[1].next()
            workers[1].say({"id": asked["id"], "error": error_to_wire(BadRequest("no"))})
            with pytest.raises(BadRequest):
                await placing

    async def test_a_conversation_reaches_its_worker_also_when_that_has_no_room(self) -> None:
        async with self.one_of_two() as (calls, workers):
            calls.placement.place("a", 1, ("agent", "ann", "s"))
            calls.placement.hold("a", 1, ("agent", "ann", "s"))
            for worker in (0, 1):
                calls.take_pulse(worker, is_ready=False)
            assert not calls.is_ready
            placing = asyncio.create_task(calls.place(replace(self.OFFER, session_id="s")))
            asked = await workers[1].next()
            second_id = asked["with"]["offer"]["call_id"]
            placed = {"call_id": second_id, "session_id": "s", "user_id": "ann", "answer_sdp": ""}
            workers[1].say({"id": asked["id"], "result": placed})
            assert (await placing).call_id == second_id

    async def test_a_call_being_placed_counts_and_its_end_is_known_if_nobody_waits(self) -> None:
        async with self.one_of_two(max_calls=1) as (calls, workers):
            placing = asyncio.create_task(calls.place(self.OFFER))
            asked = await workers[0].next()
            assert calls.active == 1
            assert not calls.is_ready
            with pytest.raises(ServerBusy, match="full"):
                await calls.place(self.OFFER)
            placing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await placing
            assert calls.active == 1
            call_id = asked["with"]["offer"]["call_id"]
            workers[0].say({"notice": "refused", "with": {"call_id": call_id}})
            await until(lambda: calls.active == 0)
            assert calls.is_ready

    async def test_a_call_of_a_worker_that_is_gone_is_not_found(self) -> None:
        async with self.one_of_two() as (calls, _):
            calls.placement.place("a", 1, ("agent", "ann", "s"))
            assert calls.leave(1) == 1
            for ask in (calls.describe("a", None), calls.hang_up("a", "ann")):
                with pytest.raises(CallNotFound):
                    await ask
            assert calls.leave(1) == 0
            assert calls.active == 0
