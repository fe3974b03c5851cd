"""Events as a person reads them on a terminal."""

import io

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import Event
from portsentry_py.events.readable import readable
from portsentry_py.output.console import ConsoleSink
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import SCANNER, US, micros, refused, strict, syn, watch
from tests.support.running import run_python
from tests.support.terminal import terminal


def events() -> list[Event]:
    status = status_event(Pipeline(strict(), US), micros(0), "started", "none")
    return [*watch(strict(), refused(syn(SCANNER, 20, 21, 22, 23))), status]


def test_the_sink_prints_each_event() -> None:
    output = io.StringIO()
    sink = ConsoleSink(output)
    for event in events():
        sink.write(event)
    sink.close()
    assert len(output.getvalue().splitlines()) == len(events())


class Gone(io.StringIO):
    """A terminal that has gone away, until the test says that it is back."""

    error: OSError | None = None

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), BrokenPipeError(32, "Broken pipe")])
def test_an_event_that_a_terminal_does_not_take_is_not_kept(error: OSError) -> None:
    """The terminal may never come back: what is kept for it would grow for ever."""
    output = Gone()
    sink = ConsoleSink(output)
    first, second, *_ = events()
    output.error = error
    with pytest.raises(OSError, match=error.strerror):
        sink.write(first)
    output.error = None
    sink.write(second)
    assert output.getvalue() == "".join(text for text, _ in readable(second, "22:13:20")) + "\n"


def test_a_stopped_terminal_blocks_neither_the_sensor_nor_its_end() -> None:
    """As with Ctrl-S: nobody reads the other side of this one."""
    script = """
        from portsentry_py.output import async_writer
        from portsentry_py.output.console import ConsoleSink
        from portsentry_py.output.diagnostics import unbuffered
        from portsentry_py.output.async_writer import AsyncWriter
        from tests.integration.test_log_disk import numbered

        async_writer._CLOSE_SECONDS = 0.2
        sink = AsyncWriter(ConsoleSink(unbuffered(1)), "the terminal")
        for event in numbered(3000):
            sink.write(event)
        sink.close()
        assert sink.lost
    """
    with terminal() as (_, follower):
        run_python(script, stdout=follower)
