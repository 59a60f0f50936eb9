"""Reads a running Wirebook from shared memory: its records and its books.

    import wirebook

    with wirebook.connect("/run/wirebook/wirebook.sock") as session:
        print(session.books["AAPL"])
        for item in session.records(symbols=["AAPL"]):
            print(item)

Nothing that a reader does can slow, change or crash the appliance. What a reader misses is said,
never hidden: see `Overrun` and `WriterGone`. Times are nanoseconds since the UNIX epoch, prices
1e-9 of the currency, both as integers; a `pretty_price` is the same as a float.
"""

from wirebook._layout import dtype
from wirebook._records import Interrupted, Item, Reattached, Record, Records
from wirebook._session import Books, Session, connect
from wirebook._wirebook import Book, Level, Overrun, Trade, WriterGone

__all__ = [
    "Book",
    "Books",
    "Interrupted",
    "Item",
    "Level",
    "Overrun",
    "Reattached",
    "Record",
    "Records",
    "Session",
    "Trade",
    "WriterGone",
    "connect",
    "dtype",
]
