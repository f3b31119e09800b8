//! What a run trains on: from arguments to a corpus and a development set.

use std::path::PathBuf;

use clap::Args;

use crate::cli::ui::Ui;
use crate::trainer::{
    Corpus, Cut, Development, DevelopmentOptions, Exclusions, Kind, LoadError, Loaded, OnBadLine,
    load,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub(super) struct DataOptions {
    /// Training data: JSON lines, plain, gzip or Zstandard, with `query`, `positive` and `lang`; or an aligned corpus.
    /// :KIND (pairs, help, gnome, ddtp, strings) says what it is, if its first line does not
    #[arg(long, value_name = "FILE[:KIND]", required_unless_present = "data", value_parser = file)]
    pairs: Vec<(PathBuf, Option<Kind>)>,
    /// A folder with training data of known names; what is not there is passed over
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,
    /// Train on nothing that has a text of this folder in it: evaluation data
    #[arg(long, value_name = "DIR")]
    exclude: Vec<PathBuf>,
    /// Leave out lines that are no rows, and say how many, instead of ending at the first
    #[arg(long)]
    skip_bad: bool,
    /// Train on at most so many sets of each source
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The share of documents that are kept for the development set
    #[arg(long, value_name = "SHARE", default_value_t = DevelopmentOptions::default().share)]
    dev_share: f64,
    /// Most languages of the development set
    #[arg(long, value_name = "N", default_value_t = DevelopmentOptions::default().languages)]
    dev_languages: usize,
    /// Queries a language of the development set
    #[arg(long, value_name = "N", default_value_t = DevelopmentOptions::default().queries)]
    dev_queries: usize,
}

/// Texts to train and to choose on.
pub(super) struct Data {
    pub(super) corpus: Corpus,
    pub(super) development: Development,
    pub(super) fingerprint: u64,
}

/// `FILE:KIND`, where a file of the whole name is not there.
fn file(written: &str) -> Result<(PathBuf, Option<Kind>), String> {
    let whole = PathBuf::from(written);
    if whole.exists() {
        return Ok((whole, None));
    }
    match written.rsplit_once(':') {
        Some((file, kind)) => {
            let kind = kind.parse().map_err(|error| format!("{error}"))?;
            Ok((PathBuf::from(file), Some(kind)))
        }
        None => Ok((whole, None)),
    }
}

impl DataOptions {
    pub(super) fn development(&self) -> DevelopmentOptions {
        DevelopmentOptions {
            share: self.dev_share,
            languages: self.dev_languages,
            queries: self.dev_queries,
            ..DevelopmentOptions::default()
        }
    }

    /// Reads everything, and says what became of it.
    pub(super) fn load(&self, ui: Ui) -> anyhow::Result<Data> {
        let mut exclusions = Exclusions::new();
        for folder in &self.exclude {
            exclusions.exclude(folder)?;
        }
        let mut files = self.pairs.clone();
        for folder in &self.data {
            exclusions.check_place(folder)?;
            let known = Kind::in_folder(folder);
            if known.is_empty() {
                return Err(LoadError::Folder { folder: folder.clone() }.into());
            }
            files.extend(known.into_iter().map(|(file, kind)| (file, Some(kind))));
        }
        let on_bad = if self.skip_bad { OnBadLine::Skip } else { OnBadLine::Refuse };
        let (mut corpus, loaded) = load(&files, &exclusions, on_bad)?;
        told(&loaded, &exclusions, ui);
        let (development, cut) = Development::cut(&mut corpus, &self.development());
        told_of_cut(&development, cut, ui);
        if let Some(most) = self.limit {
            corpus.limit(most, 0);
        }
        let (sets, languages) = (corpus.len(), corpus.languages().len());
        ui.note(format_args!("training on {sets} sets of texts in {languages} languages"));
        let fingerprint = corpus.fingerprint();
        Ok(Data { corpus, development, fingerprint })
    }
}

fn told(loaded: &Loaded, exclusions: &Exclusions, ui: Ui) {
    for (file, bad) in &loaded.bad_lines {
        ui.warn(format_args!("{}: {bad} lines are no rows and were left out", file.display()));
    }
    for (name, counts) in &loaded.sources {
        let mut words = vec![format!("{} sets", counts.kept)];
        let mut add = |count: usize, what: &str| {
            if count > 0 {
                words.push(format!("{count} {what}"));
            }
        };
        add(counts.leaked, "refused, a text is in an excluded folder");
        for (licence, count) in &counts.forbidden {
            add(*count, &format!("left out, licence {licence}"));
        }
        add(counts.alone, "make no pair");
        add(counts.without_licence, "name no licence");
        ui.note(format_args!("{name}: {}", words.join("; ")));
        if name.starts_with("mlqa") {
            ui.note(format_args!(
                "{name}: from MLQA: a model trained on it is not zero-shot on MLQA or MLQA-R, and its card has to say so"
            ));
        }
    }
    let refused: usize = loaded.sources.values().map(|counts| counts.leaked).sum();
    if exclusions.is_empty() {
        ui.note("no evaluation folder is excluded; --exclude DIR refuses what is in one");
    } else {
        ui.note(format_args!(
            "{refused} sets refused for {} texts of excluded folders",
            exclusions.len()
        ));
    }
}

fn told_of_cut(development: &Development, cut: Cut, ui: Ui) {
    let collection = development.collection();
    if collection.topics.is_empty() {
        ui.warn("no development set: the model of the last step is taken; a larger --dev-share makes one");
    }
    ui.note(format_args!(
        "development set: {} queries and {} passages in {} languages; {} sets of its documents and {} that share a text \
         with it are not trained on",
        collection.topics.len(),
        collection.passages.len(),
        collection.languages().len(),
        cut.sets,
        cut.sharing,
    ));
}
