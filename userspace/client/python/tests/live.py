"""A reader of a live appliance, driven by userspace/appliance/tests/python_client.rs.

Called with a scenario, the appliance's socket, and a folder with what is true: `replayed.dbn`, what
a replay of the market makes, and `books.json`, the books that the market ends with. Says on standard
output where it stands, goes on where standard input says so, and fails by an exception.
"""

import faulthandler
import json
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic, sleep

import databento_dbn as dbn
import numpy
import wirebook

PATIENCE_S = 15.0
WHOLE_MARKET = 0
# Flags of a record, as DBN numbers them.
F_LAST, F_SNAPSHOT = 128, 32


def plain(record: dbn.DBNRecord) -> tuple[str, bytes]:
    """A record without what depends on when its packet came, by `databento_dbn`'s own layout."""
    fields = numpy.frombuffer(bytes(record), numpy.dtype(type(record)._dtypes)).copy()
    return type(record).__name__, without_receipt(fields).tobytes()


def without_receipt(fields: numpy.ndarray) -> numpy.ndarray:
    for name in {"ts_recv", "ts_in_delta"}.intersection(fields.dtype.names or ()):
        fields[name] = 0
    return fields


def by_instrument(records: Iterable[dbn.DBNRecord]) -> dict[int, list[tuple[str, bytes]]]:
    """What is of the whole market is made by each shard, in an order of its own: left out."""
    found = defaultdict(list)
    for record in records:
        is_name = isinstance(record, (dbn.SymbolMappingMsg, dbn.Metadata))
        if not is_name and record.instrument_id != WHOLE_MARKET:
            found[record.instrument_id].append(plain(record))
    return found


def replayed(folder: Path) -> list[dbn.DBNRecord]:
    decoder = dbn.DBNDecoder()
    decoder.write((folder / "replayed.dbn").read_bytes())
    return decoder.decode()


def say(word: str) -> None:
    print(word, flush=True)


def gone(event: object) -> bool:
    return isinstance(event, wirebook.WriterGone)


def batches(records: wirebook.Records, schema: str) -> numpy.ndarray:
    """All that comes of a schema until the appliance's end."""
    found = []
    while True:
        try:
            batch = records.batch(schema, 700, timeout=0.05)
        except wirebook.Interrupted as stop:
            assert gone(stop.event), stop
            return numpy.concatenate(found)
        assert batch.dtype == wirebook.dtype(schema)
        # Its own memory, and no more than was asked for.
        assert batch.base is not None and len(batch.base) == 700 and batch.base.base is None
        found.append(batch)


def same_as_replayed(array: numpy.ndarray, folder: Path, kind: type) -> None:
    raw = b"".join(bytes(record) for record in replayed(folder) if type(record) is kind)
    true = numpy.frombuffer(raw, numpy.dtype(kind._dtypes))
    assert array.dtype == true.dtype

    def comparable(fields: numpy.ndarray) -> numpy.ndarray:
        fields = fields[fields["instrument_id"] != WHOLE_MARKET]
        return without_receipt(fields[numpy.argsort(fields["instrument_id"], kind="stable")])

    array, true = comparable(array), comparable(true)
    assert len(true) > 0 and array.tobytes() == true.tobytes(), (kind, len(array), len(true))


def heal(socket: str, folder: Path) -> None:
    """Who comes when all has been said has every order by the refresh ring."""
    true = json.loads((folder / "books.json").read_text())
    orders = defaultdict(dict)
    whole = set()
    with wirebook.connect(socket) as session:
        stream = session.records(heal=True)
        while len(whole) < len(true):
            record = stream.next(PATIENCE_S)
            assert record is not None, whole
            if not isinstance(record, dbn.MBOMsg):
                continue
            assert record.flags & F_SNAPSHOT, record
            book = orders[session.symbol(record)]
            if record.action == dbn.Action.CLEAR:
                book.clear()
            elif record.action == dbn.Action.ADD:
                book[record.order_id] = (record.side, record.price, record.size)
            if record.flags & F_LAST:
                whole.add(session.symbol(record))
        for symbol, sides in true.items():
            assert session.books[symbol].stale_reason is None
            for name, side, best_first in [("bids", dbn.Side.BID, -1), ("asks", dbn.Side.ASK, 1)]:
                levels = defaultdict(lambda: [0, 0])
                for of, price, size in orders[symbol].values():
                    if of == side:
                        levels[price] = [levels[price][0] + size, levels[price][1] + 1]
                prices = sorted(levels, key=lambda price: best_first * price)[:10]
                found = [[price, *levels[price]] for price in prices]
                assert found == sides[name], (symbol, name, found, sides[name])


