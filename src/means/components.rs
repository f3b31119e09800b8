//! The directions in which vectors differ most: principal components, by orthogonal iteration.

use ndarray::{Array1, Array2};

/// Each round squares the ratio of neighbouring components; the order of nearly equal ones does not matter here.
const ROUNDS: usize = 50;

/// The `count` leading directions of rows whose mean is 0, of length 1 and at right angles, the first the
/// one in which they differ most; fewer, where rows differ in fewer.
pub(super) fn leading(rows: &Array2<f32>, count: usize) -> Vec<Array1<f32>> {
    let mut basis: Vec<Array1<f32>> = Vec::new();
    for _ in 0..count.min(rows.ncols()) {
        // The row that has most left is a start that no component is at right angles to by chance.
        let left = |row: usize| {
            let mut row = rows.row(row).to_owned();
            remove(&mut row, &basis);
            row
        };
        let start = (0..rows.nrows()).map(left).max_by(|a, b| a.dot(a).total_cmp(&b.dot(b)));
        let Some(mut direction) = start.and_then(unit) else { break };
        for _ in 0..ROUNDS {
            let mut next = rows.t().dot(&rows.dot(&direction));
            remove(&mut next, &basis);
            let Some(next) = unit(next) else { break };
            direction = next;
        }
        basis.push(direction);
    }
    basis
}

fn remove(row: &mut Array1<f32>, basis: &[Array1<f32>]) {
    for direction in basis {
        let along = row.dot(direction);
        row.scaled_add(-along, direction);
    }
}

/// Of length 1; nothing where there is nothing but rounding.
fn unit(row: Array1<f32>) -> Option<Array1<f32>> {
    let length = row.dot(&row).sqrt();
    (length > 1e-6).then(|| row / length)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_longest_axis_comes_first_and_no_more_come_than_there_are() {
        let rows = array![[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]];
        let found = leading(&rows, 3);
        assert_eq!(found.len(), 2);
        assert!(found[0][0].abs() > 0.9999 && found[1][1].abs() > 0.9999, "{found:?}");
    }

    #[test]
    fn rows_that_do_not_differ_have_none() {
        assert!(leading(&Array2::zeros((4, 3)), 2).is_empty());
        assert!(leading(&Array2::zeros((0, 3)), 2).is_empty());
    }
}
