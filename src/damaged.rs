//! Files that are damaged, for property tests of what reads them.

use proptest::prelude::*;
use proptest::sample::Index;

/// What happens to a file at one place.
#[derive(Clone, Debug)]
enum Change {
    Bit(u8),
    To(u8),
    Cut,
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, place: Index) {
        if bytes.is_empty() {
            return;
        }
        let all = bytes.len();
        let at = place.index(all);
        let end = |length: &usize| all.min(at + length);
        match self {
            Self::Bit(bit) => bytes[at] ^= 1 << bit,
            Self::To(byte) => bytes[at] = *byte,
            Self::Cut => bytes.truncate(at),
            Self::Insert(new) => drop(bytes.splice(at..at, new.iter().copied())),
            Self::Remove(length) => drop(bytes.drain(at..end(length))),
            Self::Repeat(length) => {
                let part = bytes[at..end(length)].to_vec();
                drop(bytes.splice(at..at, part));
            }
        }
    }
}

/// A file in which a few places were changed, and now and then bytes that are no such file at all.
pub(crate) fn damaged(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![
        (0..8_u8).prop_map(Change::Bit),
        any::<u8>().prop_map(Change::To),
        (b'0'..=b'9').prop_map(Change::To),
        Just(Change::Cut),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Change::Insert),
        // Numbers in text grow.
        "[0-9]{1,19}".prop_map(|digits| Change::Insert(digits.into_bytes())),
        (1..40_usize).prop_map(Change::Remove),
        (1..40_usize).prop_map(Change::Repeat),
    ];
    let changes = prop::collection::vec((any::<Index>(), change), 1..4);
    let changed = changes.prop_map(move |changes| {
        let mut bytes = file.clone();
        for (place, change) in &changes {
            change.apply(&mut bytes, *place);
        }
        bytes
    });
    prop_oneof![9 => changed, 1 => prop::collection::vec(any::<u8>(), 0..100)]
}

/// A safetensors file whose header was damaged, and says its new length; or one that was damaged anywhere.
pub(crate) fn damaged_tensors(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let (length, rest) = file.split_first_chunk().expect("a file has a header");
    let length = usize::try_from(u64::from_le_bytes(*length)).expect("a short header");
    let (header, numbers) = (rest[..length].to_vec(), rest[length..].to_vec());
    let of_header = damaged(header).prop_map(move |header| {
        [&(header.len() as u64).to_le_bytes()[..], &header, &numbers].concat()
    });
    prop_oneof![of_header, damaged(file)]
}
