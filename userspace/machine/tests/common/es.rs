//! The two files of real CME order-by-order flow, in order.

use dbn::MboMsg;
use dbn::decode::{DbnDecoder, DecodeRecord};

/// The instrument in both files (ESH4).
pub(crate) const INSTRUMENT: u32 = 17077;

/// All records of both files; `None` where they are absent.
pub(crate) fn records() -> Option<Vec<MboMsg>> {
    let mut records = Vec::new();
    for day in ["20231224", "20231225"] {
        let file = super::data(&format!("dbn-mbo/esh4-glbx-mdp3-{day}.mbo.dbn.zst"))?;
        let mut decoder = DbnDecoder::from_zstd_file(file).unwrap();
        while let Some(record) = decoder.decode_record::<MboMsg>().unwrap() {
            records.push(record.clone());
        }
    }
    assert_eq!(records.len(), 8_725 + 68_792);
    Some(records)
}
