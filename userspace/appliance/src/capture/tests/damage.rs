//! Files that are cut, damaged, empty or something else: an error, never a panic.

use super::super::{DbnEvents, LineFinder};
use super::messages::{artificial_day, file_of};
use super::packets::FLAVOURS;
use super::pcapng::WRITERS;
use super::*;
use wirebook_wire::Protocol;

/// Small files of every kind, with the number of items in each.
fn small_files() -> Vec<(&'static str, Vec<u8>, usize)> {
    let packets = [(1, 2, &b"first packet"[..], 12), (3, 4, b"second", 60)];
    let mut files = vec![
        ("pcap", FLAVOURS[0].file(1, &packets), 2),
        ("pcap, big-endian", FLAVOURS[3].file(113, &packets), 2),
        ("daily", file_of(&[b"Sxxxxxxxxxxx", b"D12345678", b"U"]), 3),
    ];
    for writer in WRITERS {
        let file = [
            writer.section(),
            writer.interface(101, 0, &[(9, &[9])]),
            writer.packet(0, 5, b"first packet", 12),
            writer.packet(0, 6, b"second", 60),
        ];
        files.push(("pcapng", file.concat(), 2));
    }
    if let Some(dbn) = small_recording() {
        files.push(("dbn", dbn, 20));
    }
    files
}

fn compressed_files() -> Vec<(&'static str, Vec<u8>, usize)> {
    let each = |(name, file, count): (_, Vec<u8>, _)| {
        [(name, gzip(&file), count), (name, zstd(&file), count)]
    };
    small_files().into_iter().flat_map(each).collect()
}

/// The metadata and the first 20 records of a real recording.
fn small_recording() -> Option<Vec<u8>> {
    let path = data("dbn-mbo/esh4-glbx-mdp3-20231224.mbo.dbn.zst")?;
    let mut file = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    let metadata_bytes = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
    file.truncate(8 + metadata_bytes + 20 * 56);
    Some(file)
}

/// Reads to the end, with all that reads items: how many there were, and the error.
fn read(name: &str, bytes: &[u8]) -> (usize, Option<CaptureError>) {
    let mut capture = match open_bytes(name, bytes) {
        Ok(capture) => capture,
        Err(error) => return (0, Some(error)),
    };
    let mut inverse = capture.metadata().map(|metadata| DbnEvents::new(0, metadata));
    let mut finders = Protocol::ALL.map(LineFinder::new);
    let mut items = 0;
    loop {
        match capture.next() {
            Ok(Some(item)) => {
                items += 1;
                match item {
                    Item::Record(record) => {
                        inverse.as_mut().unwrap().record(record, &mut Vec::new());
                    }
                    Item::Packet { bytes, captured_short, .. } => {
                        finders.iter_mut().for_each(|finder| finder.frame(bytes, captured_short));
                    }
                    Item::Message { .. } => {}
                }
            }
            Ok(None) => return (items, None),
            Err(error) => {
                assert!(matches!(capture.next(), Ok(None)), "an error is the end");
                return (items, Some(error));
            }
        }
    }
}

#[test]
fn whole_files_have_all_their_items() {
    for (name, file, count) in small_files().into_iter().chain(compressed_files()) {
        let (items, error) = read("day.itch50", &file);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!(items, count, "{name}");
    }
}

#[test]
fn every_cut_gives_what_was_before_it() {
    for (name, file, count) in small_files() {
        let mut last = 0;
        for length in 0..file.len() {
            let (items, error) = read("day.itch50", &file[..length]);
            assert!(items >= last && items <= count, "{name} cut at {length}");
            last = items;
            match error {
                // Plain files may be cut between two items, which nothing can tell.
                None => assert!(length > 0, "{name} cut at {length}"),
                Some(error) => {
                    assert!(error.is_truncated() || length < 12, "{name} cut at {length}: {error}")
                }
            }
        }
        assert!(last + 1 >= count, "{name}: {last} of {count} items before the last byte");
    }
}

#[test]
fn a_cut_in_the_middle_of_an_item_is_told() {
    for (name, file, count) in small_files() {
        let (items, error) = read("day.itch50", &file[..file.len() - 1]);
        assert!(error.as_ref().is_some_and(CaptureError::is_truncated), "{name}: {error:?}");
        assert_eq!(items + 1, count, "{name}");
    }
}

#[test]
fn every_cut_of_a_compressed_file_is_told() {
    for (name, file, count) in compressed_files() {
        for length in 1..file.len() {
            let (items, error) = read("day.itch50", &file[..length]);
            assert!(items <= count, "{name} cut at {length}");
            let error = error.unwrap_or_else(|| panic!("{name} cut at {length} has no error"));
            assert!(error.is_truncated() || length < 4, "{name} cut at {length}: {error}");
        }
    }
}

#[test]
fn any_byte_may_be_wrong() {
    for (name, file, _) in small_files().into_iter().chain(compressed_files()) {
        for at in 0..file.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[at] ^= flip;
                let _ = read(name, &damaged);
            }
        }
    }
}

#[test]
fn random_bytes_are_no_capture() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let starts: [&[u8]; 8] = [
        b"",
        b"\xd4\xc3\xb2\xa1",
        b"\x4d\x3c\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0",
        b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0",
        b"DBN\x01",
        b"DBN\x03\x70\0\0\0",
        b"\0\x0cS",
        b"\x1f\x8b\x08\0",
    ];
    for start in starts {
        for _ in 0..300 {
            let length = random() % 600;
            let mut bytes = start.to_vec();
            bytes.extend((0..length).map(|_| random() as u8));
            let _ = read("day.itch50", &bytes);
        }
    }
}

#[test]
fn an_item_too_long_to_be_one_is_damage() {
    let file = FLAVOURS[0].file(1, &[]);
    let header = [[0; 8], [0xff; 8]].concat();
    let (items, error) = read("x", &[file, header, vec![0; 100]].concat());
    assert_eq!(items, 0);
    assert!(matches!(error, Some(CaptureError::Damaged { at_byte: 24, .. })), "{error:?}");
    let (_, error) = read("x", b"DBN\x03\xff\xff\xff\xff0000000000");
    assert!(matches!(error, Some(CaptureError::Damaged { at_byte: 0, .. })), "{error:?}");
}

#[test]
fn damage_in_compressed_bytes_is_told_after_what_was_before() {
    let Some(day) = artificial_day() else { return };
    let mut file = gzip(&day);
    let half = file.len() / 2;
    file[half..half + 64].fill(0xff);
    let (items, error) = read("x", &file);
    assert!(items > 1_000);
    assert!(error.is_some());
}

#[test]
fn what_is_no_capture_says_what_was_found() {
    for (bytes, found) in [(&b""[..], "an empty file"), (b"hello", "[68, 65, 6c, 6c, 6f]")] {
        let error = open_bytes("notes.txt", bytes).err().unwrap();
        assert!(matches!(error, CaptureError::UnknownKind { .. }));
        assert!(
            error.to_string().ends_with(&format!("found {found}"))
                || error.to_string().ends_with(&format!("found bytes {found}")),
            "{error}"
        );
    }
    let missing = super::super::open(Path::new("/nowhere/x.pcap")).err().unwrap();
    assert!(matches!(missing, CaptureError::Open { .. }));
    assert!(matches!(super::super::open(folder().path()).err(), Some(CaptureError::Open { .. })));
}
