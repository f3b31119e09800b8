//! The seam between who ranks and who measures.

use std::error::Error;

use crate::run::{Hit, Run};
use crate::topics::Topic;

/// Anything that ranks a collection for topics.
///
/// An implementer keeps true: a hit names a passage of the collection, none is there twice, no
/// score is NaN, there are at most `depth`, and no passage that is left out ranks before one that
/// is there. The order of the hits does not matter: it follows from scores and ids.
pub trait Retriever {
    /// What the system is called in tables and run files: one word.
    fn name(&self) -> &str;

    /// The best `depth` passages for a topic.
    ///
    /// # Errors
    /// [`RetrieveError`] if the system fails.
    fn retrieve(&self, topic: &Topic, depth: usize) -> Result<Vec<Hit>, RetrieveError>;

    /// The best `depth` passages for each topic, one topic after another.
    ///
    /// # Errors
    /// [`RetrieveError`] if the system fails, or gives hits that are no ranking.
    fn retrieve_all(&self, topics: &[Topic], depth: usize) -> Result<Run, RetrieveError> {
        let mut run = Run::new(self.name());
        for topic in topics {
            let hits = self.retrieve(topic, depth)?;
            run.insert(&topic.id, hits).map_err(|error| RetrieveError::new(topic, error))?;
        }
        Ok(run)
    }
}

/// A system that could not answer a topic.
#[derive(Debug, thiserror::Error)]
#[error("topic `{topic}` could not be searched for")]
pub struct RetrieveError {
    topic: String,
    source: Box<dyn Error + Send + Sync>,
}

impl RetrieveError {
    /// Says which topic failed, and why.
    pub fn new(topic: &Topic, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { topic: topic.id.clone(), source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each topic with its own words.
    struct Echo {
        name: String,
    }

    fn echo() -> Echo {
        Echo { name: "echo".into() }
    }

    impl Retriever for Echo {
        fn name(&self) -> &str {
            &self.name
        }

        fn retrieve(&self, topic: &Topic, depth: usize) -> Result<Vec<Hit>, RetrieveError> {
            if topic.text.is_empty() {
                return Err(RetrieveError::new(topic, "nothing to search for"));
            }
            let words = topic.text.split(' ').take(depth);
            Ok(words.map(|word| Hit { id: word.to_owned(), score: 1.0 }).collect())
        }
    }

    fn topic(text: &str) -> Topic {
        Topic { id: "t".into(), text: text.into(), ..Topic::default() }
    }

    #[test]
    fn all_topics_become_a_run_with_the_name_of_the_system() {
        let echo: &dyn Retriever = &echo();
        let run = echo.retrieve_all(&[topic("a b c")], 2).unwrap();
        assert_eq!(run.name(), "echo");
        assert_eq!(run.hits("t").unwrap().len(), 2);
    }

    #[test]
    fn a_failure_names_the_topic_and_keeps_its_cause() {
        for (text, cause) in
            [("", "nothing to search for"), ("a a", "topic `t`: `a` is in the ranking twice")]
        {
            let error = echo().retrieve_all(&[topic(text)], 9).unwrap_err();
            assert_eq!(error.to_string(), "topic `t` could not be searched for");
            assert_eq!(error.source().unwrap().to_string(), cause);
        }
    }
}
