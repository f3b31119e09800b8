//! Lines of bounded length: one hostile line must not take all memory.
//!
//! Invariant: the buffer never holds more than the limit, a byte order mark and a line end.

use std::fmt;
use std::io::{self, BufRead, Read};

/// The byte order mark of UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    limit: usize,
    number: u64,
    buffer: Vec<u8>,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Bytes(&'a [u8]),
    TooLong { limit: usize },
}

impl Lines {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, limit: usize) -> Self {
        Self { reader, limit, number: 0, buffer: Vec::new() }
    }

    /// The number of the line read last, from 1; 0 before the first.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `\n` and `\r\n` end one, and a byte order mark before the first is dropped.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        // Two more for a line end, one more to see that there is more, and the mark.
        let mark = if self.number == 0 { MARK.len() } else { 0 };
        let most = u64::try_from(self.limit.saturating_add(3 + mark)).unwrap_or(u64::MAX);
        (&mut self.reader).take(most).read_until(b'\n', &mut self.buffer)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let ended = self.buffer.last() == Some(&b'\n');
        if !ended {
            self.reader.skip_until(b'\n')?;
        }
        self.number += 1;
        let mut line = self.buffer.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.number == 1 {
            line = line.strip_prefix(MARK).unwrap_or(line);
        }
        if line.len() > self.limit {
            return Ok(Some(Line::TooLong { limit: self.limit }));
        }
        Ok(Some(Line::Bytes(line)))
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn read(bytes: &[u8], limit: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(Box::new(Cursor::new(bytes.to_vec())), limit);
        let mut read = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            read.push(match line {
                Line::Bytes(bytes) => Some(bytes.to_vec()),
                Line::TooLong { .. } => None,
            });
        }
        assert_eq!(lines.number(), read.len() as u64);
        read
    }

    #[test]
    fn a_line_of_the_limit_is_read_and_a_longer_one_is_passed_over() {
        for (text, lines) in [
            ("abc\nabcd\nab", vec![Some("abc"), None, Some("ab")]),
            ("abc\r\nabcdefghij\r\n\nab\n", vec![Some("abc"), None, Some(""), Some("ab")]),
            ("abcdefghijkl", vec![None]),
            ("", vec![]),
        ] {
            let bytes = |line: &str| line.as_bytes().to_vec();
            let lines: Vec<_> = lines.into_iter().map(|line| line.map(bytes)).collect();
            assert_eq!(read(text.as_bytes(), 3), lines, "{text:?}");
        }
        // A byte order mark does not count, and hides no end that is cut off.
        for (text, line) in [("abc\n", Some("abc")), ("abc\r\n", Some("abc")), ("abcd\n", None)] {
            let line = line.map(|line| line.as_bytes().to_vec());
            assert_eq!(read(format!("\u{feff}{text}").as_bytes(), 3), [line], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn under_the_limit_lines_are_those_that_split_finds(text in "[a\r\n]{0,30}") {
            let mut split: Vec<Option<Vec<u8>>> = text
                .split('\n')
                .map(|line| Some(line.strip_suffix('\r').unwrap_or(line).as_bytes().to_vec()))
                .collect();
            // The last one is no line if it is empty; without a line feed a \r still ends it.
            if text.ends_with('\n') || text.is_empty() {
                split.pop();
            }
            prop_assert_eq!(read(text.as_bytes(), 100), split);
        }
    }
}
