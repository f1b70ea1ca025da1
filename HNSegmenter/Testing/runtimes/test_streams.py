"""A stream that is read ahead by a thread: in order, never far ahead, and not after its reader has left."""

import threading
import time

import pytest

from HNSegmenterLib.runtimes.workers import AHEAD, Stream
from Testing.machine import wait_for


class Source:
    """Items from 0 on without an end, of which it counts how many were taken."""

    def __init__(self):
        self.taken = 0
        self.closed = threading.Event()

    def __iter__(self):
        try:
            while True:
                self.taken += 1
                yield self.taken - 1
        finally:
            self.closed.set()


def test_items_come_in_order_to_the_end():
    assert [item for item in Stream(lambda: range(5 * AHEAD)) if item is not None] == list(range(5 * AHEAD))


def test_a_slow_reader_is_not_run_away_from():
    source = Source()
    items = iter(Stream(lambda: source))
    first = [next(items) for _ in range(3)]
    wait_for(lambda: source.taken >= AHEAD)
    time.sleep(0.2)  # an unbounded stream would take thousands meanwhile
    assert source.taken <= AHEAD + len(first) + 1


def test_the_source_is_closed_once_the_reader_has_left():
    source = Source()
    with pytest.raises(KeyError):
        for item in Stream(lambda: source):
            if item is not None:
                raise KeyError
    wait_for(source.closed.is_set)


def test_a_fault_arrives_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("torn")

    seen = []
    with pytest.raises(ValueError, match="torn"):
        seen.extend(Stream(items))
    assert [item for item in seen if item is not None] == [1]
