//! What a card does, on a card that is the processor: the same calls of FAISS's C API, in a library with a
//! FAISS of its own, which the tests link. `benches/card.rs` asks a real one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use proptest::prelude::*;
use tantivy::indexer::NoMergePolicy;
use tantivy::query::TermQuery;
use tantivy::schema::{IndexRecordOption, STRING, Schema};
use tantivy::{TantivyDocument, Term};

use super::*;
use crate::ann::{
    AnnBackend, AnnSink, BuildJob, Exact, Factory, Graph, Lists, RowSet, conformance, exact,
};
use crate::{
    AnnRecipe, DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, Dim, KnnQuery, Vectors,
    search_batch,
};

static LINKING: Mutex<()> = Mutex::new(());

/// Links the library once for each content of its source.
fn library() -> PathBuf {
    let source = include_str!("ffi/pretend_gpu.cpp");
    let folder = Path::new(env!("OUT_DIR"));
    let library = folder.join(format!("pretend-{:08x}.so", crc32fast::hash(source.as_bytes())));
    let _one = LINKING.lock().unwrap();
    if library.exists() {
        return library;
    }
    let faiss = env!("FAISS_ROOT");
    let exports = folder.join("pretend.exports");
    std::fs::write(&exports, "{ global: faiss_*; local: *; };").unwrap();
    let unfinished = library.with_extension(std::process::id().to_string());
    let linked = Command::new("c++")
        .args(["-std=c++17", "-O1", "-fPIC", "-fopenmp", "-shared"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ann/ffi/pretend_gpu.cpp"))
        .args([format!("-I{faiss}/include"), "-o".to_owned()])
        .arg(&unfinished)
        .arg(format!(
            "-Wl,--version-script={},-Bsymbolic,-z,defs,--whole-archive",
            exports.display()
        ))
        .args([format!("{faiss}/build/c_api/libfaiss_c.a"), format!("{faiss}/lib/libfaiss.a")])
        .args(["-Wl,--no-whole-archive", "-lgomp", "-llapack", "-lblas"])
        .status()
        .expect("a C++ compiler, which FAISS was built by");
    assert!(linked.success(), "{linked}");
    std::fs::rename(unfinished, &library).unwrap();
    library
}

fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::load(&library(), 0).unwrap()).clone()
}

/// A backend whose indexes are searched on the card.
#[derive(Debug)]
struct Carried<B>(B);

#[derive(Debug)]
struct CarriedIndex {
    rows: RowsView,
    backend: &'static str,
    parts: AnnParts,
    processor: Box<dyn AnnIndex>,
    card: OnceLock<OnCard>,
}

impl<B: AnnBackend> AnnBackend for Carried<B> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn build(&self, job: &BuildJob<'_>, out: &mut dyn AnnSink) -> Result<(), AnnError> {
        self.0.build(job, out)
    }

    fn open(&self, parts: &AnnParts, rows: RowsView) -> Result<Box<dyn AnnIndex>, AnnError> {
        let processor = self.0.open(parts, rows.clone())?;
        let (backend, parts, card) = (self.name(), parts.clone(), OnceLock::new());
        Ok(Box::new(CarriedIndex { rows, backend, parts, processor, card }))
    }
}

