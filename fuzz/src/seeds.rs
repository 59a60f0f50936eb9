//! Inputs of the right shape, made from a number.
//!
//! Flow is the simulator's: frames and packets as it sends them, books, records and segments as our
//! own code makes them of that flow; steps are drawn. Nothing is copied from a capture.

use crate::{book, channel, retransmit, segment};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::io::Write;
use wirebook_machine::{Books, Limits};
use wirebook_model::dbn::encode::dbn::MetadataEncoder;
use wirebook_model::dbn::{Metadata, RecordBuf, SType};
use wirebook_model::{Event, Side, VenueEvent};
use wirebook_shm::board::{Cell, CellLevel};
use wirebook_simulator::{Line, Market, MarketConfig, PacketConfig, Packets, pcap};
use wirebook_wire::soupbintcp::{ClientPacket, LoginRequest, ServerPacket};
use wirebook_wire::{
    Decoder, Limits as DecoderLimits, Protocol, Transport, TransportPacket, glimpse, iex_deep,
    iex_tops, itch50,
};
use zerocopy::IntoBytes;

/// A number of a stream of its own for each kind of seed.
fn random(number: u64) -> Pcg64Mcg {
    Pcg64Mcg::seed_from_u64(number)
}

fn bytes(random: &mut Pcg64Mcg, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill_bytes(&mut bytes);
    bytes
}

/// The input with a few bytes changed, and sometimes cut.
#[cfg(test)]
pub(crate) fn bent(number: u64, seed: &[u8]) -> Vec<u8> {
    let mut random = random(number);
    let mut bent = seed.to_vec();
    for _ in 0..3 {
        if let Some(byte) = bent.get_mut(random.random_range(0..seed.len().max(1))) {
            *byte = random.random();
        }
    }
    if random.random_bool(0.3) {
        bent.truncate(random.random_range(0..=seed.len()));
    }
    bent
}

/// A small day's packets, from its directory to its end.
fn payloads(number: u64) -> Vec<Vec<u8>> {
    let market = MarketConfig { seed: number, instruments: 3, messages: 300, ..Default::default() };
    let market = Market::new(market).expect("enough messages for the instruments");
    let config = PacketConfig { messages_max: 6, linger_ns: 40_000_000, ..Default::default() };
    Packets::new(market, config).map(|packet| packet.payload).collect()
}

pub(crate) fn itch50_payloads(number: u64) -> Vec<Vec<u8>> {
    let mut random = random(number);
    let every_type = itch50::Message::LENGTHS.iter().map(|&(kind, length)| {
        let mut message = bytes(&mut random, length);
        message[0] = kind;
        // Of an instrument, and early in the day.
        message[1..7].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
        let header = b"WIREBOOK01\0\0\0\0\0\0\0\x01\0\x01\0";
        [&header[..], &[length as u8], &message].concat()
    });
    let every_type: Vec<_> = every_type.collect();
    let flow = payloads(number).into_iter().step_by(7);
    every_type.into_iter().chain(flow).chain(far_payloads(number)).collect()
}

/// Packets of numbers that no stream reaches, from which whoever counts on overflows.
fn far_payloads(number: u64) -> impl Iterator<Item = Vec<u8>> {
    let far = |(mut payload, from_end): (Vec<u8>, u64)| {
        // MoldUDP64 1.00: the session's ten characters, then the sequence number.
        payload[10..18].copy_from_slice(&(u64::MAX - from_end).to_be_bytes());
        payload
    };
    // The last ones, a heartbeat and the end of the session, are of no messages.
    payloads(number).into_iter().rev().take(8).zip([0, 1, 2, 0, 1, 2, 5, 65_535]).map(far)
}

pub(crate) fn iex_deep_payloads(number: u64) -> Vec<Vec<u8>> {
    iex_payloads(Protocol::IexDeep, iex_deep::Message::LENGTHS, number)
}

pub(crate) fn iex_tops_payloads(number: u64) -> Vec<Vec<u8>> {
    iex_payloads(Protocol::IexTops, iex_tops::Message::LENGTHS, number)
}

/// Segments of one and of several messages, of every type.
fn iex_payloads(protocol: Protocol, lengths: &[(u8, usize)], number: u64) -> Vec<Vec<u8>> {
    let mut random = random(number);
    let messages: Vec<_> =
        lengths.iter().map(|&(kind, length)| iex_message(&mut random, kind, length)).collect();
    let one = messages.iter().map(|message| iex_segment(protocol, std::slice::from_ref(message)));
    let several = messages.chunks(4).map(|messages| iex_segment(protocol, messages));
    let heartbeat = iex_segment(protocol, &[]);
    one.chain(several).chain([heartbeat]).collect()
}

