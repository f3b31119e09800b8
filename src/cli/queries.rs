//! `tdense search --queries`: a file of queries, encoded and searched for together.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use anyhow::{Context, bail};
use dense_eval::{Hit, Run, Topic};
use serde::Serialize;

use super::search::{Options, shown};
use super::ui::Ui;
use crate::engine::{Engine, Found, Request};

/// How many queries are encoded and searched for at once: enough for batches of like length, and few
/// enough that what they find fits memory and the first answers come soon.
const BLOCK: usize = 1024;

/// A document on a line of its own, with the query that it is for.
#[derive(Serialize)]
struct Answer<'a> {
    query: &'a str,
    #[serde(flatten)]
    found: &'a Found,
}

/// Reads queries from a file, or from stdin for `-`.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Topic>> {
    let topics = if file == Path::new("-") {
        Topic::read_from(io::stdin(), "standard input".as_ref())?
    } else {
        Topic::read(file)?
    };
    if topics.is_empty() {
        bail!("{}: there is no query in it", file.display());
    }
    Ok(topics)
}

/// Searches for each query, and shows what it finds or writes it to a run.
pub(super) fn search(
    topics: &[Topic],
    options: &Options,
    engine: &Engine,
    ui: Ui,
) -> anyhow::Result<()> {
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    if let Some(file) = &options.run {
        // Before searching: what cannot be written is said at once.
        let opened = OpenOptions::new().append(true).create(true).open(file);
        opened.with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    let mut run = Run::new(options.mode.name());
    let mut without = 0;
    let mut progress = ui.progress("searching", "queries", Some(topics.len() as u64));
    for block in topics.chunks(BLOCK) {
        let requests: Vec<Request<'_>> = block
            .iter()
            .map(|topic| options.request(&topic.text, topic.language.as_deref()))
            .collect();
        for (topic, found) in block.iter().zip(engine.search_batch(&requests, threads)?) {
            without += usize::from(found.is_empty());
            if options.run.is_some() {
                let hit = |found: Found| Hit { id: found.id, score: found.score };
                run.insert(&topic.id, found.into_iter().map(hit).collect())?;
            } else {
                show(topic, &found, options, ui)?;
            }
        }
        // A bar between lines of data would spoil both.
        if options.run.is_some() {
            progress.add(block.len() as u64);
        }
    }
    let took = progress.finish().as_secs_f64();
    if let Some(file) = &options.run {
        write_run(&run, file)?;
    }
    if without > 0 {
        ui.note(format_args!("{without} of the queries found nothing"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = topics.len() as f64 / took.max(1e-9);
    ui.note(format_args!("{} queries in {took:.1} s, {rate:.0} a second", topics.len()));
    Ok(())
}

fn show(topic: &Topic, found: &[Found], options: &Options, ui: Ui) -> anyhow::Result<()> {
    if !options.json {
        ui.line(format_args!("{}: {}", topic.id, topic.text))?;
    }
    for found in found {
        if options.json {
            ui.json(&Answer { query: &topic.id, found })?;
        } else {
            ui.line(shown(found))?;
        }
    }
    Ok(())
}

/// Writes a TREC run to a file.
pub(super) fn write_run(run: &Run, file: &Path) -> anyhow::Result<()> {
    let written = File::create(file)
        .map_err(anyhow::Error::from)
        .and_then(|out| Ok(run.write(&mut BufWriter::new(out))?));
    written.with_context(|| format!("{}: cannot be written", file.display()))
}
