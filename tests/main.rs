//! Everything works together: one program, so that native libraries are linked once.

mod cli;
mod layering;
mod support;
