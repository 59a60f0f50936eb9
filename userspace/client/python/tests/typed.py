"""A user of the package, as mypy --strict reads it; never run."""

import databento_dbn
import numpy
import numpy.typing
import wirebook


def volume(path: str, symbol: str) -> int:
    total = 0
    with wirebook.connect(path) as session:
        book: wirebook.Book = session.books[symbol]
        best: list[wirebook.Level] = book.bids[:1]
        total += sum(level.size for level in best)
        for item in session.records(symbols=[symbol], reattach=True):
            if isinstance(item, databento_dbn.TradeMsg):
                total += item.size
            elif isinstance(item, wirebook.Overrun):
                total -= item.missed_slots
            elif isinstance(item, wirebook.WriterGone):
                break
    return total


def sizes(records: wirebook.Records) -> numpy.typing.NDArray[numpy.void]:
    try:
        return records.batch("trades", 1_000, timeout=0.1)
    except wirebook.Interrupted as stop:
        if isinstance(stop.event, wirebook.Reattached):
            print(stop.event.epoch)
        raise
