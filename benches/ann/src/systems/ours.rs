//! A dense field of a Tantivy index, searched as a user searches it: a whole search with a collector.

use std::path::Path;

use anyhow::Context;
use tantivy::collector::TopDocs;
use tantivy::indexer::NoMergePolicy;
use tantivy::query::Query;
use tantivy::schema::{FAST, Field, INDEXED, Schema};
use tantivy::{Searcher, TantivyDocument, doc};
use tantivy_dense::{
    AnnRecipe, DenseDocument, DenseIndex, DenseOptions, DenseReader, DenseSchemaBuilder,
    DenseWriter, Dim, Element as RowElement, KnnQuery,
};

use super::{Config, Element, Search, Segments};
use crate::data::{K, Rows, pick};

/// The number of a row.
const ROW: &str = "row";
/// The number that filters ask for.
pub(crate) const PICK: &str = "pick";
/// The vector.
const VECTOR: &str = "vector";

/// Memory for documents that wait to become a segment: enough for all of them.
const BUDGET: usize = 2_000_000_000;

/// How often an index with the default merge policy is committed while it is filled.
const COMMITS: usize = 10;

/// Fills an index into an empty folder, and builds what its recipe says.
pub(super) fn build(
    config: &Config,
    rows: &Rows,
    folder: &Path,
    threads: usize,
) -> anyhow::Result<()> {
    match config.segments {
        Segments::One => {
            let mut filling = Filling::start(config, rows.dim(), folder, 1)?;
            filling.writer.set_merge_policy(Box::new(NoMergePolicy));
            filling.add(rows, 0..rows.len())?;
            filling.merge()?;
            filling.finish()
        }
        Segments::Policy => {
            let mut filling = Filling::start(config, rows.dim(), folder, threads)?;
            let each = rows.len().div_ceil(COMMITS);
            for first in (0..rows.len()).step_by(each) {
                filling.add(rows, first..(first + each).min(rows.len()))?;
            }
            filling.finish()
        }
    }
}

/// An index that is being filled.
pub(crate) struct Filling {
    index: DenseIndex,
    writer: DenseWriter<TantivyDocument>,
    fields: [Field; 3],
}

impl Filling {
    /// A new index in an empty folder, with a writer of so many threads.
    pub(crate) fn start(
        config: &Config,
        dim: usize,
        folder: &Path,
        threads: usize,
    ) -> anyhow::Result<Self> {
        let recipe: AnnRecipe = config.recipe.to_string().parse()?;
        let element = match config.element {
            Element::F32 => RowElement::F32,
            Element::F16 => RowElement::F16,
            Element::Int8 => RowElement::Int8,
        };
        let mut schema = Schema::builder();
        let row = schema.add_u64_field(ROW, FAST);
        let pick = schema.add_u64_field(PICK, FAST | INDEXED);
        let options = DenseOptions::new(Dim::new(dim)?).ann(recipe).element(element);
        let vector = schema.add_dense_field(VECTOR, options);
        let index = DenseIndex::create_in_dir(folder, schema.build())?;
        let writer = index.writer_with_num_threads(threads, BUDGET)?;
        Ok(Self { index, writer, fields: [row, pick, vector] })
    }

    /// No merge but those that are asked for.
    pub(crate) fn without_merges(self) -> Self {
        self.writer.set_merge_policy(Box::new(NoMergePolicy));
        self
    }

    /// Adds and commits some of the rows, which are numbered as they lie.
    pub(crate) fn add(&mut self, rows: &Rows, which: std::ops::Range<usize>) -> anyhow::Result<()> {
        let [row, picked, vector] = self.fields;
        for at in which {
            let id = u32::try_from(at)?;
            let mut document = doc!(row => u64::from(id), picked => pick(id));
            document.add_dense(vector, rows.row(at));
            self.writer.add_document(document)?;
        }
        self.writer.commit()?;
        Ok(())
    }

    /// Merges all segments into one, where there are several.
    pub(crate) fn merge(&mut self) -> anyhow::Result<()> {
        let segments = self.index.tantivy().searchable_segment_ids()?;
        if segments.len() > 1 {
            self.writer.merge(&segments).wait()?;
        }
        Ok(())
    }

    /// Builds what segments lack, and waits for it.
    pub(crate) fn optimize(&self) -> anyhow::Result<()> {
        self.writer.optimize()?.wait()?;
        Ok(())
    }

    /// Waits for merges, builds what is absent, and leaves no file that nobody needs.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.writer.wait_merging_threads()?;
        let writer: DenseWriter<TantivyDocument> = self.index.writer_with_num_threads(1, BUDGET)?;
        writer.optimize()?.wait()?;
        writer.garbage_collect_files().wait()?;
        Ok(())
    }
}

/// An index that is open.
pub(crate) struct Opened {
    reader: DenseReader,
    searcher: Searcher,
    vector: Field,
    lists: bool,
    effort: Option<usize>,
}

impl Opened {
    /// Opens an index that may be searched, though it is not checked yet.
    pub(crate) fn open(config: &Config, folder: &Path) -> anyhow::Result<Self> {
        let index = DenseIndex::open_in_dir(folder)?;
        let vector = index.schema().get_field(VECTOR)?;
        let reader = index.manual_reader()?;
        let searcher = reader.searcher();
        let lists = config.recipe.has_lists();
        Ok(Self { reader, searcher, vector, lists, effort: None })
    }

    /// The field that filters ask for.
    pub(crate) fn pick(&self) -> anyhow::Result<Field> {
        Ok(self.searcher.schema().get_field(PICK)?)
    }

    /// Searches among the documents that pass a filter.
    pub(crate) fn search_in(
        &self,
        query: &[f32],
        filter: Option<Box<dyn Query>>,
    ) -> anyhow::Result<Vec<u64>> {
        let mut near = KnnQuery::new(self.vector, query, K);
        match self.effort {
            Some(lists) if self.lists => near = near.nprobe(lists),
            Some(candidates) => near = near.ef_search(candidates),
            None => {}
        }
        if let Some(filter) = filter {
            near = near.filter(filter);
        }
        let hits = self.searcher.search(&near, &TopDocs::with_limit(K).order_by_score())?;
        let packed =
            |at: tantivy::DocAddress| u64::from(at.segment_ord) << 32 | u64::from(at.doc_id);
        Ok(hits.into_iter().map(|(_, at)| packed(at)).collect())
    }
}

impl Search for Opened {
    fn set_effort(&mut self, effort: usize) -> anyhow::Result<()> {
        self.effort = Some(effort);
        Ok(())
    }

    fn search(&self, query: &[f32]) -> anyhow::Result<Vec<u64>> {
        self.search_in(query, None)
    }

    fn parts(&self) -> usize {
        self.searcher.segment_readers().len()
    }

    fn check(&self) -> anyhow::Result<()> {
        Ok(self.reader.warm()?)
    }

    fn rows(&self, found: &[u64]) -> anyhow::Result<Vec<u32>> {
        let row = |packed: &u64| {
            let [segment, doc] = [packed >> 32, packed & u64::from(u32::MAX)];
            let reader = self.searcher.segment_reader(u32::try_from(segment)?);
            let numbers = reader.fast_fields().u64(ROW)?;
            let number =
                numbers.first(u32::try_from(doc)?).context("a document without a number")?;
            Ok(u32::try_from(number)?)
        };
        found.iter().map(row).collect()
    }
}
