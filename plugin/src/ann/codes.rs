//! A copy of the rows in other numbers, which an index is walked over instead of the rows.
//!
//! Invariant: what [`write`] wrote of some rows, [`read`] reads as a view of as many rows.

use std::io;

use super::{AnnParts, AnnSink, Floats, RowsBuffer, RowsView};
use crate::element::Element;

const FACT: &str = "codes";

/// What an index is walked over: a copy, or the rows themselves where they are such numbers already.
pub(super) fn of(rows: &RowsView, codes: Option<Element>) -> Option<RowsView> {
    let element = codes.filter(|element| *element != rows.element())?;
    let mut buffer = RowsBuffer::new(rows.dim(), rows.metric(), element);
    rows.for_each(0..rows.rows(), |_, row| buffer.push(row));
    buffer.into_view()
}

/// Writes the copy.
pub(super) fn write(codes: &RowsView, out: &mut dyn AnnSink) -> io::Result<()> {
    let number = match codes.element() {
        Element::F32 => 0,
        Element::F16 => 1,
        Element::Int8 => 2,
    };
    out.fact(FACT, number);
    let bytes = codes.bytes_of(0..codes.rows());
    out.section("codes", &mut |out| out.write_all(bytes))?;
    for (name, numbers) in [("scales", codes.scales()), ("norms", codes.inverse_norms())] {
        if let Some(numbers) = numbers {
            out.section(name, &mut |out| {
                numbers.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))
            })?;
        }
    }
    Ok(())
}

/// The copy of these rows; the rows where there is none; none if it is of other rows.
pub(super) fn read(parts: &AnnParts, rows: &RowsView) -> Option<RowsView> {
    let Some(number) = parts.fact(FACT) else { return Some(rows.clone()) };
    let element =
        [Element::F32, Element::F16, Element::Int8].get(usize::try_from(number).ok()?).copied()?;
    let bytes = parts.bytes("codes")?;
    let [scales, norms] = ["scales", "norms"].map(|name| parts.bytes(name).map(Floats::new));
    let codes = RowsView::new(bytes, element, rows.dim(), rows.metric(), scales, norms)?;
    (codes.rows() == rows.rows()).then_some(codes)
}
