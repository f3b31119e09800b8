#![cfg_attr(feature = "onnx", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "onnx"),
    doc = "Dense multilingual search inside Tantivy: the light build, without ONNX Runtime."
)]

pub mod bm25;
pub mod engine;
pub mod fusion;
pub mod means;
pub mod retrievers;
pub mod weighted;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(test)]
mod damaged;
#[cfg(feature = "onnx")]
pub mod encoder;
#[cfg(feature = "onnx")]
pub mod graph;
#[cfg(feature = "onnx")]
pub mod model;
#[cfg(feature = "cli")]
mod report;
#[cfg(feature = "train")]
pub mod trainer;

pub use dense_eval as eval;
pub use dense_indexer as indexer;
pub use dense_plugin::*;
pub use engine::{Engine, EngineError, Found, Fusion, Mode, Place, Request, TermPart, Why};
