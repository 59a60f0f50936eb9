//! Records out of a ring as DBN records.
//!
//! What arrives: the bytes of one [`Record`](crate::ring::Record). What leaves: the
//! [`RecordRef`](dbn::RecordRef) over the same bytes, or nothing where they are no record of this
//! DBN version: a ring is a claim, and `RecordRef` trusts its header.

use dbn::{
    BboMsg, CbboMsg, Cmbp1Msg, ErrorMsg, ImbalanceMsg, InstrumentDefMsg, MboMsg, Mbp1Msg, Mbp10Msg,
    OhlcvMsg, RType, RecordRef, StatMsg, StatusMsg, SymbolMappingMsg, SystemMsg, TradeMsg,
};

use crate::ring::Record;

impl<'a> Record<'a> {
    /// The record as a DBN record; `None` where its type is unknown or its length is not its type's.
    #[inline]
    #[allow(unsafe_code, reason = "dbn's references are made of bytes that are vouched for")]
    pub fn dbn(&self) -> Option<RecordRef<'a>> {
        let bytes = self.bytes();
        // The header begins with the length in words of four bytes, and the record's type.
        let (&[length_words, rtype], _) = bytes.split_first_chunk::<2>()?;
        let expected_bytes = length_bytes(RType::try_from(rtype).ok()?);
        if bytes.len() != expected_bytes || usize::from(length_words) * 4 != expected_bytes {
            return None;
        }
        // SAFETY: the bytes begin with a header, are aligned to eight bytes, as every record is, and
        // are as long as the type that the header names; the types of DBN records are plain numbers
        // and arrays of them, so any bytes are a value. The bytes are this reader's own copy and live
        // as long as the reference.
        Some(unsafe { RecordRef::new(bytes) })
    }
}

/// The length of a record of this type.
fn length_bytes(rtype: RType) -> usize {
    match rtype {
        RType::Mbo => size_of::<MboMsg>(),
        RType::Mbp0 => size_of::<TradeMsg>(),
        RType::Mbp1 | RType::Tbbo => size_of::<Mbp1Msg>(),
        RType::Mbp10 => size_of::<Mbp10Msg>(),
        #[allow(deprecated, reason = "the number is still a type's")]
        RType::OhlcvDeprecated => size_of::<OhlcvMsg>(),
        RType::Ohlcv1S | RType::Ohlcv1M | RType::Ohlcv1H | RType::Ohlcv1D | RType::OhlcvEod => {
            size_of::<OhlcvMsg>()
        }
        RType::Status => size_of::<StatusMsg>(),
        RType::InstrumentDef => size_of::<InstrumentDefMsg>(),
        RType::Imbalance => size_of::<ImbalanceMsg>(),
        RType::Error => size_of::<ErrorMsg>(),
        RType::SymbolMapping => size_of::<SymbolMappingMsg>(),
        RType::System => size_of::<SystemMsg>(),
        RType::Statistics => size_of::<StatMsg>(),
        RType::Cmbp1 | RType::Tcbbo => size_of::<Cmbp1Msg>(),
        RType::Cbbo1S | RType::Cbbo1M => size_of::<CbboMsg>(),
        RType::Bbo1S | RType::Bbo1M => size_of::<BboMsg>(),
    }
}

#[cfg(test)]
mod tests {
    use crate::ring::{Observed, open};
    use dbn::{InstrumentDefMsg, MboMsg, RecordRef, SystemMsg};

    /// Whether these bytes come out of a ring as a record, the same bytes.
    fn passes(bytes: &[u8]) -> bool {
        let (mut writer, mut reader) = open(64).unwrap();
        writer.push_bytes(bytes).unwrap();
        let Observed::Record(record) = reader.poll() else { panic!("nothing came out") };
        record.dbn().is_some_and(|record| record.as_ref() == bytes)
    }

    #[test]
    fn whole_records_pass_and_others_do_not() {
        let mbo = MboMsg { order_id: 7, ..MboMsg::default() };
        let definition = InstrumentDefMsg::default();
        let (mbo, system) = (RecordRef::from(&mbo), SystemMsg::default());
        for record in [mbo, RecordRef::from(&definition), RecordRef::from(&system)] {
            assert!(passes(record.as_ref()));
        }
        for length_bytes in 1..56 {
            assert!(!passes(&mbo.as_ref()[..length_bytes]));
        }
        let mut bytes = mbo.as_ref().to_vec();
        bytes[1] = dbn::rtype::SYSTEM;
        assert!(!passes(&bytes), "a type with another length");
        bytes[1] = 0xee;
        assert!(!passes(&bytes), "no type");
        bytes[1] = dbn::rtype::MBO;
        bytes[0] = 255;
        assert!(!passes(&bytes), "a length beyond the record");
    }
}
