//! Prints every record of a running appliance, across its restarts.
//!
//! ```sh
//! cargo run --example tail -- /run/wirebook/wirebook.sock
//! ```

use std::time::Duration;
use wirebook_client::{Next, Reattached, Session};

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).unwrap_or("/run/wirebook/wirebook.sock".to_owned());
    let mut session = Session::connect(path)?;
    let mut books = session.books()?;
    let mut records = session.records()?;
    loop {
        match records.next(Duration::from_secs(1)) {
            Next::Record(read) => {
                let instrument = books.directory().of(read.record.header());
                let symbol = instrument.map_or("-", |found| &found.symbol);
                println!("{symbol} {:?}", read.record);
            }
            Next::Overrun { shard, missed_slots } => {
                eprintln!("overrun: {missed_slots} slots of shard {shard} were missed");
            }
            Next::Nothing => {}
            Next::WriterGone => {
                eprintln!("the appliance is gone; waiting for the next");
                if session.reconnect(Duration::MAX)? == Reattached::NextStart {
                    books = session.books()?;
                    records = session.records()?.from_start();
                }
            }
        }
    }
}