/// DEEP 1.0 and TOPS 1.6: type, a byte, a time, and in most messages a symbol and then numbers.
fn iex_message(random: &mut Pcg64Mcg, kind: u8, length: usize) -> Vec<u8> {
    let mut message = vec![0; length];
    message[0] = kind;
    message[1] = *b"HTOPR 01X".get(random.random_range(0..9)).unwrap_or(&0);
    let time = 1_700_000_000_000_000_000_u64 + random.random_range(0..1_000_000);
    message[2..10].copy_from_slice(&time.to_le_bytes());
    for (at, byte) in message.iter_mut().enumerate().skip(10) {
        *byte = match at {
            10..18 => b"WB      "[at - 10],
            _ => random.random_range(0..2) * random.random::<u8>() % 16,
        };
    }
    if let Some(byte) = message.get_mut(12) {
        *byte = random.random_range(b'A'..=b'E');
    }
    message
}

/// IEX-TP 1.25, "Header": what follows the lengths is little-endian.
fn iex_segment(protocol: Protocol, messages: &[Vec<u8>]) -> Vec<u8> {
    let Transport::IexTp { message_protocol_id } = protocol.transport() else { return Vec::new() };
    let blocks: Vec<u8> = messages
        .iter()
        .flat_map(|message| [&(message.len() as u16).to_le_bytes()[..], message].concat())
        .collect();
    let mut segment = vec![1, 0];
    segment.extend(message_protocol_id.to_le_bytes());
    segment.extend([1_u32, 1_286_602_752].as_bytes());
    segment.extend([blocks.len() as u16, messages.len() as u16].as_bytes());
    segment.extend([9_u64, 1, 1_700_000_000_000_000_000].as_bytes());
    segment.extend(blocks);
    segment
}

pub(crate) fn frames(number: u64) -> Vec<Vec<u8>> {
    let line = Line::new("239.192.12.111:26477".parse().expect("a group"));
    let payloads = itch50_payloads(number).into_iter().step_by(5);
    let payloads = payloads.chain(iex_deep_payloads(number).into_iter().step_by(5));
    let framed = payloads.enumerate().map(|(at, payload)| {
        let mut frame = Vec::new();
        line.frame(&payload, &mut frame);
        match at % 4 {
            // In no VLAN, in one, in two, and with padding.
            1 => drop(frame.splice(12..12, [0x81, 0, 0, 141])),
            2 => drop(frame.splice(12..12, [0x88, 0xa8, 0, 7, 0x81, 0, 0, 9])),
            3 => frame.resize(frame.len() + 6, 0),
            _ => {}
        }
        frame
    });
    framed.collect()
}

pub(crate) fn frame_lists(number: u64) -> Vec<Vec<u8>> {
    let line = Line::new("239.192.12.111:26477".parse().expect("a group"));
    let days = [payloads(number), iex_deep_payloads(number), iex_tops_payloads(number)];
    let listed = days.iter().zip(0..).flat_map(|(payloads, protocol)| {
        payloads.chunks(12).map(move |payloads| {
            let mut list = vec![protocol];
            for payload in payloads {
                let mut frame = Vec::new();
                line.frame(payload, &mut frame);
                list.extend((frame.len() as u16).to_le_bytes());
                list.push((payload.len() % 7) as u8);
                list.extend(frame);
            }
            list
        })
    });
    listed.collect()
}

/// The events of a small day.
fn events(number: u64) -> Vec<Event> {
    let mut decoder = Decoder::new(Protocol::Itch50, 0, DecoderLimits::default());
    let mut events = Vec::new();
    for payload in payloads(number) {
        let packet = TransportPacket::parse(Protocol::Itch50.transport(), &payload)
            .expect("the simulator's own packet");
        for (sequence, block) in (packet.sequence..).zip(packet.blocks) {
            let message = block.expect("the simulator's own message");
            let _outcome = decoder.decode(message, sequence, &mut events);
        }
    }
    events
}

pub(crate) fn event_words(number: u64) -> Vec<Vec<u8>> {
    let words = |event: &Event| event.encode().as_slice().as_bytes().to_vec();
    events(number).iter().step_by(9).map(words).collect()
}

/// Steps of a market's flow, as far as their bytes can say it, and drawn ones.
pub(crate) fn book_steps(number: u64) -> Vec<Vec<u8>> {
    let steps: Vec<_> = events(number).iter().filter_map(book_step).collect();
    let mut flow: Vec<_> = steps.chunks(60).map(|steps| steps.as_flattened().to_vec()).collect();
    let mut random = random(number);
    flow.extend((1..4).map(|length| bytes(&mut random, length * length * 8 * book::STEP_BYTES)));
    flow.push(book::resized_orders());
    flow
}

