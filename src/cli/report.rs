//! `--report FILE`: what a report needs that measuring does not, and the file itself.
//!
//! Invariant: the file is whole or as it was before: it is written beside its place and then moved there.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use dense_eval::{
    Answer, AnswerHit, Collection, Comparison, Example, Hit, Moved, Pool, Report, RetrieveError,
    Topic,
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::report::{Findings, Question, Tier, csv, html, markdown};
use crate::retrievers::full_text;

/// How many queries that gain are shown with what was found for them, and how many that lose.
const EXAMPLES: usize = 10;

/// How many hits of each system are shown for them.
const HITS: usize = 5;

/// How much of a text is shown, in characters.
const SNIPPET: usize = 240;

/// From which seed a report's tests and intervals draw.
pub(super) const SEED: u64 = 1;

/// A file for people or programs, by its ending.
#[derive(Clone, Debug)]
pub(super) struct ReportFile {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Html,
    Markdown,
    Csv,
    Json,
}

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(written);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let kind = match ending.as_deref() {
            Some("html" | "htm") => Kind::Html,
            Some("md" | "markdown") => Kind::Markdown,
            Some("csv") => Kind::Csv,
            Some("json") => Kind::Json,
            _ => return Err("the name must end in .html, .md, .csv or .json".to_owned()),
        };
        Ok(Self { path, kind })
    }
}

impl fmt::Display for ReportFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl ReportFile {
    /// Says at once that the file cannot be written, not after the measuring.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !self.folder().is_dir() {
            bail!("{}: there is no such folder to write the report in", self.folder().display());
        }
        Ok(())
    }

    fn folder(&self) -> &Path {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    /// Answers the question and writes the answers.
    pub(super) fn write(&self, question: Question<'_>) -> anyhow::Result<()> {
        let sources = question.sources.clone();
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let findings = Findings::new(question, &tier_of, threads)?;
        let text = match self.kind {
            Kind::Html => html(&findings)?,
            Kind::Markdown => markdown(&findings),
            Kind::Csv => csv(&findings)?,
            Kind::Json => {
                let comparisons = findings.comparisons().collect();
                serde_json::to_string(&Whole::new(&sources, comparisons))? + "\n"
            }
        };
        self.save(text.as_bytes())
            .with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn save(&self, content: &[u8]) -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        // What the user's mask leaves of it: others may read a report.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(".report-").tempfile_in(self.folder())?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

/// All there is, for programs. A single report can be read again by `tdense eval compare`.
#[derive(Serialize)]
#[serde(untagged)]
enum Whole<'a> {
    One {
        #[serde(flatten)]
        report: &'a Report,
        comparisons: Vec<&'a Comparison>,
    },
    Several {
        results: BTreeMap<&'a str, &'a Report>,
        comparisons: Vec<&'a Comparison>,
    },
}

impl<'a> Whole<'a> {
    fn new(sources: &'a [(String, &Report)], comparisons: Vec<&'a Comparison>) -> Self {
        match sources {
            [(_, report)] => Self::One { report, comparisons },
            all => Self::Several {
                results: all.iter().map(|(name, report)| (name.as_str(), *report)).collect(),
                comparisons,
            },
        }
    }
}

/// What was run, when, on which machine, and on what data.
pub(super) fn facts(data: &[&Path]) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut sums = BTreeMap::new();
    for path in data {
        add_sums(path, path.parent().unwrap_or(path), &mut sums)?;
    }
    let when = time::OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let when = when.format(&time::format_description::well_known::Rfc3339)?;
    let facts = [
        ("command", json!(command_line())),
        ("machine", machine()),
        ("sha256", json!(sums)),
        ("when", json!(when)),
    ];
    Ok(facts.map(|(name, value)| (name.to_owned(), value)).into())
}

/// As it may be typed again.
fn command_line() -> String {
    let mut arguments = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_default();
    let program =
        Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let quoted = arguments.map(|word| match shlex::try_quote(&word) {
        Ok(quoted) => quoted.into_owned(),
        Err(_) => word,
    });
    std::iter::once(program).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn machine() -> Value {
    let threads = std::thread::available_parallelism().map(NonZeroUsize::get).unwrap_or_default();
    let mut machine = json!({
        "threads": threads,
        "architecture": std::env::consts::ARCH,
        "system": sysinfo::System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.into()),
    });
    if let Ok(mut system) = sysinfo::System::new() {
        system.refresh_memory();
        system.refresh_cpu_all();
        if let Some(cpu) = system.cpus().first() {
            machine["cpu"] = json!(cpu.brand().trim());
        }
        #[expect(clippy::cast_precision_loss, reason = "a size for people")]
        let memory = system.total_memory() as f64 / f64::from(1 << 30);
        machine["memory"] = json!(format!("{memory:.1} GiB"));
    }
    machine
}

