"""The native half: what it promises is said in its sources, src/."""

import os
from typing import Literal, final

import numpy
import numpy.typing

__all__ = ["Attachment", "Book", "Level", "Overrun", "Reader", "Trade", "WriterGone"]

@final
class Level:
    """One price of a book."""

    __match_args__ = ("price", "size", "orders")
    @property
    def price(self) -> int:
        """Price, 1e-9."""
    @property
    def size(self) -> int:
        """Size of all orders."""
    @property
    def orders(self) -> int:
        """Number of orders."""
    @property
    def pretty_price(self) -> float:
        """The price as a float: to look at, not to compare."""

@final
class Trade:
    """The last trade of an instrument."""

    __match_args__ = ("price", "size")
    @property
    def price(self) -> int:
        """Price, 1e-9."""
    @property
    def size(self) -> int:
        """Size."""
    @property
    def pretty_price(self) -> float:
        """The price as a float: to look at, not to compare."""

@final
class Book:
    """The ten best levels of one book at one moment."""

    @property
    def symbol(self) -> str:
        """The venue's name for the instrument."""
    @property
    def instrument_id(self) -> int:
        """The instrument's id, as in its records."""
    @property
    def publisher_id(self) -> int:
        """DBN publisher id, as in its records."""
    @property
    def state(self) -> Literal["warming", "live", "healing", "stale"]:
        """What the book says of itself; only a live one is right."""
    @property
    def stale_reason(
        self,
    ) -> Literal["gap", "unknown-order", "limit", "fault", "self-check", "removed", "unknown"] | None:
        """Why it is stale; `None` where it is not."""
    @property
    def bids(self) -> list[Level]:
        """Up to ten levels, best bid first."""
    @property
    def asks(self) -> list[Level]:
        """Up to ten levels, best ask first."""
    @property
    def last_trade(self) -> Trade | None:
        """The last trade, where there was one."""
    @property
    def sequence(self) -> int:
        """Venue sequence of the last event in the book."""
    @property
    def ts_event(self) -> int:
        """Venue time of that event, nanoseconds since the UNIX epoch."""
    @property
    def ts_recv(self) -> int:
        """Receive time of that event, nanoseconds since the UNIX epoch."""
    @property
    def cursor(self) -> int:
        """Where in its shard's ring the records begin that are not in the book: see `Records.join`."""

@final
class Overrun:
    """The appliance has lapped this reader, which goes on at the newest record."""

    __match_args__ = ("shard", "missed_slots")
    @property
    def shard(self) -> int:
        """Of this shard."""
    @property
    def missed_slots(self) -> int:
        """Slots of 64 bytes that were missed: an order's record takes one, others up to ten."""

@final
class WriterGone:
    """The appliance has not moved its heartbeat for two seconds: its books stand still."""

@final
class Attachment:
    def __new__(cls, path: str | os.PathLike[str]) -> Attachment: ...
    @property
    def epoch(self) -> int: ...
    @property
    def shards(self) -> int: ...
    @property
    def writer_pid(self) -> int: ...
    def book(self, symbol: str) -> Book: ...
    def has_book(self, symbol: str) -> bool: ...
    def symbols(self) -> list[str]: ...
    def symbol(self, publisher_id: int, instrument_id: int) -> str | None: ...
    def reader(
        self,
        shard: int | None,
        symbols: set[str] | None,
        from_start: bool,
        wait: str,
        heal: bool,
    ) -> Reader: ...
    def reconnect(self, timeout: float | None) -> bool: ...

@final
class Reader:
    @property
    def epoch(self) -> int: ...
    def take(
        self, limit: int, timeout: float | None
    ) -> bytes | Overrun | WriterGone | None: ...
    def join(self, symbol: str, timeout: float | None) -> Book: ...
    def fill(
        self, into: numpy.typing.NDArray[numpy.uint8], rtype: int, timeout: float | None
    ) -> int | Overrun | WriterGone: ...
