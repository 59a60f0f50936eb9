"""Keeps plain books from a DBN file with Databento's own package, and prints them as JSON.

Usage: book.py FILE.dbn[.zst]

Rules: Databento, "MBO schema" and "State management of resting orders". Add puts an order at the
end of its level's queue; Cancel takes its size away; Modify changes it and, where the price changes
or the size grows, sends it to the end of the queue; Clear empties the book; Trade, Fill and None
change nothing. With F_MBP a record is about a whole level, which `order_id` names, and with F_TOB it
replaces its side.

Prints {"dataset", "schema", "symbols", "records": {type: count}, "mbp_records": count of changes of
levels, "books": {instrument id: {"symbol", "bids", "asks", "sequence"}}, "ts_sent": {venue time: time of sending}}, where a
level is [price in billionths, size, orders].
"""

import collections
import json
import sys

import databento_dbn as dbn


class Book:
    def __init__(self):
        self.orders = {}  # id -> [side, price, size, is a whole level]
        self.queues = {"B": {}, "A": {}}  # side -> price -> ids, oldest first
        self.sequence = 0

    def apply(self, record):
        action, side = str(record.action), str(record.side)
        whole = bool(record.flags & (dbn.F_MBP | dbn.F_TOB))
        self.sequence = record.sequence
        if action == "R":
            self.orders.clear()
            self.queues = {"B": {}, "A": {}}
        elif action in ("A", "M"):
            if record.flags & dbn.F_TOB:
                for order_id in [i for i, order in self.orders.items() if order[0] == side]:
                    self.remove(order_id)
                if record.price == dbn.UNDEF_PRICE:
                    return
            if action == "A" and record.order_id in self.orders:
                # A snapshot says again what may be known.
                assert record.flags & dbn.F_SNAPSHOT, f"{record} is there already"
                self.remove(record.order_id)
            self.put(record.order_id, side, record.price, record.size, whole)
        elif action == "C":
            order = self.orders[record.order_id]
            assert order[:2] == [side, record.price], f"{record} is {order}"
            assert order[2] >= record.size > 0, f"{record} is {order}"
            order[2] -= record.size
            if order[2] == 0:
                self.remove(record.order_id)
        else:
            assert action in ("T", "F", "N"), action

    def put(self, order_id, side, price, size, whole):
        order = self.orders.get(order_id)
        if order and order[:2] == [side, price] and (whole or size <= order[2]):
            order[2] = size
            return
        if order:
            self.remove(order_id)
        self.orders[order_id] = [side, price, size, whole]
        self.queues[side].setdefault(price, []).append(order_id)

    def remove(self, order_id):
        side, price, _, _ = self.orders.pop(order_id)
        queue = self.queues[side][price]
        queue.remove(order_id)
        if not queue:
            del self.queues[side][price]

    def levels(self, side):
        for price in sorted(self.queues[side], reverse=side == "B"):
            orders = [self.orders[order_id] for order_id in self.queues[side][price]]
            yield [price, sum(o[2] for o in orders), sum(not o[3] for o in orders)]


def decoded(path):
    """The file's metadata and records, fed in pieces that no record ends with."""
    compression = dbn.Compression.ZSTD if path.endswith(".zst") else dbn.Compression.NONE
    decoder = dbn.DBNDecoder(compression=compression)
    with open(path, "rb") as file:
        while piece := file.read(99_991):
            decoder.write(piece)
            yield from decoder.decode()
    yield from decoder.decode()
    assert not decoder.buffer(), "the file ends within a record"


def main(path):
    records = decoded(path)
    metadata = next(records)
    symbols = {}
    for raw_symbol, intervals in metadata.mappings.items():
        for interval in intervals:
            symbols[int(interval["symbol"])] = raw_symbol
    books = collections.defaultdict(Book)
    counts = collections.Counter()
    mbp_records = 0
    first_and_last = [None, None]
    ts_sent = {}
    for record in records:
        counts[type(record).__name__] += 1
        if first_and_last[0] is None:
            first_and_last[0] = record.ts_index
        first_and_last[1] = record.ts_index
        assert metadata.start <= record.ts_index < metadata.end, record
        if isinstance(record, dbn.MBOMsg):
            books[record.instrument_id].apply(record)
            is_change = str(record.action) in ("A", "C", "M")
            mbp_records += bool(record.flags & dbn.F_MBP) and is_change
            ts_sent[record.ts_event] = record.ts_recv - record.ts_in_delta
    print(
        json.dumps(
            {
                "dataset": metadata.dataset,
                "schema": str(metadata.schema) if metadata.schema else None,
                "symbols": sorted(metadata.symbols),
                "first_and_last": first_and_last,
                "records": counts,
                "mbp_records": mbp_records,
                "books": {
                    instrument_id: {
                        "symbol": symbols.get(instrument_id),
                        "bids": list(book.levels("B")),
                        "asks": list(book.levels("A")),
                        "sequence": book.sequence,
                    }
                    for instrument_id, book in books.items()
                },
                "ts_sent": ts_sent,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