def records(socket: str, folder: Path) -> None:
    """Objects and batches at once, in two threads, are a replay's."""
    with wirebook.connect(socket) as session:
        assert session.shards == 2 and session.writer_pid > 0 and session.epoch > 0
        stream, other = session.records(), session.records(wait="spin-then-yield")
        one_shard = session.records(shard=1)
        symbols = sorted(json.loads((folder / "books.json").read_text()))[:2]
        some = session.records(symbols=symbols)
        arrays = []
        thread = threading.Thread(target=lambda: arrays.append(batches(other, "mbo")))
        thread.start()
        say("ready")
        items = [stream.next() for _ in range(3_000)]
        # Joins in the midst of it, with records taken ahead that are in the book already.
        late = session.records(from_start=True)
        assert late.next(0) is not None
        book = late.join(symbols[0])
        items += stream
        thread.join()
        assert gone(items.pop())
        true = by_instrument(replayed(folder))
        mine = by_instrument(items)
        assert mine.keys() == true.keys() and sum(map(len, true.values())) > 6_000
        for instrument, expected in true.items():
            assert mine[instrument] == expected, f"{instrument}: {len(expected)} records"
        same_as_replayed(arrays[0], folder, dbn.MBOMsg)
        after = [
            plain(record)
            for record in replayed(folder)
            if isinstance(record, dbn.MBOMsg)
            and record.instrument_id == book.instrument_id
            and record.sequence > book.sequence
        ]
        late_orders = (record for record in late if isinstance(record, dbn.MBOMsg))
        assert by_instrument(late_orders)[book.instrument_id] == after and book.sequence > 0 and after
        # A batch goes on behind an object, with what was taken ahead of it.
        again = session.records(from_start=True)
        first = again.next(PATIENCE_S)
        while not isinstance(first, dbn.MBOMsg):
            first = again.next(PATIENCE_S)
        assert len(batches(again, "mbo")) == len(arrays[0]) - 1
        # All at once, more than are read between two looks for signals.
        whole = session.records(from_start=True).batch("mbo", len(arrays[0]), timeout=PATIENCE_S)
        assert len(whole) > 5_000
        same_as_replayed(whole, folder, dbn.MBOMsg)
        same_as_replayed(batches(session.records(from_start=True), "status"), folder, dbn.StatusMsg)
        definitions = batches(session.records(from_start=True), "definition")
        same_as_replayed(definitions, folder, dbn.InstrumentDefMsg)
        # By shard, and by symbol.
        shard = by_instrument(item for item in one_shard if not gone(item))
        assert {instrument % 2 for instrument in shard} == {1}
        assert all(shard[instrument] == true[instrument] for instrument in shard)
        named = [item for item in some if not gone(item)]
        assert {session.symbol(record) for record in named} == set(symbols)
        named = by_instrument(named)
        assert all(named[instrument] == true[instrument] for instrument in named)
    try:
        stream.next()
        raise AssertionError("records of a closed session")
    except ValueError:
        pass


def true_books(folder: Path) -> dict[str, dict[str, list[list[int]]]]:
    return json.loads((folder / "books.json").read_text())


