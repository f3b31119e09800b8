//! What several tests need: the command, and corpora made on the spot.

#[cfg(feature = "onnx")]
pub(crate) mod cache;
pub(crate) mod soak;
#[cfg(feature = "onnx")]
pub(crate) mod tiny;
#[cfg(feature = "onnx")]
pub(crate) use cache::{data, model_cache};

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A folder that is gone after the test, and the command run in it.
pub(crate) struct Bench {
    folder: TempDir,
    cache: PathBuf,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { cache: folder.path().join("cache"), folder }
    }

    /// The same with models and ONNX Runtime from elsewhere.
    #[cfg(feature = "onnx")]
    pub(crate) fn with_cache(mut self, cache: &Path) -> Self {
        cache.clone_into(&mut self.cache);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs `tdense` in the folder; what it prints does not name the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(&self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs `tdense` with a text as its stdin.
    pub(crate) fn run_with(&self, stdin: &str, arguments: &[&str]) -> Ran {
        let mut child = self.spawn(arguments);
        let mut pipe = child.stdin.take().unwrap();
        let text = stdin.to_owned();
        // A command that refuses its arguments never reads.
        let writer = std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        self.ran(&output)
    }

    /// Starts `tdense` with its three streams open.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tdense"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TDENSE_CACHE", &self.cache)
            .env_remove("ORT_DYLIB_PATH");
        command
    }

    pub(crate) fn ran(&self, output: &Output) -> Ran {
        let text = |bytes: &[u8]| {
            let folder = self.folder.path().to_string_lossy().into_owned();
            String::from_utf8(bytes.to_vec()).unwrap().replace(&folder, "DIR")
        };
        Ran {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Ran {
    /// Stops the test with both streams if the command did not end as wanted.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// Reads lines until one contains `text`, and gives the lines read.
pub(crate) fn read_until(stream: &mut BufReader<impl std::io::Read>, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "no `{text}` in {lines:#?}");
        lines.push(line.clone());
        if line.contains(text) {
            return lines;
        }
    }
}

/// Numbered passages as JSON lines, from `first` up to and without `end`.
pub(crate) fn numbered(first: usize, end: usize) -> String {
    use std::fmt::Write as _;
    (first..end).fold(String::new(), |mut lines, i| {
        writeln!(lines, r#"{{"_id": "d{i}", "lang": "en", "text": "passage number {i} of many"}}"#)
            .unwrap();
        lines
    })
}

/// The collection in `fixtures/parallel`.
pub(crate) fn parallel() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parallel").to_string_lossy().into_owned()
}
