//! Runs a graph in f64, node by node: the reference that gradients are checked against.
//!
//! Invariant: each operator is written from its definition in the ONNX specification, and none from another.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::too_many_lines,
    reason = "numbers of tests are small, and one operator follows another"
)]

use std::collections::HashMap;

use ndarray::{ArrayD, ArrayViewD, Axis, Ix2, IxDyn, Slice, concatenate};

use super::builder::{Attribute, GraphBuilder, Node, Value};
use super::shapes::attribute;
use super::tensor::{Numbers, Tensor};

pub(crate) type Array = ArrayD<f64>;

/// What the graph gives for these inputs, by name. Whole numbers are held as floating-point ones.
pub(crate) fn run(graph: &GraphBuilder, inputs: &HashMap<String, Array>) -> HashMap<String, Array> {
    let mut known: HashMap<Value, Array> = HashMap::new();
    for port in &graph.inputs {
        let name = graph.name_of(port.value);
        let given = inputs.get(name).unwrap_or_else(|| panic!("nothing is given as `{name}`"));
        known.insert(port.value, given.clone());
    }
    for (value, tensor) in &graph.constants {
        known.insert(*value, array(tensor));
    }
    for node in &graph.nodes {
        let inputs: Vec<&Array> = node.inputs.iter().map(|value| &known[value]).collect();
        let outputs = compute(node, &inputs);
        known.extend(node.outputs.iter().copied().zip(outputs));
    }
    let outputs = graph.outputs.iter();
    outputs.map(|port| (graph.name_of(port.value).to_owned(), known[&port.value].clone())).collect()
}

pub(crate) fn array(tensor: &Tensor) -> Array {
    let numbers = match tensor.numbers() {
        Numbers::F32(x) => x.iter().map(|&x| f64::from(x)).collect(),
        Numbers::I64(x) => x.iter().map(|&x| x as f64).collect(),
        other => panic!("{other:?} is not needed"),
    };
    Array::from_shape_vec(IxDyn(tensor.dims()), numbers).unwrap()
}

