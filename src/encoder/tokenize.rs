//! Texts into batches of token ids and masks.
//!
//! Invariant: every text is in exactly one batch; a batch, padding included, holds at most the tokens it was
//! allowed, or one text. Texts of like length share a batch, so little is padded. Which texts share one depends on the
//! texts and on how many are tokenized at a time, never on how fast that went.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use dense_plugin::Text;
use tokenizers::{
    PostProcessor, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy,
};

/// No tokenizer of ours makes fewer tokens of a text: what is past so many characters a token of the limit cannot
/// count, and is cut before tokenizing, which takes time for each character.
const CHARS_A_TOKEN: usize = 64;

/// Fewer texts than this are not worth a thread.
const LEAST_PART: usize = 64;

/// As long as fewer batches wait, more texts are waited for: each group of texts that is sorted by length has one batch
/// of all lengths, that of the longest.
const LEAST_BATCHES: usize = 8;

/// A tokenizer file, opened.
#[derive(Debug)]
pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    limit: usize,
}

/// One text as token ids.
#[derive(Debug)]
pub(crate) struct Tokenized {
    pub(crate) ids: Vec<u32>,
    pub(super) truncated: bool,
}

/// Texts to run together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Which texts, in the order of their rows.
    pub(super) texts: Vec<usize>,
    /// Tokens a row, padding included.
    pub(super) seq: usize,
    /// Token ids, `[texts, seq]`.
    pub(super) ids: Vec<i64>,
    /// 1 for a token, 0 for padding, `[texts, seq]`.
    pub(super) mask: Vec<i64>,
}

