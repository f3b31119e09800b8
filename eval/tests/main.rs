//! The package against what others computed.

mod golden;