fn book_step(event: &Event) -> Option<[u8; book::STEP_BYTES]> {
    let side = |side| if side == Side::Bid { 8 } else { 64 };
    let price = |price: i64| (price / 10_000_000 % 40) as u8;
    let size = |size: u32| (size / 100 % 50 * 4) as u8;
    let who = event.header.instrument_id as u8 % 3 * 2;
    Some(match event.body {
        VenueEvent::Add { order_id, side: of, price: at, size: shares } => {
            [1, who + side(of), 0, order_id as u8, 99, price(at), size(shares)]
        }
        VenueEvent::Execute { order_id, size: shares, .. } => {
            [6, who, 0, order_id as u8, 0, i8::MAX as u8, size(shares)]
        }
        VenueEvent::Reduce { order_id, size: shares } => {
            [8, who, 0, order_id as u8, 0, 0, size(shares)]
        }
        VenueEvent::Delete { order_id } => [10, who, 0, order_id as u8, 0, 0, 0],
        VenueEvent::Replace { order_id, new_order_id, price: at, size: shares } => {
            [11, who, 0, order_id as u8, new_order_id as u8, price(at), size(shares)]
        }
        _ => return None,
    })
}

pub(crate) fn saved_books(number: u64) -> Vec<Vec<u8>> {
    let of = |steps: &Vec<u8>| {
        let saved = book::saved(steps);
        [[&[0], &saved[..]].concat(), [&[1], &saved[..]].concat()]
    };
    let twice = [&[1], &book::saved_with_a_price_twice()[..]].concat();
    book_steps(number).iter().flat_map(of).chain([twice]).collect()
}

pub(crate) fn channel_steps(number: u64) -> Vec<Vec<u8>> {
    let mut random = random(number);
    let flow = (0..8_u8).map(|policy| {
        // Packets in order on two lines, some lost, now and then a tick, then a snapshot.
        let mut steps = vec![policy * 9];
        for first in (0..200).step_by(4) {
            for line in 0..2_u8 {
                if random.random_bool(0.8) {
                    steps.extend([line, first, 4, 0]);
                }
            }
            if random.random_bool(0.3) {
                steps.extend([9, random.random_range(0..30), 0, 0]);
            }
        }
        steps.extend([[12, 0, 0, 0], [13, 200, 0, 0], [0, 200, 4, 0]].as_flattened());
        steps
    });
    let flow: Vec<_> = flow.collect();
    flow.into_iter().chain([bytes(&mut random, 100 * channel::STEP_BYTES)]).collect()
}

pub(crate) fn retransmit_steps(number: u64) -> Vec<Vec<u8>> {
    let mut random = random(number);
    let mut steps = Vec::new();
    for first in (0..200).step_by(20) {
        steps.extend([0, first, 15, 0]);
        steps.extend([2, first, 10, 0]);
        steps.extend([2, first + 10, random.random_range(0..6), 0]);
        steps.extend([6, random.random_range(0..80), 0, 0]);
    }
    vec![steps, bytes(&mut random, 60 * retransmit::STEP_BYTES)]
}

/// Snapshots as a server sends them, with everything that may stand around.
pub(crate) fn soup_streams(number: u64) -> Vec<Vec<u8>> {
    let mut stream = vec![number as u8];
    let mut say = |packet: ServerPacket<'_>| packet.write(&mut stream).expect("short packets");
    say(ServerPacket::Debug(b"hello"));
    say(ServerPacket::LoginAccepted { session: *b"WIREBOOK01", sequence: 1 });
    for payload in payloads(number).iter().take(8) {
        let packet = TransportPacket::parse(Protocol::Itch50.transport(), payload);
        for block in packet.expect("the simulator's own packet").blocks {
            say(ServerPacket::SequencedData(block.expect("the simulator's own message")));
        }
        say(ServerPacket::Heartbeat);
    }
    say(ServerPacket::SequencedData(&glimpse::end_of_snapshot(number + 1)));
    say(ServerPacket::Unknown(b'?'));
    say(ServerPacket::EndOfSession);
    let mut refused = vec![3];
    let reason = wirebook_wire::soupbintcp::RejectReason::NotAuthorised;
    ServerPacket::LoginRejected(reason).write(&mut refused).expect("a short packet");
    vec![stream, refused]
}

pub(crate) fn soup_logins(number: u64) -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    let login = LoginRequest::new("user", "pass", "WIREBOOK01", number % 3).expect("short fields");
    for packet in [
        ClientPacket::Debug(b"hello"),
        ClientPacket::LoginRequest(login),
        ClientPacket::Heartbeat,
        ClientPacket::UnsequencedData(b"?"),
        ClientPacket::LogoutRequest,
    ] {
        packet.write(&mut stream).expect("short packets");
    }
    vec![stream]
}

