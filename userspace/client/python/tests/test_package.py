"""What needs no appliance: layouts, errors, types."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import databento_dbn as dbn
import numpy
import wirebook
from wirebook import _records

MESSAGES = {
    "mbo": dbn.MBOMsg,
    "mbp-1": dbn.MBP1Msg,
    "mbp-10": dbn.MBP10Msg,
    "trades": dbn.TradeMsg,
    "ohlcv-1s": dbn.OHLCVMsg,
    "ohlcv-1m": dbn.OHLCVMsg,
    "ohlcv-1h": dbn.OHLCVMsg,
    "ohlcv-1d": dbn.OHLCVMsg,
    "definition": dbn.InstrumentDefMsg,
    "statistics": dbn.StatMsg,
    "status": dbn.StatusMsg,
    "imbalance": dbn.ImbalanceMsg,
}


def order() -> dbn.MBOMsg:
    return dbn.MBOMsg(
        publisher_id=2,
        instrument_id=3,
        ts_event=4,
        order_id=5,
        price=6_000_000_000,
        size=7,
        action=dbn.Action.ADD,
        side=dbn.Side.BID,
        ts_recv=8,
    )


class Layouts(unittest.TestCase):
    def test_fields_are_those_of_databento_dbn(self) -> None:
        for schema, message in MESSAGES.items():
            self.assertEqual(wirebook.dtype(schema), numpy.dtype(message._dtypes), schema)
            self.assertEqual(wirebook.dtype(schema).itemsize, message.size_hint, schema)

    def test_record_types_are_those_of_databento_dbn(self) -> None:
        for schema in MESSAGES:
            rtype = dbn.RType.from_schema(dbn.Schema.from_str(schema))
            self.assertEqual(_records.layout(schema)[0], int(rtype), schema)

    def test_a_schema_that_is_none_is_named(self) -> None:
        with self.assertRaisesRegex(ValueError, "mbo.*'mbq'"):
            wirebook.dtype("mbq")


class Objects(unittest.TestCase):
    def test_bytes_become_objects_of_databento_dbn(self) -> None:
        first, second = _records._decoder()(bytes(order()) * 2)
        self.assertIsInstance(first, dbn.MBOMsg)
        self.assertEqual(bytes(second), bytes(order()))

    def test_without_databento_dbn_records_have_header_and_bytes(self) -> None:
        raw = bytes(order())
        record, same = _records._plain(raw * 2)
        self.assertEqual(record, same)
        self.assertEqual(record, wirebook.Record(0xA0, 2, 3, 4, raw))
        self.assertEqual(bytes(record), raw)

    def test_databento_dbn_may_be_missing(self) -> None:
        script = (
            "import sys; sys.modules['databento_dbn'] = None\n"
            "from wirebook import _records\n"
            "assert _records._decoder() is _records._plain"
        )
        subprocess.run([sys.executable, "-I", "-c", script], check=True)


class Errors(unittest.TestCase):
    def test_nobody_there_is_an_os_error_with_the_path(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            nowhere = os.path.join(folder, "none.sock")
            with self.assertRaisesRegex(FileNotFoundError, "none.sock"):
                wirebook.connect(nowhere)
            stranger = Path(folder) / "file"
            stranger.write_text("")
            with self.assertRaises(ConnectionRefusedError):
                wirebook.connect(stranger)


class Types(unittest.TestCase):
    def assert_mypy(self, *command: str) -> None:
        # Away from the sources, so that the package is the one that is installed.
        with tempfile.TemporaryDirectory() as folder:
            call = [sys.executable, "-m", *command]
            mypy = subprocess.run(call, capture_output=True, text=True, cwd=folder)
        self.assertEqual(mypy.returncode, 0, mypy.stdout + mypy.stderr)

    def test_package_and_a_user_of_it_pass_mypy(self) -> None:
        self.assert_mypy("mypy", "--strict", "--package", "wirebook")
        self.assert_mypy("mypy", "--strict", str(Path(__file__).parent / "typed.py"))

    def test_stubs_are_those_of_the_native_half(self) -> None:
        self.assert_mypy("mypy.stubtest", "wirebook._wirebook")


if __name__ == "__main__":
    unittest.main()
