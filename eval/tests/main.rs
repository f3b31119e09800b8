//! The package against what others computed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod golden;
mod statistics;
