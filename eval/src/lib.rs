//! Turns rankings into numbers: collections with judgements, runs, measures, the multilingual
//! settings, and reports.
//!
//! It knows no search engine and no model. Whoever ranks hands over vectors ([`dense_settings`]),
//! ranked lists ([`ranked_settings`], [`Retriever`]) or run files ([`Run::read`]).
//!
//! Invariant: numbers follow `trec_eval`: equal scores rank by external id, descending; what nobody
//! judged is not relevant; a topic that a run leaves out counts as 0.
//!
//! ```
//! use tantivy_dense_eval::{Measure, Qrels, Run, evaluate};
//!
//! let qrels = Qrels::read_from("q1 0 a 1\nq1 0 b 1\n".as_bytes(), "qrels".as_ref())?;
//! let run = Run::read_from(
//!     "q1 Q0 a 1 9.5 bm25\nq1 Q0 x 2 9.1 bm25\nq1 Q0 b 3 7.0 bm25\n".as_bytes(),
//!     "run".as_ref(),
//! )?;
//! let measures: Vec<Measure> = vec!["AP".parse()?, "R@2".parse()?];
//! let values = evaluate(&run, &qrels, &measures);
//! assert_eq!(values.mean(), Some(vec![(1.0 + 2.0 / 3.0) / 2.0, 0.5]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beir;
mod collection;
mod evaluation;
mod input;
mod languages;
mod lareqa;
mod measure;
mod miracl;
mod mrtydi;
mod ntrex;
mod opening;
mod qrels;
mod records;
mod report;
mod retriever;
mod run;
mod settings;
pub mod stats;
mod stream;
#[cfg(test)]
mod testing;
mod topics;
mod tsv;

pub use collection::{Collection, OpenError, Passage, UnknownLanguage};
pub use evaluation::{
    ByLanguage, Evaluation, Evaluator, LanguageScores, Missing, by_language, evaluate,
};
pub use input::{LineError, ReadError};
pub use languages::{LanguageFacts, NTREX_SUBSET, Tier, facts};
pub use measure::{Cutoff, Level, Measure, MeasureError};
pub use opening::Opening;
pub use qrels::{Qrels, QrelsError};
pub use report::{
    Answer, AnswerHit, Bar, BarError, ByTopic, ComparedLanguage, ComparedMean, ComparedTier,
    Comparison, ComparisonError, Example, LanguageRow, Moved, PairRow, RecallAt, Report,
    ReportError, RunReport, Scores, SettingsRow, Side, TierDifference, TierRow, Tiers,
};
pub use retriever::{RetrieveError, Retriever};
pub use run::{Hit, Run, RunError, WriteError};
pub use settings::{
    DenseRetriever, OWN_SHARE_DEPTH, Pool, Settings, SettingsError, dense_settings,
    pooled_settings, ranked_settings,
};
pub use stream::RunScores;
pub use topics::Topic;
