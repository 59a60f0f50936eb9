//! Where complete records go.

use dbn::RecordRef;

/// Takes complete DBN records, in the order in which the book made them.
///
/// Taking a record must not fail: an output ring laps its readers, a file writer buffers and
/// reports its error at the end.
pub trait RecordSink {
    /// Takes one record.
    fn record(&mut self, record: RecordRef<'_>);
}

/// Drops every record: for paths on which only the books matter.
impl RecordSink for () {
    fn record(&mut self, _record: RecordRef<'_>) {}
}

/// Keeps every record, for tests and tools.
impl RecordSink for Vec<dbn::RecordBuf> {
    fn record(&mut self, record: RecordRef<'_>) {
        self.push(record.to_owned());
    }
}
