//! From ITCH bytes to events: ours, and the parsers of others.
//!
//! All take the same length-prefixed messages of a generated day, and each sees every message. What
//! they do with it differs, and the names say so: *counting* ends at a typed view and a count by type, *events*
//! makes each message's venue-neutral event, 56 bytes, complete, in the next slot of a ring.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use std::fs;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;
use wirebook_benches::feed::{Feed, PART_MESSAGES, Part};
use wirebook_benches::rounds::{Contestant, Round, print_table};
use wirebook_benches::slots::Slots;
use wirebook_benches::{Host, InputArguments};
use wirebook_wire::{Decoder, Limits, Protocol, itch50};

#[derive(Parser)]
#[command(
    about = "What decoding costs, beside the parsers of others",
    after_help = "Example: scripts/bench decode --rounds 5 --messages 4000000"
)]
struct Arguments {
    /// Rounds, in each of which everyone takes the same messages.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    input: InputArguments,
    /// Where to write what was measured, as JSON.
    #[arg(long)]
    raw: Option<PathBuf>,
}

const OURS: &str = "wirebook, events";

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let host = Host::read();
    let mut all = Vec::new();
    for (name, config) in arguments.input.days() {
        for round in 0..arguments.rounds {
            let mut feed = Feed::new(config, arguments.input.packet_messages)?;
            let mut contestants = contestants();
            let mut round = Round::new(round, name, contestants.len());
            let mut part = Part::default();
            while feed.next_part(PART_MESSAGES, &mut part) {
                round.part(&mut contestants, &part)?;
            }
            all.extend(round.end(&contestants));
        }
        print_table(name, OURS, &all);
    }
    if let Some(path) = &arguments.raw {
        let run = json!({ "command": "scripts/bench decode", "host": host, "rounds": arguments.rounds,
            "input": arguments.input, "measurements": all });
        fs::write(path, serde_json::to_string_pretty(&run)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn contestants() -> Vec<Contestant<'static>> {
    let mut decoder = Decoder::new(Protocol::Itch50, 0, Limits::default());
    let mut slots = Slots::default();
    vec![
        Contestant { name: "framing alone", take: Box::new(frame) },
        Contestant {
            name: OURS,
            take: Box::new(move |part| decode(&mut decoder, &mut slots, part)),
        },
        Contestant { name: "wirebook, counting", take: Box::new(count) },
        Contestant { name: "itch5, counting", take: Box::new(itch5_count) },
        Contestant { name: "itchy, counting", take: Box::new(itchy_count) },
    ]
}

fn frame(part: &Part) {
    for packet in part.packets() {
        for message in packet.blocks.map_while(Result::ok) {
            black_box(message);
        }
    }
}

fn decode(decoder: &mut Decoder, slots: &mut Slots, part: &Part) {
    let mut known = 0;
    for packet in part.packets() {
        let messages = packet.blocks.map_while(Result::ok);
        let run = decoder.decode_run(messages, packet.sequence, slots);
        known += run.messages - run.unknown;
        slots.end_packet();
    }
    assert_eq!(known, part.messages, "a generated day has no message that we do not know");
}

fn count(part: &Part) {
    let mut counts = [0u64; 256];
    for packet in part.packets() {
        for message in packet.blocks.map_while(Result::ok) {
            if let Ok(view) = itch50::Message::parse(message) {
                counts[usize::from(message[0])] += 1;
                black_box(view);
            }
        }
    }
    black_box(counts);
}

/// A handler that counts each type, with every method its own.
struct Counts([u64; 256]);

macro_rules! count_each {
    ($($method:ident: $message:ident),+ $(,)?) => {
        impl itch5::MessageHandler for Counts {
            $(fn $method(&mut self, message: &itch5::messages::$message) -> ControlFlow<()> {
                self.0[usize::from(itch5::messages::$message::TAG)] += 1;
                black_box(message);
                ControlFlow::Continue(())
            })+
        }
    };
}

count_each! {
    on_system_event: SystemEvent,
    on_stock_directory: StockDirectory,
    on_add_order_no_mpid_attribution: AddOrderNoMPIDAttribution,
    on_add_order_with_mpid_attribution: AddOrderWithMPIDAttribution,
    on_order_executed: OrderExecuted,
    on_order_executed_with_price: OrderExecutedWithPrice,
    on_order_cancel: OrderCancel,
    on_order_delete: OrderDelete,
    on_order_replace: OrderReplace,
    on_trade: Trade,
    on_broken_trade: BrokenTrade,
    on_net_order_imbalance_indicator: NetOrderImbalanceIndicator,
}

fn itch5_count(part: &Part) {
    let mut counts = Counts([0; 256]);
    let parsed = itch5::Parser::new(&part.bytes).parse_stream(&mut counts);
    assert!(parsed.is_ok(), "{:?}", parsed.err());
    assert_eq!(black_box(counts).0.iter().sum::<u64>(), part.messages, "a message was not seen");
}

fn itchy_count(part: &Part) {
    let mut counts = [0u64; 256];
    for message in itchy::MessageStream::from_reader(&part.bytes[..]) {
        match message {
            Ok(message) => counts[usize::from(black_box(message).tag)] += 1,
            Err(error) => panic!("itchy: {error}"),
        }
    }
    assert_eq!(counts.iter().sum::<u64>(), part.messages, "a message was not seen");
}
