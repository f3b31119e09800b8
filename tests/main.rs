//! Placeholder.
mod layering;