/// The SHA-256 of a file, or of every file in a folder, by its path below `base`.
fn add_sums(path: &Path, base: &Path, sums: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    let failed = || format!("{}: cannot be read", path.display());
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            let (path, kind) = (entry.path(), entry.file_type().with_context(failed)?);
            // A link to a folder may lead back to where we are; what is no file holds no data.
            if path.is_file() || (path.is_dir() && !kind.is_symlink()) {
                add_sums(&path, base, sums)?;
            }
        }
        return Ok(());
    }
    let mut hash = Sha256::new();
    let mut file = File::open(path).with_context(failed)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).with_context(failed)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let name = path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned();
    let mut sum = String::new();
    for byte in hash.finalize() {
        write!(sum, "{byte:02x}").expect("a String takes all");
    }
    sums.insert(name, sum);
    Ok(())
}

/// The resource tier of a language, the richer first.
fn tier_of(language: &str) -> Option<Tier> {
    let tier = dense_eval::facts(language)?.tier();
    let place = match tier {
        dense_eval::Tier::High => 0,
        dense_eval::Tier::Low => 1,
    };
    Some(Tier { place, name: tier.to_string() })
}

/// How a system that was measured searches a pool for a topic.
pub(super) type Search<'a> = &'a dyn Fn(&str, &Topic, Pool<'_>) -> Result<Vec<Hit>, RetrieveError>;

/// Adds the topics of a collection that gain and lose most between the first two systems, with what
/// each system found for them.
pub(super) fn add_examples(
    report: &mut Report,
    collection: &Collection,
    search: Search<'_>,
) -> anyhow::Result<()> {
    let (systems, Some(&measure)) = (report.systems().to_vec(), report.measures().first()) else {
        return Ok(());
    };
    let [first, second, ..] = &systems[..] else { return Ok(()) };
    let languages = collection.languages();
    let mut examples = Vec::new();
    for Moved { language, topic, values } in report.moved([first, second], collection, EXAMPLES) {
        let is_it = |known: &&Topic| {
            known.id == topic && known.language.as_deref().unwrap_or(&collection.name) == language
        };
        let Some(topic) = collection.topics.iter().find(is_it) else {
            continue;
        };
        let own = topic.language.as_deref().filter(|own| languages.contains(own));
        // As it was measured: several languages are told apart.
        let pool = own.filter(|_| languages.len() > 1).map_or(Pool::All, Pool::Language);
        let grades = collection.qrels.of(&topic.id);
        let relevant: HashSet<&str> =
            grades.filter(|(_, grade)| *grade > 0).map(|(id, _)| id).collect();
        let mut answers = Vec::new();
        for (system, value) in [first, second].into_iter().zip(values) {
            let mut hits = search(system, topic, pool)?;
            hits.sort_by(Hit::ranking);
            let first = hits.iter().position(|hit| relevant.contains(hit.id.as_str()));
            hits.truncate(HITS);
            let hit = |hit: Hit| {
                let passage = collection.passages.iter().find(|passage| passage.id == hit.id);
                let text = passage.map(|passage| snippet(&full_text(passage))).unwrap_or_default();
                AnswerHit { relevant: relevant.contains(hit.id.as_str()), id: hit.id, text }
            };
            answers.push(Answer {
                system: system.clone(),
                value,
                first_relevant: first.map(|at| at + 1),
                hits: hits.into_iter().map(hit).collect(),
            });
        }
        let (topic, text) = (topic.id.clone(), topic.text.clone());
        examples.push(Example { language, topic, text, measure, answers });
    }
    report.add_examples(examples, EXAMPLES);
    Ok(())
}

/// The beginning of a text, up to a space if there is one near.
fn snippet(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(SNIPPET) else { return text.to_owned() };
    let cut = &text[..end];
    let space = cut.rfind(char::is_whitespace).filter(|&at| at > end / 2);
    format!("{}…", cut[..space.unwrap_or(end)].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_space_or_between_characters_and_only_if_it_is_long() {
        assert_eq!(snippet("short"), "short");
        let words = "word ".repeat(100);
        assert_eq!(snippet(&words), format!("{}…", "word ".repeat(48).trim_end()));
        let one = "水".repeat(SNIPPET + 1);
        assert_eq!(snippet(&one), format!("{}…", "水".repeat(SNIPPET)));
    }

    #[test]
    fn the_ending_says_what_is_written() {
        assert!(matches!("a/b.HTML".parse::<ReportFile>().unwrap().kind, Kind::Html));
        for wrong in ["report", "report.pdf", ".html", ""] {
            let error = wrong.parse::<ReportFile>().unwrap_err();
            assert_eq!(error, "the name must end in .html, .md, .csv or .json", "{wrong}");
        }
    }
}
