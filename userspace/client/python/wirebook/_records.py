"""Records: a stream of DBN records and of what else happens to a reader."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Protocol, SupportsBytes, TypeVar, Union, cast

import numpy
import numpy.typing

from wirebook._layout import layout
from wirebook._wirebook import Book, Overrun, Reader, WriterGone

try:
    import databento_dbn
except ImportError:
    databento_dbn = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from databento_dbn import DBNRecord

# Records decoded at once: one by one, the decoder takes nine times as long for each.
CHUNK = 256
# The DBN version of the records in a segment.
DBN_VERSION = 3
# A record's header, as `Record` has it.
HEADER = struct.Struct("<BBHIQ")

T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """One DBN record where the package `databento_dbn` is not installed: the fields of its header,
    and `bytes(record)`."""

    rtype: int
    publisher_id: int
    instrument_id: int
    ts_event: int
    raw: bytes

    def __bytes__(self) -> bytes:
        return self.raw


@dataclass(frozen=True)
class Reattached:
    """The session is attached anew."""

    epoch: int
    """Of the start that answered."""
    is_next_start: bool
    """False where the same start had only been slow: nothing was lost, books are as good as before."""


Event = Union[Overrun, WriterGone, Reattached]
EVENTS = (Overrun, WriterGone, Reattached)
Item = Union["DBNRecord", Record, Overrun, WriterGone, Reattached]
"""What a stream gives. Of a later version there may be more kinds."""


class Interrupted(Exception):
    """A batch cannot go on before its caller knows of `event`; the next call goes on."""

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.event = event


class Reconnects(Protocol):
    """The part of a session that goes on with the next start."""

    @property
    def epoch(self) -> int: ...
    def reconnect(self, timeout: float | None = None) -> Reattached: ...


class Records(Iterator[Item]):
    """A stream of records, in the order in which each shard made them; of several shards, by
    `ts_recv` as far as they are there. For one thread.

    Iterating gives records, objects of `databento_dbn` where that is installed, and between them:

    - `Overrun`: the appliance has lapped this reader. Books kept from the records are wrong now.
    - `WriterGone`: the appliance has ended or stands still. Without `reattach` this is the last item.
    - `Reattached`: with `reattach`, the stream goes on; after another start from its first record, so
      that books begin anew.
    """

    def __init__(
        self,
        session: Reconnects,
        attach: Callable[[bool], Reader],
        reader: Reader,
        reattach: bool,
    ) -> None:
        self._session = session
        self._attach = attach
        self._reader: Reader | None = reader
        self._reattach = reattach
        self._is_writer_gone = False
        self._ready: deque[Item] = deque()
        self._decode = _decoder()

    def __next__(self) -> Item:
        if self._ready:
            return self._ready.popleft()
        if self._is_writer_gone and not self._reattach:
            raise StopIteration
        item = self.next()
        if item is None:
            raise StopIteration
        return item

    def next(self, timeout: float | None = None) -> Item | None:
        """The next item; `None` where nothing came within `timeout` seconds."""
        if not self._ready:
            taken = self._pull(lambda reader: reader.take(CHUNK, timeout), timeout)
            if not isinstance(taken, bytes):
                return taken
            self._ready.extend(self._decode(taken))
        return self._ready.popleft()

    def batch(
        self, schema: str, max_records: int, timeout: float | None = 1.0
    ) -> numpy.typing.NDArray[numpy.void]:
        """The next records of one schema ("mbo", "mbp-1", "trades", "ohlcv-1s", ...) as a structured
        array, whose fields are named as by `databento_dbn`: see `wirebook.dtype`.

        Gives `max_records`, or fewer where `timeout` seconds pass or something else happens, which
        the next call then raises as `Interrupted`. Records of other schemas are stepped over: ask
        the session for a stream a schema. Each record is copied once, from the ring into the array.
        """
        rtype, fields = layout(schema)
        array = numpy.empty(max_records, fields)
        count = self._drain(array, rtype)
        if count < max_records and not self._ready:
            rest = array[count:].view(numpy.uint8)
            filled = self._pull(lambda reader: reader.fill(rest, rtype, timeout), timeout)
            if isinstance(filled, int):
                count += filled
            elif filled is not None:
                self._ready.append(filled)
        if count == 0 and self._ready and isinstance(event := self._ready[0], EVENTS):
            self._ready.popleft()
            raise Interrupted(event)
        return array[:count]

    def join(self, symbol: str, timeout: float | None = 1.0) -> Book:
        """The symbol's book at a place from which this stream goes on: from here on it gives those of
        the instrument's records alone that are not in the book. So begin with this, or after an
        `Overrun`, and apply what comes.

        Raises `KeyError` where no channel has spoken of the symbol yet, `TimeoutError` where the
        board does not show that place within `timeout` seconds: it does at the end of the shard's
        turn, microseconds later, but not within a venue's event that the turn has cut.
        """
        book = self._open().join(symbol, timeout)

        def is_in_book(item: Item) -> bool:
            if isinstance(item, EVENTS):
                return False
            of = (item.publisher_id, item.instrument_id)
            return of == (book.publisher_id, book.instrument_id)

        self._ready = deque(item for item in self._ready if not is_in_book(item))
        return book

    def close(self) -> None:
        """Lets the segment go."""
        self._reader = None
        self._ready.clear()

    def _pull(self, pull: Callable[[Reader], T], timeout: float | None) -> T | Reattached | None:
        """What the reader gives, or, behind the writer's end, the way to the next start."""
        reader = self._open()
        if self._is_writer_gone and self._reattach:
            return self._follow(reader, timeout)
        pulled = pull(reader)
        self._is_writer_gone = isinstance(pulled, WriterGone)
        return pulled

    def _open(self) -> Reader:
        if self._reader is None:
            raise ValueError("the records are closed")
        return self._reader

    def _follow(self, reader: Reader, timeout: float | None) -> Reattached | None:
        # Another stream of the session may have gone ahead.
        if self._session.epoch == reader.epoch:
            try:
                self._session.reconnect(timeout)
            except TimeoutError:
                return None
        self._is_writer_gone = False
        if self._session.epoch == reader.epoch:
            return Reattached(reader.epoch, is_next_start=False)
        self._reader = self._attach(True)
        return Reattached(self._reader.epoch, is_next_start=True)

    def _drain(self, array: numpy.typing.NDArray[numpy.void], rtype: int) -> int:
        """Moves the records that `next` has taken ahead into the array, up to the first event."""
        count = 0
        while count < len(array) and self._ready and not isinstance(self._ready[0], EVENTS):
            record = bytes(cast(SupportsBytes, self._ready.popleft()))
            if record[1] == rtype:
                array[count] = numpy.frombuffer(record, array.dtype)[0]
                count += 1
        return count


def _decoder() -> Callable[[bytes], Iterable[Item]]:
    """What makes objects of whole records."""
    if databento_dbn is None:
        return _plain
    decoder = databento_dbn.DBNDecoder(has_metadata=False, input_version=DBN_VERSION)

    def decode(records: bytes) -> Iterable[Item]:
        decoder.write(records)
        # Without metadata in, none comes out.
        return cast("list[DBNRecord]", decoder.decode())

    return decode


def _plain(records: bytes) -> Iterator[Record]:
    at = 0
    while at < len(records):
        length_words, rtype, publisher_id, instrument_id, ts_event = HEADER.unpack_from(records, at)
        end = at + 4 * length_words
        yield Record(rtype, publisher_id, instrument_id, ts_event, records[at:end])
        at = end
