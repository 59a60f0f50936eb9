//! Nasdaq's daily files.

use super::super::daily::{date_in_name, is_daily_name};
use super::*;
use jiff::civil::date;
use std::collections::BTreeMap;
use wirebook_wire::itch50;

fn messages(capture: &mut Capture) -> (Vec<Vec<u8>>, Option<CaptureError>) {
    let mut taken = Vec::new();
    loop {
        match capture.next() {
            Ok(Some(Item::Message { bytes })) => taken.push(bytes.to_vec()),
            Ok(Some(_)) => panic!("expected messages"),
            Ok(None) => return (taken, None),
            Err(error) => return (taken, Some(error)),
        }
    }
}

/// A file of these messages, without its end.
pub(super) fn file_of(messages: &[&[u8]]) -> Vec<u8> {
    messages.iter().flat_map(|m| [&(m.len() as u16).to_be_bytes(), *m].concat()).collect()
}

/// The artificial day with the length prefixes that its source has zeroed.
pub(super) fn artificial_day() -> Option<Vec<u8>> {
    let bytes = std::fs::read(data("nasdaq-itch/artificial-12012.itch50")?).unwrap();
    let lengths: BTreeMap<u8, usize> = itch50::Message::LENGTHS.iter().copied().collect();
    let mut rest = bytes.as_slice();
    let mut file = Vec::new();
    while let [_, _, kind, ..] = rest {
        let length = lengths[kind];
        file.extend((length as u16).to_be_bytes());
        file.extend(&rest[2..2 + length]);
        rest = &rest[2 + length..];
    }
    assert!(rest.is_empty());
    Some(file)
}

#[test]
fn the_artificial_day_has_its_messages() {
    let Some(file) = artificial_day() else { return };
    for (name, bytes) in [
        ("01302020.NASDAQ_ITCH50", file.clone()),
        ("day.gz", gzip(&file)),
        ("day", [file.clone(), vec![0, 0]].concat()),
    ] {
        let mut capture = open_bytes(name, &bytes).unwrap();
        assert_eq!(capture.kind(), CaptureKind::Messages);
        let (taken, error) = messages(&mut capture);
        assert!(error.is_none(), "{error:?}");
        let mut counts: BTreeMap<char, usize> = BTreeMap::new();
        for message in &taken {
            *counts.entry(char::from(message[0])).or_default() += 1;
        }
        let expected = [
            ('A', 4_997),
            ('D', 1_745),
            ('E', 198),
            ('F', 3),
            ('H', 3),
            ('P', 5_000),
            ('R', 3),
            ('S', 6),
            ('U', 12),
            ('X', 45),
        ];
        assert!(counts.into_iter().eq(expected));
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let file = file_of(&[b"Sxxxxxxxxxxx", b"D"]);
    let (taken, error) =
        messages(&mut open_bytes("x", &[&file[..], &[0, 0, 0, 1, b'D']].concat()).unwrap());
    assert_eq!(taken, [b"Sxxxxxxxxxxx".to_vec(), b"D".to_vec()]);
    assert!(matches!(error, Some(CaptureError::Damaged { at_byte: 17, .. })), "{error:?}");
    // As it is with the zeroed prefixes of the artificial day.
    let Some(path) = data("nasdaq-itch/artificial-12012.itch50") else { return };
    let (taken, error) = messages(&mut super::super::open(&path).unwrap());
    assert!(taken.is_empty());
    assert!(matches!(error, Some(CaptureError::Damaged { at_byte: 0, .. })), "{error:?}");
}

#[test]
fn names_tell_kind_and_day() {
    for (name, day) in [
        ("01302020.NASDAQ_ITCH50.gz", Some(date(2020, 1, 30))),
        ("01302020.NASDAQ_ITCH50", Some(date(2020, 1, 30))),
        ("S022717-v50.txt.gz", Some(date(2017, 2, 27))),
        ("s022717-v50.txt", Some(date(2017, 2, 27))),
        ("day.itch50.zst", None),
        ("99999999.itch50", None),
        ("1.itch50", None),
        ("Sé2717-v50.txt", None),
    ] {
        assert!(is_daily_name(name), "{name}");
        assert_eq!(date_in_name(name), day, "{name}");
    }
    assert!(!is_daily_name("session.pcap"));
    let capture = open_bytes("01302020.NASDAQ_ITCH50", &file_of(&[b"D"])).unwrap();
    assert_eq!(capture.date(), Some(date(2020, 1, 30)));
}