pub(crate) fn configs(_number: u64) -> Vec<Vec<u8>> {
    let files = [
        include_str!("../../deploy/feeds/demo.toml"),
        include_str!("../../deploy/feeds/iex-deep.toml"),
        include_str!("../../deploy/feeds/iex-tops.toml"),
        include_str!("../../deploy/feeds/nasdaq-totalview.toml"),
    ];
    files.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Records of a small day's books.
fn records(number: u64) -> Vec<RecordBuf> {
    let mut books =
        Books::new(Limits { instruments: 4, orders: 400, levels: 400 }).expect("small tables");
    let mut records = Vec::new();
    events(number).iter().for_each(|event| books.apply(event, &mut records));
    records
}

pub(crate) fn captures(number: u64) -> Vec<Vec<u8>> {
    let frames = frames(number);
    let mut pcap = pcap::FILE_HEADER.to_vec();
    for (frame, at) in frames.iter().zip(0..) {
        pcap.extend(pcap::packet_header(1_700_000_000_000_000_000 + at, frame.len() as u32));
        pcap.extend(frame);
    }
    let mut daily = Vec::new();
    for message in payloads(number).iter().take(4).flat_map(|payload| {
        let packet = TransportPacket::parse(Protocol::Itch50.transport(), payload);
        packet.expect("the simulator's own packet").blocks.flatten().collect::<Vec<_>>()
    }) {
        daily.extend((message.len() as u16).to_be_bytes());
        daily.extend(message);
    }
    let dbn = dbn_file(&records(number));
    let mut packed = zstd::Encoder::new(Vec::new(), 1).expect("a level that zstd has");
    packed.write_all(&dbn).expect("room in memory");
    let packed = packed.finish().expect("room in memory");
    vec![pcap, pcapng(&frames), daily, dbn, packed]
}

/// A section, an interface and packets, little-endian (draft-ietf-opsawg-pcapng, 4.1 to 4.3).
fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = (12 + body.len() + padding) as u32;
        let mut block = [kind, length].as_bytes().to_vec();
        block.extend(body);
        block.resize(block.len() + padding, 0);
        block.extend(length.to_le_bytes());
        block
    };
    let mut file = block(
        0x0a0d_0d0a,
        &[&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat(),
    );
    // Ethernet; a resolution of nanoseconds (option 9) and the end of options.
    file.extend(block(1, &[1, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]));
    for frame in frames {
        let length = frame.len() as u32;
        let head = [0_u32, 0x1797_9cfe, 0x362a_0000, length, length];
        file.extend(block(6, &[head.as_bytes(), frame].concat()));
    }
    file
}

fn dbn_file(records: &[RecordBuf]) -> Vec<u8> {
    let metadata = Metadata::builder()
        .dataset("XNAS.ITCH".to_owned())
        .schema(None)
        .start(0)
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .build();
    let mut file = Vec::new();
    MetadataEncoder::new(&mut file).encode(&metadata).expect("room in memory");
    for record in records.iter().take(40) {
        file.extend(record.as_rec_ref().as_ref());
    }
    file
}

pub(crate) fn segment_headers(number: u64) -> Vec<Vec<u8>> {
    let mut random = random(number);
    let patches = (0..4).map(|_| {
        let mut patches = vec![1];
        for _ in 0..2 {
            patches.extend([random.random_range(0..120), 0, 1]);
            patches.extend(random.random_range(0..100_u64).to_le_bytes());
        }
        patches
    });
    let contents =
        segment_contents(number).into_iter().map(|patches| [&[2], &patches[..]].concat());
    let patches: Vec<_> = patches.collect();
    patches.into_iter().chain(contents).chain(segment::cut_headers()).collect()
}

pub(crate) fn segment_contents(number: u64) -> Vec<Vec<u8>> {
    let records = records(number);
    let mut cell = Cell { instrument_id: 1, publisher: 2, state: 2, ..Cell::default() };
    cell.symbol[..5].copy_from_slice(b"WB001");
    cell.bids[0] = CellLevel { price: 10_000_000_000, size: 100, orders: 1, reserved: 0 };
    let cells = [cell, Cell { instrument_id: 2, state: 4, stale_reason: 1, ..cell }];
    let parts = records.chunks(12).take(3);
    let in_use = parts.map(|records| {
        let records = records.iter().map(|record| record.as_rec_ref());
        let records: Vec<_> = records.map(|record| record.as_ref().to_vec()).collect();
        segment::in_use(records.iter().map(Vec::as_slice), &cells)
    });
    in_use.collect()
}
