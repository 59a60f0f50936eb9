"""A session: one appliance, from its books to its records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Literal, Protocol, Union
from weakref import WeakSet

from wirebook._records import Reattached, Records
from wirebook._wirebook import Attachment, Book, Reader


class OfInstrument(Protocol):
    """Whatever says, as every record does, which instrument it is of."""

    @property
    def publisher_id(self) -> int: ...
    @property
    def instrument_id(self) -> int: ...


def connect(path: Union[str, os.PathLike[str]]) -> Session:
    """Attaches to the appliance whose socket is at `path`.

    Raises `OSError` of the fitting kind where nobody answers or the socket's mode does not let this
    process in, and `ConnectionError` where who answers speaks another ABI version.
    """
    return Session(Attachment(path))


class Session:
    """One appliance. It is of one start until `reconnect` finds the next, or records do that were
    asked for with `reattach=True`; then it is of that one."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment: Attachment | None = attachment
        self._books = Books(self)
        self._records: WeakSet[Records] = WeakSet()

    @property
    def epoch(self) -> int:
        """What tells this start of the appliance from any other."""
        return self._attached().epoch

    @property
    def shards(self) -> int:
        """Number of shards."""
        return self._attached().shards

    @property
    def writer_pid(self) -> int:
        """The appliance's process id, as it sees it."""
        return self._attached().writer_pid

    @property
    def books(self) -> Books:
        """The books of all shards, by symbol."""
        return self._books

    def records(
        self,
        shard: int | None = None,
        symbols: Iterable[str] | None = None,
        from_start: bool = False,
        wait: Literal["spin", "spin-then-yield", "sleep"] = "sleep",
        reattach: bool = False,
        heal: bool = False,
    ) -> Records:
        """The records of one shard or of all, from the next that is published.

        `symbols` gives the records of these instruments alone; one that is not known yet is waited
        for. `from_start` goes back to the first record of this start; where that is overwritten, the
        first item is an `Overrun`. `wait` says how to wait: "spin" never gives the core away,
        "spin-then-yield" lets others of the core run, "sleep" sleeps until the
        appliance wakes its readers, or where it wakes none, looks again after at most 1 ms.

        With `heal`, books kept from the stream are right whatever it misses: of an instrument of
        which something was missed, by joining late or by an `Overrun`, no order's record is given
        until its whole book has come from memory, as records flagged `F_SNAPSHOT`. Raises
        `ValueError` where the appliance publishes no orders.

        With `reattach` the stream goes on with the appliance's next start, from its first record;
        without, it ends with the appliance.
        """
        if isinstance(symbols, str):
            raise TypeError(f"expected symbols as a list, found the text {symbols!r}")
        names = None if symbols is None else set(symbols)

        def reader(from_start: bool) -> Reader:
            return self._attached().reader(shard, names, from_start, wait, heal)

        records = Records(self, reader, reader(from_start), reattach)
        self._records.add(records)
        return records

    def symbol(self, record: OfInstrument) -> str | None:
        """The symbol of a record's instrument; `None` of a record about the whole market, and of an
        instrument whose definition has not come yet."""
        return self._attached().symbol(record.publisher_id, record.instrument_id)

    def reconnect(self, timeout: float | None = None) -> Reattached:
        """Attaches again after the appliance's end, to whichever start answers within `timeout`
        seconds. After another start, records must be asked for anew; books are the new ones.

        Raises `TimeoutError` where nobody answered in time; this can then be called again. Raises
        `ConnectionError` where who answers speaks another ABI version.
        """
        is_next_start = self._attached().reconnect(timeout)
        return Reattached(self.epoch, is_next_start)

    def close(self) -> None:
        """Lets the segment go, and closes all records of this session; a wait for one that is under
        way in another thread goes on until something comes."""
        self._attachment = None
        for records in self._records:
            records.close()

    def _attached(self) -> Attachment:
        if self._attachment is None:
            raise ValueError("the session is closed")
        return self._attachment

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._attachment is None:
            return "<Session closed>"
        return f"<Session epoch={self.epoch} shards={self.shards} writer_pid={self.writer_pid}>"


class Books(Mapping[str, Book]):
    """The books of a session by symbol, each read anew from the board whenever it is asked for.

    Where several channels have a symbol, the book is that of the first. A book says what it was when
    the appliance last wrote: whether the appliance lives, a `Records` tells.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getitem__(self, symbol: str) -> Book:
        return self._session._attached().book(symbol)

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and self._session._attached().has_book(symbol)

    def __iter__(self) -> Iterator[str]:
        return iter(self._session._attached().symbols())

    def __len__(self) -> int:
        return len(self._session._attached().symbols())
