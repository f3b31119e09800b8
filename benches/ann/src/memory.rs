//! Memory that is this process's own: what a file backs can be thrown away and read again.

use std::fs;

use anyhow::Context;

/// Private bytes of this process that no file backs.
///
/// Linux counts a page of a file that only one process maps as private and clean; such pages are not `Anonymous`.
pub(crate) fn private_bytes() -> anyhow::Result<u64> {
    field(&fs::read_to_string("/proc/self/smaps_rollup")?, "Anonymous:")
}

/// The most that this process ever had in memory, pages of files among it.
pub(crate) fn peak_bytes() -> anyhow::Result<u64> {
    field(&fs::read_to_string("/proc/self/status")?, "VmHWM:")
}

/// Lets the most that this process ever had start again from what it has.
pub(crate) fn reset_peak() -> anyhow::Result<()> {
    Ok(fs::write("/proc/self/clear_refs", "5")?)
}

fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.with_context(|| format!("no {name} in /proc/self"))?.parse::<u64>()? * 1024)
}
