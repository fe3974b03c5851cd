"""One output that fails stops neither the capture nor the other outputs."""

from dataclasses import replace

import pytest

from portsentry_py.errors import OutputEnded, ReaderGone
from portsentry_py.events.model import Event
from portsentry_py.output.sink import Dispatcher
from tests.support.build import connection_events
from tests.support.waiting import wait_for


class Kept:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_closed = False

    def write(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.is_closed = True


class Broken(Kept):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def write(self, event: Event) -> None:
        super().write(event)
        raise self._error


def test_every_output_gets_every_event_in_order() -> None:
    log, other = Kept(), Kept()
    outputs = Dispatcher([("log", log), ("other", other)])
    for event in connection_events():
        outputs.write(event)
    outputs.close()
    assert log.events == other.events == connection_events()
    assert (log.is_closed, other.is_closed) == (True, True)


def test_every_output_gets_the_decorated_event() -> None:
    log, other = Kept(), Kept()
    outputs = Dispatcher([("log", log), ("other", other)])
    outputs.decorate = lambda event: replace(event, timestamp="decorated")
    for event in connection_events():
        outputs.write(event)
    outputs.close()
    assert {event.timestamp for event in log.events + other.events} == {"decorated"}


@pytest.mark.parametrize(
    "error", [BrokenPipeError("gone"), ConnectionError("refused"), KeyError("a bug"), SystemExit(1)]
)
def test_an_output_that_fails_is_isolated_and_reported_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    log, broken, last = Kept(), Broken(error), Kept()
    outputs = Dispatcher([("log", log), ("broken", broken), ("last", last)])
    for event in connection_events():
        outputs.write(event)
        outputs.flush()
    outputs.close()
    assert log.events == broken.events == last.events == connection_events()
    assert outputs.lines_lost == 0, "the lines of the event log alone are counted there"
    assert caplog.text.count("broken: failed") == 1
    assert caplog.text.count("go on") == 1


def test_the_events_that_the_event_log_loses_are_counted() -> None:
    log, other = Broken(ValueError("a bug")), Kept()
    outputs = Dispatcher([("log", log), ("other", other)])
    for event in connection_events():
        outputs.write(event)
    wait_for(lambda: outputs.lines_lost == 3, "all lines")
    outputs.close()
    assert other.events == connection_events()


@pytest.mark.parametrize("error", [ReaderGone("nobody reads"), OutputEnded("a device that is full")])
def test_an_output_that_nobody_can_read_any_more_ends_the_sensor(error: OutputEnded) -> None:
    log, other = Broken(error), Kept()
    outputs = Dispatcher([("log", log), ("other", other)])

    def write() -> bool:
        try:
            outputs.write(connection_events()[0])
        except OutputEnded:
            return True
        return False

    wait_for(write, "the end")
    outputs.close()
    assert other.is_closed, "the others are closed all the same"


def test_the_lines_of_each_output_are_counted() -> None:
    outputs = Dispatcher([("log", Kept()), ("broken", Broken(ValueError("a bug")))])
    for event in connection_events():
        outputs.write(event)
    outputs.close()
    assert outputs.lines == {"log": (3, 0), "broken": (0, 3)}
