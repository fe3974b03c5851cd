"""Target `output`: whatever a program in tshark's place says, the replay gives lines or one sentence.

An input is what it prints, then, each behind a separator, what it says on standard error, and its exit code.
"""

import stat
import tempfile
from pathlib import Path
from random import Random

from portsentry_py.capture.toolchain import Tools
from portsentry_py.errors import InputError
from portsentry_py.sensor.replay import Replay
from tests.lab.fuzz.columns import mutated as other_line
from tests.lab.fuzz.oracle import check_line, check_sentences, line_of
from tests.lab.fuzz.store import CORPUS, read
from tests.lab.fuzz.trial import CONTROLS, Raw
from tests.support.build import HOME, strict

SEPARATOR = b"\xff\xfe\xff"
# It tells a version, so that what it says otherwise is about the file.
_STAND_IN = """#!/bin/sh
[ "$*" != -v ] || exec echo 'TShark (Wireshark) 4.0.17'
cat "$0.out"
cat "$0.err" >&2
exit {code}
"""


def check(data: bytes) -> None:
    """Fail if such output is not dealt with as it must be."""
    said, errors, code = (*data.split(SEPARATOR), b"", b"")[:3]
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        program, capture = Path(folder, "tshark"), Path(folder, "x.pcap")
        program.with_suffix(".out").write_bytes(said)
        program.with_suffix(".err").write_bytes(errors)
        program.write_text(_STAND_IN.format(code=code[0] if code else 0), encoding="ascii")
        program.chmod(stat.S_IRWXU)
        capture.write_bytes(b"\xd4\xc3\xb2\xa1")
        player = Replay(strict(), HOME.home, Tools(str(program), "", "4.0.0"), lambda _path, _packets: None)
        try:
            for event in player.events([capture]):
                check_line(line_of(event))
        except InputError as error:
            check_sentences(str(error), 1)
        for sentence in player.summary.damage:
            check_sentences(sentence, 1)


def mutated(data: bytes, random: Random, raw: Raw) -> bytes:
    """Other lines, other words, another end."""
    said, errors, code = (*data.split(SEPARATOR), b"", b"")[:3]
    kind = random.randrange(4)
    if kind == 0:
        said = b"\n".join(other_line(line, random, raw) for line in said.split(b"\n")[:50])
    elif kind == 1:
        said = raw(said)
    elif kind == 2:
        errors = raw(errors) + random.choice(CONTROLS).encode()
    else:
        code = bytes([random.choice((0, 1, 2, 127, 255))])
    return SEPARATOR.join((said, errors, code))


_WORDS = (
    b'tshark: The file "/tmp/x" appears to have been cut short in the middle of a packet.\n',
    b'tshark: The file "/tmp/x" isn\'t a capture file in a format TShark understands.\n',
    b'tshark: The file "/tmp/x" appears to be damaged or corrupt.\n(pcap: File has 4294967295-byte packet)\n',
    b'Running as user "root" and group "root". This could be dangerous.\n',
    b"\x1b[31m\x9b2J\xe2\x80\xae\n",
    b"",
)


def seeds() -> list[bytes]:
    """Lines of the decoder's seeds, with each of tshark's sentences."""
    lines = [case.data for case in read(CORPUS, "columns")]
    return [
        SEPARATOR.join((b"\n".join(lines[nth * 5 : nth * 5 + 5]) + b"\n", words, b"\2"))
        for nth, words in enumerate(_WORDS)
    ]
