//! What is searched for.

/// One information need, as its collection words it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// The collection's name for it, as judgements and runs use it.
    pub id: String,
    /// The query.
    pub text: String,
    /// The language of the text, as the collection writes it.
    pub language: Option<String>,
    /// What topics share that ask the same in several languages.
    pub group: Option<String>,
}
