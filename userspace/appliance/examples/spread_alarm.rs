//! A user's own machine: an alarm where a book's spread is wide against its moving average.
//!
//! `cargo run --example spread_alarm -- wirebook.toml` runs the appliance with it behind each book.

use wirebook::Appliance;
use wirebook_machine::{Fault, Machine, SavedStateError, restore_state, save_state};
use wirebook_model::RecordSink;
use wirebook_model::dbn::{Mbp1Msg, RecordHeader, RecordRef, StatMsg, UNDEF_PRICE, rtype};

/// The `stat_type` of an alarm; DBN leaves numbers from 10000 on to venues.
const SPREAD_ALARM: u16 = 30_001;

/// Raises an alarm where the spread is `factor` times its average over some 64 tops.
#[derive(Clone)]
struct SpreadAlarm {
    factor: i64,
    /// 64 times the average, 1e-9; 0 before the first top of two sides.
    average_64: i64,
}

impl SpreadAlarm {
    fn new(factor: i64) -> Self {
        Self { factor, average_64: 0 }
    }

    fn alarm(top: &Mbp1Msg, spread: i64) -> StatMsg {
        let RecordHeader { publisher_id, instrument_id, ts_event, .. } = top.hd;
        let hd =
            RecordHeader::new::<StatMsg>(rtype::STATISTICS, publisher_id, instrument_id, ts_event);
        StatMsg { hd, stat_type: SPREAD_ALARM, price: spread, ..StatMsg::default() }
    }
}

impl Machine for SpreadAlarm {
    fn record(&mut self, record: RecordRef<'_>, out: &mut dyn RecordSink) -> Result<(), Fault> {
        let Some(top) = record.get::<Mbp1Msg>() else { return Ok(()) };
        let [best] = &top.levels;
        if best.bid_px == UNDEF_PRICE || best.ask_px == UNDEF_PRICE || top.flags.is_maybe_bad_book()
        {
            return Ok(());
        }
        let spread = best.ask_px - best.bid_px;
        if self.average_64 > 0 && spread > self.average_64 / 64 * self.factor {
            out.record((&Self::alarm(top, spread)).into());
        }
        let before = if self.average_64 == 0 { spread * 64 } else { self.average_64 };
        self.average_64 = before - before / 64 + spread;
        Ok(())
    }

    fn save(&self, bytes: &mut Vec<u8>) {
        save_state(1, &self.average_64, bytes);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), SavedStateError> {
        self.average_64 = restore_state(1, bytes)?;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let config = std::env::args_os().nth(1).unwrap_or_else(|| "wirebook.toml".into());
    let finished =
        Appliance::from_config(config)?.machine("spread-alarm", SpreadAlarm::new(3)).run()?;
    println!("{}", finished.summary);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirebook_model::dbn::RecordBuf;

    fn alarms(spreads: &[i64]) -> Vec<i64> {
        let mut alarm = SpreadAlarm::new(3);
        let mut records: Vec<RecordBuf> = Vec::new();
        for spread in spreads {
            let mut top = Mbp1Msg::default();
            (top.levels[0].bid_px, top.levels[0].ask_px) = (1_000, 1_000 + spread);
            alarm.record((&top).into(), &mut records).expect("it has no invariant to fail");
        }
        records.iter().filter_map(|record| Some(record.get::<StatMsg>()?.price)).collect()
    }

    #[test]
    fn only_a_spread_far_above_the_average_is_told() {
        assert!(alarms(&[10, 11, 9, 12, 10]).is_empty());
        assert_eq!(alarms(&[10, 11, 9, 50, 10]), [50]);
    }
}