fn compute(node: &Node, inputs: &[&Array]) -> Vec<Array> {
    let x = inputs[0];
    let rank = x.ndim();
    let list = |at: usize| -> Vec<i64> { inputs[at].iter().map(|&n| n as i64).collect() };
    let place = |axis: i64, rank: usize| axis.rem_euclid(rank as i64) as usize;
    let int = |name| match attribute(node, name) {
        Some(&Attribute::Int(n)) => Some(n),
        _ => None,
    };
    let one = |array| vec![array];
    match node.operator {
        "Add" => one(pairwise(x, inputs[1], |a, b| a + b)),
        "Sub" => one(pairwise(x, inputs[1], |a, b| a - b)),
        "Mul" => one(pairwise(x, inputs[1], |a, b| a * b)),
        "Div" => one(pairwise(x, inputs[1], |a, b| a / b)),
        "Max" => one(pairwise(x, inputs[1], f64::max)),
        "Min" => one(pairwise(x, inputs[1], f64::min)),
        "Sum" => one(inputs[1..].iter().fold(x.clone(), |a, b| pairwise(&a, b, |a, b| a + b))),
        "Neg" => one(x.mapv(|x| -x)),
        "Exp" => one(x.mapv(f64::exp)),
        "Erf" => one(x.mapv(erf)),
        "Sqrt" => one(x.mapv(f64::sqrt)),
        "Tanh" => one(x.mapv(f64::tanh)),
        "Gelu" => one(x.mapv(|x| x * 0.5 * (1.0 + erf(x / 2_f64.sqrt())))),
        "Identity" | "Cast" => one(x.clone()),
        "MatMul" => one(product(x, inputs[1])),
        "Transpose" => {
            let Some(Attribute::Ints(order)) = attribute(node, "perm") else { panic!("no order") };
            let order: Vec<usize> = order.iter().map(|&i| i as usize).collect();
            one(x.clone().permuted_axes(order).as_standard_layout().to_owned())
        }
        "Reshape" => {
            let wanted = list(1);
            let kept = |(i, n): (usize, &i64)| if *n == 0 { x.shape()[i] as i64 } else { *n };
            let dims: Vec<i64> = wanted.iter().enumerate().map(kept).collect();
            let known: i64 = dims.iter().filter(|&&n| n > 0).product();
            let dim = |&n: &i64| if n < 0 { x.len() / known as usize } else { n as usize };
            one(shaped(x, &dims.iter().map(dim).collect::<Vec<_>>()))
        }
        "Unsqueeze" => {
            let rank = rank + inputs[1].len();
            let mut new: Vec<usize> = list(1).iter().map(|&axis| place(axis, rank)).collect();
            new.sort_unstable();
            one(new.iter().fold(x.clone(), |x, &axis| x.insert_axis(Axis(axis))))
        }
        "Squeeze" => {
            let mut gone: Vec<usize> = list(1).iter().map(|&axis| place(axis, rank)).collect();
            gone.sort_unstable();
            one(gone.iter().rev().fold(x.clone(), |x, &axis| x.index_axis_move(Axis(axis), 0)))
        }
        "ReduceSum" | "ReduceMean" | "ReduceL2" | "ReduceMax" | "ReduceSumSquare" => {
            let axes: Vec<usize> = if inputs.len() > 1 {
                list(1).iter().map(|&axis| place(axis, rank)).collect()
            } else {
                (0..rank).collect()
            };
            one(reduced(node.operator, x, axes, int("keepdims") != Some(0)))
        }
        "ArgMax" => {
            let best = |lane: ndarray::ArrayView1<'_, f64>| {
                let best = (0..lane.len()).rev().max_by(|&a, &b| lane[a].total_cmp(&lane[b]));
                best.unwrap() as f64
            };
            one(x.map_axis(Axis(place(int("axis").unwrap(), rank)), best))
        }
        "Softmax" => one(along_last(x, softmax)),
        "LogSoftmax" => one(along_last(x, |row| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            row.iter().map(|x| x - largest - sum.ln()).collect()
        })),
        "LayerNormalization" => {
            let Some(&Attribute::Float(epsilon)) = attribute(node, "epsilon") else {
                panic!("no epsilon")
            };
            let last = vec![rank - 1];
            let mean = reduced("ReduceMean", x, last.clone(), true);
            let centred = pairwise(x, &mean, |a, b| a - b);
            let variance = reduced("ReduceMean", &centred.mapv(|x| x * x), last, true);
            let inverse = variance.mapv(|x| (x + f64::from(epsilon)).sqrt().recip());
            let unit = pairwise(&centred, &inverse, |a, b| a * b);
            let scaled = pairwise(&unit, inputs[1], |a, b| a * b);
            vec![pairwise(&scaled, inputs[2], |a, b| a + b), mean, inverse]
        }
        "Gather" => {
            let rows: Vec<usize> = list(1).iter().map(|&row| row as usize).collect();
            let dims: Vec<usize> = [inputs[1].shape(), &x.shape()[1..]].concat();
            one(shaped(&x.select(Axis(0), &rows), &dims))
        }
        "Slice" => {
            let (starts, ends) = (list(1), list(2));
            let axes = if inputs.len() > 3 { list(3) } else { (0..starts.len() as i64).collect() };
            let mut out = x.view();
            for ((start, end), axis) in starts.iter().zip(&ends).zip(axes) {
                let axis = Axis(place(axis, rank));
                let end = (*end).min(x.len_of(axis) as i64);
                out.slice_axis_inplace(axis, Slice::from(*start as isize..end as isize));
            }
            one(out.to_owned())
        }
        "Shape" => {
            let dims = x.shape().iter().map(|&n| n as f64).collect();
            one(Array::from_shape_vec(IxDyn(&[rank]), dims).unwrap())
        }
        "Expand" => {
            let ones = Array::ones(IxDyn(&list(1).iter().map(|&n| n as usize).collect::<Vec<_>>()));
            one(pairwise(x, &ones, |a, b| a * b))
        }
        "Concat" => {
            let views: Vec<ArrayViewD<'_, f64>> = inputs.iter().map(|x| x.view()).collect();
            one(concatenate(Axis(place(int("axis").unwrap(), rank)), &views).unwrap())
        }
        "Pad" => {
            let around = list(1);
            let (before, after) = around.split_at(rank);
            let total = |i: usize| before[i] as usize + x.shape()[i] + after[i] as usize;
            let dims: Vec<usize> = (0..rank).map(total).collect();
            let mut out = Array::zeros(IxDyn(&dims));
            let mut middle = out.view_mut();
            for (axis, &start) in before.iter().enumerate() {
                let end = start + x.shape()[axis] as i64;
                middle.slice_axis_inplace(Axis(axis), Slice::from(start as isize..end as isize));
            }
            middle.assign(x);
            one(out)
        }
        "ConstantOfShape" => {
            one(Array::zeros(IxDyn(&list(0).iter().map(|&n| n as usize).collect::<Vec<_>>())))
        }
        "ScatterElements" => {
            let mut out = x.clone();
            for (row, (place, new)) in list(1).iter().zip(inputs[2].indexed_iter()) {
                let mut place = place.clone();
                place[0] = *row as usize;
                out[place] += new;
            }
            one(out)
        }
        operator => panic!("{operator} has no reference"),
    }
}

