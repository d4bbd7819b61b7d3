"""Whose turn it is to ask for resources: threads, without Ray."""

from __future__ import annotations

import threading

from raydp_ml.training.gang import turns
from raydp_ml.training.gang.turns import take_turn


class Fit(threading.Thread):
    """A fit that asks, gets what it needs when told to, and ends when told to."""

    def __init__(self, log, name):
        super().__init__(name=name, daemon=True)
        self.log, self.get, self.end = log, threading.Event(), threading.Event()
        self.asks, self.runs = threading.Event(), threading.Event()
        self.start()

    def run(self):
        with take_turn() as turn:
            self.log.append(f"{self.name} asks")
            self.turn = turn
            self.asks.set()
            assert self.get.wait(20)
            turn.got_all()
            self.log.append(f"{self.name} runs")
            self.runs.set()
            assert self.end.wait(20)
        self.log.append(f"{self.name} ended")


def waiting():
    with turns._changed:
        return len(turns._asking)


def until(condition):
    with turns._changed:
        assert turns._changed.wait_for(condition, 20)


def test_fits_ask_one_after_the_other_and_run_together():
    log = []
    first = Fit(log, "1")
    assert first.asks.wait(20)
    second = Fit(log, "2")
    until(lambda: len(turns._asking) == 2)
    third = Fit(log, "3")
    until(lambda: len(turns._asking) == 3)
    assert not second.asks.is_set()
    assert not first.turn.others_run()
    first.get.set()
    assert second.asks.wait(20)
    assert second.turn.others_run()
    assert not first.turn.others_run()
    second.get.set()
    assert third.asks.wait(20)
    third.get.set()
    for fit in (first, second, third):
        assert fit.runs.wait(20)
        fit.end.set()
        fit.join(20)
    assert [line for line in log if "asks" in line] == ["1 asks", "2 asks", "3 asks"]
    assert log[-1] == "3 ended"
    assert not turns._asking
    assert not turns._running


def test_a_fit_that_fails_lets_the_next_one_ask():
    def fail():
        with take_turn():
            raise ZeroDivisionError

    for _ in range(2):
        try:
            fail()
        except ZeroDivisionError:
            assert not waiting()


def test_a_fit_inside_another_waits_for_those_of_other_threads_alone():
    with take_turn() as outer:
        outer.got_all()
        with take_turn() as inner:
            assert not inner.others_run()
        other = Fit([], "other")
        assert other.asks.wait(20)
        other.get.set()
        assert other.runs.wait(20)
        with take_turn() as inner:
            assert inner.others_run()
        other.end.set()
        other.join(20)


def test_whoever_waits_long_is_told_so(monkeypatch, caplog):
    monkeypatch.setattr(turns, "_TELL_SECONDS", 0.2)
    first = Fit([], "first")
    assert first.asks.wait(20)
    second = Fit([], "second")
    second.get.set()
    second.end.set()
    second.join(2)
    assert second.is_alive()
    first.get.set()
    first.end.set()
    second.join(20)
    assert not second.is_alive()
    (record,) = caplog.records
    assert "waits for 1 other fit(s) of this program" in record.getMessage()
