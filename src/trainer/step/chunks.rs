//! Splits a batch's texts into parts that are encoded together.
//!
//! Invariant: each text is in one chunk; which depends on the texts' lengths and their order alone.

/// Texts of about one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Places in the batch.
    pub(super) texts: Vec<usize>,
    /// Tokens of the longest.
    pub(super) seq: usize,
}

/// Chunks of at most `limit` tokens, padding included; a longer text is one alone.
pub(super) fn chunks(texts: &[&[u32]], limit: usize) -> Vec<Chunk> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(texts[text].len()));
    let mut chunks: Vec<Chunk> = Vec::new();
    for text in order {
        match chunks.last_mut() {
            Some(chunk) if (chunk.texts.len() + 1) * chunk.seq <= limit => chunk.texts.push(text),
            _ => chunks.push(Chunk { texts: vec![text], seq: texts[text].len() }),
        }
    }
    chunks
}

impl Chunk {
    /// Tokens, padding included.
    pub(super) fn padded(&self) -> usize {
        self.texts.len() * self.seq
    }

    /// Token ids, `[texts, seq]`; padding is token 0, which no other token sees.
    pub(super) fn ids(&self, texts: &[&[u32]]) -> Vec<i64> {
        self.fill(texts, i64::from)
    }

    /// 1 for tokens, 0 for padding.
    pub(super) fn mask(&self, texts: &[&[u32]]) -> Vec<i64> {
        self.fill(texts, |_| 1)
    }

    fn fill(&self, texts: &[&[u32]], of: impl Fn(u32) -> i64) -> Vec<i64> {
        let mut out = vec![0; self.padded()];
        for (row, &text) in out.chunks_exact_mut(self.seq).zip(&self.texts) {
            row.iter_mut().zip(texts[text]).for_each(|(to, &id)| *to = of(id));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_like_length_are_together_and_none_is_lost() {
        let texts: [&[u32]; 5] = [&[1], &[2, 3, 4], &[5, 6], &[7, 8, 9], &[10]];
        let found = chunks(&texts, 6);
        let expected =
            [(vec![1, 3], 3), (vec![2, 0, 4], 2)].map(|(texts, seq)| Chunk { texts, seq });
        assert_eq!(found, expected);
        assert_eq!(found[1].ids(&texts), [5, 6, 1, 0, 10, 0]);
        assert_eq!(found[1].mask(&texts), [1, 1, 1, 0, 1, 0]);
        assert_eq!(chunks(&texts, 1).len(), 5);
    }
}