fn pairwise(a: &Array, b: &Array, of: impl Fn(f64, f64) -> f64) -> Array {
    let rank = a.ndim().max(b.ndim());
    let at = |x: &Array, i: usize| (i + x.ndim()).checked_sub(rank).map_or(1, |i| x.shape()[i]);
    let dims: Vec<usize> =
        (0..rank).map(|i| if at(a, i) == 1 { at(b, i) } else { at(a, i) }).collect();
    let (a, b) = (a.broadcast(IxDyn(&dims)).unwrap(), b.broadcast(IxDyn(&dims)).unwrap());
    let numbers = a.iter().zip(b.iter()).map(|(&a, &b)| of(a, b)).collect();
    Array::from_shape_vec(IxDyn(&dims), numbers).unwrap()
}

fn shaped(x: &Array, dims: &[usize]) -> Array {
    Array::from_shape_vec(IxDyn(dims), x.iter().copied().collect()).unwrap()
}

fn product(a: &Array, b: &Array) -> Array {
    let lead = |x: &Array| x.shape()[..x.ndim() - 2].to_vec();
    let (rows, inner) = (a.shape()[a.ndim() - 2], a.shape()[a.ndim() - 1]);
    let columns = b.shape()[b.ndim() - 1];
    let batch = pairwise(&Array::zeros(IxDyn(&lead(a))), &Array::zeros(IxDyn(&lead(b))), |a, _| a);
    let dims = |m: usize, n: usize| [batch.shape(), &[m, n]].concat();
    let a = a.broadcast(IxDyn(&dims(rows, inner))).unwrap();
    let b = b.broadcast(IxDyn(&dims(inner, columns))).unwrap();
    let flat = |x: ArrayViewD<'_, f64>, m: usize, n: usize| {
        Array::from_shape_vec(IxDyn(&[batch.len(), m, n]), x.iter().copied().collect()).unwrap()
    };
    let (a, b) = (flat(a, rows, inner), flat(b, inner, columns));
    let mut out = Vec::new();
    for (a, b) in a.outer_iter().zip(b.outer_iter()) {
        let (a, b) = (a.into_dimensionality::<Ix2>().unwrap(), b.into_dimensionality::<Ix2>());
        out.extend(a.dot(&b.unwrap()).iter().copied());
    }
    Array::from_shape_vec(IxDyn(&dims(rows, columns)), out).unwrap()
}

fn reduced(operator: &str, x: &Array, mut axes: Vec<usize>, keeps: bool) -> Array {
    axes.sort_unstable();
    let count: usize = axes.iter().map(|&axis| x.shape()[axis]).product();
    let mut out = match operator {
        "ReduceL2" | "ReduceSumSquare" => x.mapv(|x| x * x),
        _ => x.clone(),
    };
    for &axis in axes.iter().rev() {
        out = match operator {
            "ReduceMax" => out.fold_axis(Axis(axis), f64::NEG_INFINITY, |&a, &b| a.max(b)),
            _ => out.sum_axis(Axis(axis)),
        };
    }
    match operator {
        "ReduceMean" => out.mapv_inplace(|x| x / count as f64),
        "ReduceL2" => out.mapv_inplace(f64::sqrt),
        _ => {}
    }
    if keeps { axes.iter().fold(out, |x, &axis| x.insert_axis(Axis(axis))) } else { out }
}

fn along_last(x: &Array, of: impl Fn(&[f64]) -> Vec<f64>) -> Array {
    let last = x.shape()[x.ndim() - 1];
    let numbers: Vec<f64> = x.iter().copied().collect();
    let numbers = numbers.chunks_exact(last).flat_map(of).collect();
    Array::from_shape_vec(IxDyn(x.shape()), numbers).unwrap()
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
    row.iter().map(|x| (x - largest).exp() / sum).collect()
}

/// Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 7.1.6: no term is negative.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / (2.0 * f64::from(n) + 1.0);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[test]
fn the_reference_knows_erf() {
    // Abramowitz and Stegun, table 7.1.
    for (x, y) in
        [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)]
    {
        assert!((erf(x) - y).abs() < 1e-9 && (erf(-x) + y).abs() < 1e-9, "{x}");
    }
}