impl Tokens {
    /// Opens `tokenizer.json`. Texts are cut after `limit` tokens, special ones included.
    pub(crate) fn open(file: &Path, limit: usize) -> Result<Self, TokenizeError> {
        let fail = |source| TokenizeError::Open { file: file.to_owned(), source };
        let mut tokenizer = Tokenizer::from_file(file).map_err(fail)?;
        let added = tokenizer.get_post_processor().map_or(0, |added| added.added_tokens(false));
        if limit <= added {
            return Err(TokenizeError::Limit { limit, least: added + 1 });
        }
        let truncation = TruncationParams {
            max_length: limit,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction: TruncationDirection::Right,
        };
        tokenizer.with_truncation(Some(truncation)).map_err(fail)?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, limit })
    }

    /// Tokenizes texts behind their prefix, in their order, with several threads where there are many: a CUDA
    /// device would wait for one.
    pub(super) fn encode_all(
        &self,
        prefix: &str,
        texts: &[Text<'_>],
        threads: usize,
    ) -> Result<Vec<Tokenized>, TokenizeError> {
        let encode = |texts: &[Text<'_>]| {
            texts.iter().map(|text| self.encode(prefix, text.body)).collect::<Result<Vec<_>, _>>()
        };
        let part = texts.len().div_ceil(threads.max(1)).max(LEAST_PART);
        if texts.len() <= part {
            return encode(texts);
        }
        let parts: Result<Vec<_>, _> = thread::scope(|scope| {
            let encode = &encode;
            let parts = texts.chunks(part);
            let workers: Vec<_> = parts.map(|part| scope.spawn(move || encode(part))).collect();
            let tokenized = workers.into_iter().map(ScopedJoinHandle::join);
            tokenized.map(|part| part.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        Ok(parts?.into_iter().flatten().collect())
    }

    /// Tokenizes one text behind its prefix.
    pub(crate) fn encode(&self, prefix: &str, text: &str) -> Result<Tokenized, TokenizeError> {
        let (text, cut) = match text.char_indices().nth(self.limit.saturating_mul(CHARS_A_TOKEN)) {
            Some((end, _)) => (&text[..end], true),
            None => (text, false),
        };
        let text = if prefix.is_empty() {
            Cow::Borrowed(text)
        } else {
            Cow::Owned([prefix, text].concat())
        };
        let encoding = self.tokenizer.encode_fast(text, true).map_err(TokenizeError::Text)?;
        let truncated = cut || !encoding.get_overflowing().is_empty();
        if encoding.is_empty() {
            return Err(TokenizeError::Empty);
        }
        Ok(Tokenized { ids: encoding.get_ids().to_vec(), truncated })
    }
}

/// Texts that wait to be run, numbered in the order in which they come.
#[derive(Debug)]
pub(super) struct Queue {
    /// Most tokens in a batch, padding included.
    limit: usize,
    seen: usize,
    texts: Vec<(usize, Vec<u32>)>,
}

impl Queue {
    /// Nothing waits yet.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, seen: 0, texts: Vec::new() }
    }

    pub(super) fn add(&mut self, texts: impl IntoIterator<Item = Vec<u32>>) {
        let before = self.texts.len();
        self.texts.extend((self.seen..).zip(texts));
        self.seen += self.texts.len() - before;
    }

    /// Takes the batches that are full, if so many texts wait that little is padded in them.
    pub(super) fn full(&mut self) -> Vec<Batch> {
        let tokens: usize = self.texts.iter().map(|(_, ids)| ids.len()).sum();
        if tokens < self.limit.saturating_mul(LEAST_BATCHES) {
            return Vec::new();
        }
        let mut groups = self.groups();
        groups.pop_if(|last| last.len() < self.most_from(last.start));
        self.take(&groups)
    }

    /// Takes batches of all that waits.
    pub(super) fn rest(&mut self) -> Vec<Batch> {
        let groups = self.groups();
        self.take(&groups)
    }

    /// Groups texts by length, the longest first, so that memory is at its largest at the start.
    fn groups(&mut self) -> Vec<Range<usize>> {
        self.texts.sort_by_key(|(text, ids)| (Reverse(ids.len()), *text));
        let mut groups = Vec::new();
        let mut start = 0;
        while start < self.texts.len() {
            let end = self.texts.len().min(start + self.most_from(start));
            groups.push(start..end);
            start = end;
        }
        groups
    }

    /// How many texts a batch holds whose longest is this one.
    fn most_from(&self, first: usize) -> usize {
        (self.limit / self.texts[first].1.len().max(1)).max(1)
    }

    fn take(&mut self, groups: &[Range<usize>]) -> Vec<Batch> {
        let batches = groups.iter().map(|group| Batch::of(&self.texts[group.clone()])).collect();
        self.texts.drain(..groups.last().map_or(0, |last| last.end));
        batches
    }
}

impl Batch {
    /// Texts with their numbers, the longest first.
    pub(super) fn of(group: &[(usize, Vec<u32>)]) -> Self {
        let seq = group.first().map_or(1, |(_, ids)| ids.len().max(1));
        // Padding is masked: any id that every vocabulary has will do.
        let mut ids = vec![0; group.len() * seq];
        let mut mask = vec![0; group.len() * seq];
        for (row, (_, tokens)) in group.iter().enumerate() {
            let start = row * seq;
            ids[start..].iter_mut().zip(tokens).for_each(|(to, &id)| *to = i64::from(id));
            mask[start..start + tokens.len()].fill(1);
        }
        Self { texts: group.iter().map(|(text, _)| *text).collect(), seq, ids, mask }
    }
}

/// Why texts could not be tokenized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum TokenizeError {
    /// No text fits.
    #[error("a text may have {limit} tokens, of which at least {least} are needed")]
    Limit { limit: usize, least: usize },
    /// The file is damaged or of another release.
    #[error("{file}: cannot be read as a tokenizer", file = file.display())]
    Open { file: PathBuf, source: tokenizers::Error },
    /// The tokenizer failed.
    #[error("the tokenizer failed on a text")]
    Text(#[source] tokenizers::Error),
    /// A tokenizer that marks neither begin nor end gives nothing for an empty text.
    #[error("the tokenizer gave no token for a text, so there is nothing to encode")]
    Empty,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_in_one_batch_and_batches_stay_within_bounds(
            lengths in proptest::collection::vec(1_usize..40, 0..50),
            most in 1_usize..200,
            part in 1_usize..60,
        ) {
            let texts: Vec<Vec<u32>> =
                (lengths.iter().zip(1_u32..)).map(|(&n, id)| vec![id; n]).collect();
            let mut seen = vec![0; texts.len()];
            let mut queue = Queue::new(most);
            let mut batches = Vec::new();
            for part in texts.chunks(part) {
                queue.add(part.to_vec());
                let full = queue.full();
                prop_assert!(full.iter().all(|batch| (batch.texts.len() + 1) * batch.seq > most));
                batches.extend(full);
            }
            batches.extend(queue.rest());
            for batch in batches {
                prop_assert!(batch.ids.len() <= most || batch.texts.len() == 1);
                prop_assert_eq!(batch.ids.len(), batch.texts.len() * batch.seq);
                for (row, &text) in batch.texts.iter().enumerate() {
                    seen[text] += 1;
                    let row = row * batch.seq..(row + 1) * batch.seq;
                    let (ids, mask) = (&batch.ids[row.clone()], &batch.mask[row]);
                    let id = i64::from(texts[text][0]);
                    prop_assert!(ids.iter().zip(mask).all(|(&i, &m)| i == id * m));
                    prop_assert_eq!(mask.iter().sum::<i64>(), i64::try_from(lengths[text]).unwrap());
                }
            }
            prop_assert!(seen.iter().all(|&n| n == 1));
        }
    }
}