def assert_books(books: wirebook.Books, folder: Path) -> None:
    def levels(side: list[wirebook.Level]) -> list[list[int]]:
        return [[level.price, level.size, level.orders] for level in side]

    true = true_books(folder)

    def found() -> dict[str, dict[str, list[list[int]]]]:
        return {s: {"bids": levels(b.bids), "asks": levels(b.asks)} for s, b in books.items()}

    end = monotonic() + PATIENCE_S
    while found() != true and monotonic() < end:
        sleep(0.02)
    assert found() == true, (found(), true)
    assert all(book.state == "live" for book in books.values())


def books(socket: str, folder: Path) -> None:
    """The board's books are the market's."""
    session = wirebook.connect(socket)
    assert_books(session.books, folder)
    true = true_books(folder)
    assert len(session.books) == len(true) and set(session.books) == set(true)
    symbol = next(iter(true))
    book = session.books[symbol]
    assert symbol in session.books and "NOSUCH" not in session.books and 7 not in session.books
    assert session.books.get("NOSUCH") is None
    try:
        session.books["NOSUCH"]
        raise AssertionError("a book of nothing")
    except KeyError as error:
        assert error.args == ("NOSUCH",)
    assert book.symbol == symbol and book.sequence > 0 and book.cursor > 0
    assert 0 < book.ts_event < book.ts_recv
    assert book.bids[0].pretty_price == book.bids[0].price / 1e9 < book.asks[0].pretty_price
    trades = [r for r in replayed(folder) if isinstance(r, dbn.MBOMsg) and r.action == "T"]
    last = [r for r in trades if r.instrument_id == book.instrument_id][-1]
    assert book.last_trade is not None
    assert (book.last_trade.price, book.last_trade.size) == (last.price, last.size)
    session.close()
    try:
        session.books[symbol]
        raise AssertionError("a book of a closed session")
    except ValueError:
        pass


def restart(socket: str, folder: Path) -> None:
    """A stream and its session go on by themselves with the next start, from its first record."""
    session = wirebook.connect(socket)
    first = session.epoch
    stream = session.records(reattach=True)
    other = session.records(reattach=True)
    say("ready")
    assert gone(next(stream))
    say("gone")
    assert sys.stdin.readline() == "go\n"
    event = next(stream)
    assert isinstance(event, wirebook.Reattached) and event.is_next_start
    assert event.epoch == session.epoch != first
    # A second stream finds the session there already, whichever way it asks.
    events = []
    for _ in range(2):
        try:
            other.batch("mbo", 1, timeout=PATIENCE_S)
        except wirebook.Interrupted as stop:
            events.append(stop.event)
    assert gone(events[0]) and events[1] == event, events
    say("back")
    true = [record for record in replayed(folder) if isinstance(record, dbn.MBOMsg)]
    found: list[dbn.DBNRecord] = []
    for item in stream:
        if isinstance(item, dbn.MBOMsg):
            found.append(item)
        if len(found) == len(true):
            break
    assert by_instrument(found) == by_instrument(true)
    assert_books(session.books, folder)
    say("whole")
    try:
        while True:
            stream.next()
    except KeyboardInterrupt:
        say("interrupted")


def overrun(socket: str, folder: Path) -> None:
    """What a reader missed is said: as an item, and by a batch."""
    session = wirebook.connect(socket)
    stream, other = session.records(), session.records()
    say("ready")
    assert sys.stdin.readline() == "go\n"
    item = stream.next(PATIENCE_S)
    assert isinstance(item, wirebook.Overrun) and item.shard == 0 and item.missed_slots > 1_024
    try:
        other.batch("mbo", 10)
        raise AssertionError("a batch behind an overrun")
    except wirebook.Interrupted as stop:
        assert stop.event == item
    assert len(other.batch("mbo", 10, timeout=0.01)) == 0
    assert other.next(timeout=0.01) is None


SCENARIOS: list[Callable[[str, Path], None]] = [records, heal, books, restart, overrun]

if __name__ == "__main__":
    # A shell may have started the tests with SIGINT ignored, which is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.dump_traceback_later(90, exit=True)
    scenario, socket, folder = sys.argv[1:]
    next(s for s in SCENARIOS if s.__name__ == scenario)(socket, Path(folder))
