//! Looks at a shared library before it is loaded.
//!
//! Not part of the interface: for the package over this one, which loads ONNX Runtime.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Whether an ELF file ends before its section headers, which come last. Loading such a file would kill the
/// process when it touches a page that is not there. What is no ELF file is left to the loader, which
/// says so.
///
/// # Errors
/// The file system's.
pub fn is_cut_short(library: &Path) -> io::Result<bool> {
    let mut file = File::open(library)?;
    let length = file.metadata()?.len();
    let mut header = Vec::with_capacity(64);
    file.by_ref().take(64).read_to_end(&mut header)?;
    if header.len() < 64 {
        return Ok(true);
    }
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let u16_at = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let sections = u64::from_le_bytes(std::array::from_fn(|i| header[0x28 + i]));
    let end = sections.checked_add(u16_at(0x3a) * u16_at(0x3c));
    Ok(end.is_none_or(|end| end > length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_ends_before_its_section_headers_is_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("lib.so");
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(120, 0);
        bytes[0x28] = 100; // where the section headers begin
        bytes[0x3a] = 10; // bytes a section header
        bytes[0x3c] = 2; // section headers
        for (length, cut) in [(0, true), (10, true), (64, true), (119, true), (120, false)] {
            std::fs::write(&library, &bytes[..length]).unwrap();
            assert_eq!(is_cut_short(&library).unwrap(), cut, "{length} bytes");
        }
        std::fs::write(&library, [b'x'; 64]).unwrap();
        assert!(!is_cut_short(&library).unwrap());
    }
}