impl AnnIndex for CarriedIndex {
    fn search(
        &self,
        query: &[f32],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Neighbour>, AnnError> {
        Ok(self.search_batch(&[query], k, accept, params)?.concat())
    }

    fn search_batch(
        &self,
        queries: &[&[f32]],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Vec<Neighbour>>, AnnError> {
        let card = self.card.get_or_init(|| {
            let of_index = OnCard::index(&gpu(), &self.rows, self.backend, &self.parts).unwrap();
            of_index.unwrap_or_else(|| OnCard::exact(&gpu(), &self.rows).unwrap())
        });
        card.search_batch(&*self.processor, queries, k, accept, params)
    }
}

#[test]
fn what_a_card_finds_conforms() {
    conformance::check(&Carried(Exact));
    conformance::check(&Carried(Graph::new(8, 20, None)));
    conformance::check(&Carried(Lists::new(None, None).on(Some(&gpu()))));
    conformance::check(&Carried(Lists::new(Some(3), Some(Element::Int8)).on(Some(&gpu()))));
    conformance::check(&Carried(Lists::new(Some(5), Some(Element::F16))));
}

/// Numbers without ties, the same each time.
fn rows(count: usize, dim: usize, metric: Metric) -> RowsView {
    let mut state = 0x2545_F491_u32;
    let numbers = (0..count * dim).map(|_| {
        // Xorshift (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f32::from(u16::try_from(state >> 16).unwrap()) / 32768.0 - 1.0
    });
    let vectors = Vectors::from_flat(Dim::new(dim).unwrap(), numbers.collect()).unwrap();
    RowsView::from_vectors(&vectors, metric, Element::F32)
}

#[test]
fn a_card_builds_the_lists_that_the_processor_does() {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let rows = rows(3000, 24, metric);
        let built = |gpu: Option<&Gpu>| {
            let mut parts = AnnParts::default();
            let job = BuildJob { rows: &rows, base: None, threads: 1 };
            Lists::new(Some(20), None).on(gpu).build(&job, &mut parts).unwrap();
            parts
        };
        let (here, there) = (built(None), built(Some(&gpu())));
        for name in ["centroids", "ends", "rows"] {
            assert_eq!(here.bytes(name).unwrap().as_slice(), there.bytes(name).unwrap().as_slice());
        }
        assert_eq!(here.facts, there.facts);
    }
}

#[test]
fn indexes_of_faiss_are_built_on_a_card_or_where_it_has_none_of_their_kind_by_the_processor() {
    for description in ["IVF8,PQ6x4", "IVF8,SQ8", "IVF8,Flat", "PCA8,IVF4,SQ8", "HNSW8", "Flat"] {
        for metric in [Metric::Cosine, Metric::L2] {
            let rows = rows(1000, 24, metric);
            let backend = Factory::new(description, rows.dim(), metric).unwrap();
            let built = |backend: Factory| {
                let mut parts = AnnParts::default();
                let job = BuildJob { rows: &rows, base: None, threads: 1 };
                backend.build(&job, &mut parts).unwrap();
                parts.bytes("index").unwrap()
            };
            let (here, there) = (built(backend.clone()), built(backend.clone().on(Some(&gpu()))));
            // Threads that build a graph meet in another order each time.
            if description != "HNSW8" {
                assert_eq!(here.as_slice(), there.as_slice(), "{description}");
            }
            let mut parts = AnnParts::default();
            parts.section("index", &mut |out| out.write_all(&there)).unwrap();
            let index = Carried(backend).open(&parts, rows.clone()).unwrap();
            let params = SearchParams { nprobe: Some(8), rescore: Some(8), ..Default::default() };
            let query = [0.3; 24];
            let truth = exact::search(&rows, &query, 5, &Accept::All).unwrap();
            let found = index.search(&query, 5, &Accept::All, &params).unwrap();
            let right = found.iter().filter(|n| n.score >= truth[4].score).count();
            assert!(right >= 3, "{description} {metric:?}: {found:?} {truth:?}");
        }
    }
}

#[test]
fn a_product_quantizer_of_many_parts_is_built_on_a_card() {
    let rows = rows(600, 128, Metric::L2);
    let mut index = CardIndex::make(&gpu().card, rows.dim(), Metric::L2, "IVF4,PQ64x4").unwrap();
    let numbers = lists::floats(&rows, 0..600);
    index.train(&numbers).unwrap();
    index.add(&numbers).unwrap();
    assert!(!index.bytes().unwrap().is_empty());
}

#[test]
fn what_a_card_did_not_give_is_never_better_than_what_it_gave() {
    // Rows that are nearly the same: rounding decides which of them FAISS gives.
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let dim = Dim::new(64).unwrap();
        let noise = rows(5000, 64, metric);
        let mut numbers = Vec::new();
        noise.for_each(0..5000, |_, row| numbers.extend(row.iter().map(|x| 1.0 + 1e-6 * x)));
        let vectors = Vectors::from_flat(dim, numbers).unwrap();
        let rows = RowsView::from_vectors(&vectors, metric, Element::F32);
        let card = OnCard::exact(&gpu(), &rows).unwrap();
        let processor = Exact::over(rows.clone());
        let query = [0.7; 64];
        let params = SearchParams::default();
        let truth = exact::search(&rows, &query, 10, &Accept::All).unwrap();
        let found = card.search_batch(&processor, &[&query], 10, &Accept::All, &params).unwrap();
        assert_eq!(found, [truth], "{metric:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_exact_search_on_a_card_is_that_of_the_processor_to_the_bit(
        numbers in prop::collection::vec(-2i8..3, 300 * 3),
        passing in prop::collection::btree_set(0u32..300, 0..300),
        filtered: bool,
        metric in prop::sample::select(vec![Metric::Cosine, Metric::Dot, Metric::L2]),
        element in prop::sample::select(vec![Element::F32, Element::F16, Element::Int8]),
        k in 0usize..400,
    ) {
        // Few numbers, so that many rows are equal and scores tie.
        let numbers = numbers.into_iter().map(f32::from).collect();
        let vectors = Vectors::from_flat(Dim::new(3).unwrap(), numbers).unwrap();
        let rows = RowsView::from_vectors(&vectors, metric, element);
        let accept = if filtered {
            Accept::Rows(RowSet::from_fn(300, |row| passing.contains(&row)))
        } else {
            Accept::All
        };
        let card = OnCard::exact(&gpu(), &rows).unwrap();
        let processor = Exact::over(rows.clone());
        let queries: [&[f32]; 4] = [&[1.0, 0.5, -1.0], &[0.0; 3], &[1e30, 1.0, -1e30], &[0.1, 0.2, 0.3]];
        let params = SearchParams::default();
        let found = card.search_batch(&processor, &queries, k, &accept, &params).unwrap();
        prop_assert_eq!(found, exact::search_batch(&rows, &queries, k, &accept).unwrap());
    }
}

/// Documents with one vector each, some of which pass a filter and some of which are deleted, in two segments.
fn index_of(
    recipe: &str,
    gpu: Option<Gpu>,
) -> (DenseIndex, tantivy::schema::Field, tantivy::schema::Field) {
    let mut schema = Schema::builder();
    let kind = schema.add_text_field("kind", STRING);
    let options =
        DenseOptions::new(Dim::new(16).unwrap()).ann(recipe.parse::<AnnRecipe>().unwrap());
    let dense = schema.add_dense_field("v", options);
    let index = DenseIndex::create_in_ram(schema.build()).unwrap().build_threads(1);
    if let Some(gpu) = gpu {
        index.use_gpu(gpu);
    }
    let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let rows = rows(4000, 16, Metric::Cosine);
    rows.for_each(0..4000, |row, vector| {
        let mut doc = TantivyDocument::new();
        doc.add_text(kind, if row % 7 == 0 { "rare" } else { "common" });
        if row % 11 == 0 {
            doc.add_text(kind, "gone");
        }
        doc.add_dense(dense, vector);
        writer.add_document(doc).unwrap();
        if row == 2500 {
            writer.commit().unwrap();
        }
    });
    writer.commit().unwrap();
    writer.optimize().unwrap().wait().unwrap();
    writer.delete_term(Term::from_field_text(kind, "gone")).unwrap();
    writer.commit().unwrap();
    (index, dense, kind)
}

#[test]
fn an_index_searches_for_batches_on_its_card_as_the_processor_does() {
    for recipe in ["exact", "hnsw(8,20)", "ivf(16)", "factory(IVF16,PQ8x4)"] {
        let searched = |gpu: Option<Gpu>| {
            let (index, dense, kind) = index_of(recipe, gpu);
            let reader = index.manual_reader().unwrap();
            reader.warm().unwrap();
            let searcher = reader.searcher();
            let rare = Term::from_field_text(kind, "rare");
            let rare = TermQuery::new(rare, IndexRecordOption::Basic);
            let sources = rows(200, 16, Metric::Cosine);
            let all = KnnQuery::new(dense, vec![0.0; 16], 10).nprobe(16);
            let of_each = [all.clone().exact(), all.clone().filter(rare).exact(), all];
            let mut queries = Vec::new();
            for query in of_each {
                sources.for_each(0..200, |_, vector| queries.push(query.with_vector(vector)));
            }
            let found = search_batch(&searcher, &queries).unwrap();
            found.iter().map(|hits| hits.iter().collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let (here, there) = (searched(None), searched(Some(gpu())));
        assert_eq!(here[..400], there[..400], "{recipe}, exact");
        let share = |found: &[Vec<(f32, tantivy::DocAddress)>]| {
            let right = found.iter().zip(&here[..200]).map(|(found, truth)| {
                assert_eq!(found.len(), 10);
                found.iter().filter(|hit| truth.contains(hit)).count()
            });
            right.sum::<usize>()
        };
        assert!(share(&there[400..]) >= 1800, "{recipe}: {} of 2000", share(&there[400..]));
    }
}

#[test]
fn a_library_that_is_none_of_faiss_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Gpu::load(&folder.path().join("no.so"), 0).unwrap_err();
    assert!(matches!(missing, GpuError::Missing { .. }), "{missing}");
    let text = folder.path().join("text.so");
    std::fs::write(&text, "x".repeat(100)).unwrap();
    let error = Gpu::load(&text, 0).unwrap_err();
    assert!(matches!(error, GpuError::Load { .. }), "{error}");
    let whole = std::fs::read(library()).unwrap();
    let cut = folder.path().join("cut.so");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let error = Gpu::load(&cut, 0).unwrap_err();
    assert!(matches!(error, GpuError::CutShort { .. }), "{error}");
    let error = Gpu::load(&library(), 1).unwrap_err();
    assert!(matches!(error, GpuError::NoCard { device: 1, cards: 1 }), "{error}");
}

#[test]
fn several_threads_share_a_card() {
    let rows = rows(3000, 16, Metric::Cosine);
    let (card, processor) = (OnCard::exact(&gpu(), &rows).unwrap(), Exact::over(rows.clone()));
    let params = SearchParams::default();
    let query = [0.4; 16];
    let truth = exact::search(&rows, &query, 10, &Accept::All).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let found =
                        card.search_batch(&processor, &[&query[..]; 70], 10, &Accept::All, &params);
                    assert!(found.unwrap().iter().all(|found| *found == truth));
                }
                let mut parts = AnnParts::default();
                let job = BuildJob { rows: &rows, base: None, threads: 1 };
                Lists::new(Some(8), None).on(Some(&gpu())).build(&job, &mut parts).unwrap();
            });
        }
    });
}
