//! A graph that is open, with values that stay where they are between runs.
//!
//! Invariant: what a run gives is not copied until [`host`] asks for it.

use std::collections::BTreeMap;

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::{DynValue, Tensor as OrtTensor};

use crate::graph::Tensor;

/// Values by name.
pub(super) type Values = BTreeMap<String, DynValue>;

#[derive(Debug)]
pub(super) struct Program {
    session: Session,
    inputs: Vec<String>,
    outputs: Vec<String>,
    memory: MemoryInfo<'static>,
}

impl Program {
    pub(super) fn new(session: Session) -> ort::Result<Self> {
        let inputs = session.inputs().iter().map(|input| input.name().to_owned()).collect();
        let outputs = session.outputs().iter().map(|output| output.name().to_owned()).collect();
        let memory =
            MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)?;
        Ok(Self { session, inputs, outputs, memory })
    }

    /// Runs with the values that `input` gives by name, for the outputs that are wanted.
    pub(super) fn run<'v>(
        &mut self,
        input: impl Fn(&str) -> Option<&'v DynValue>,
        is_wanted: impl Fn(&str) -> bool,
    ) -> ort::Result<Values> {
        let mut binding = self.session.create_binding()?;
        for name in &self.inputs {
            let missing = || ort::Error::new(format!("nothing is given as `{name}`"));
            binding.bind_input(name, input(name).ok_or_else(missing)?)?;
        }
        let wanted: Vec<&String> = self.outputs.iter().filter(|name| is_wanted(name)).collect();
        for name in &wanted {
            binding.bind_output_to_device(name.as_str(), &self.memory)?;
        }
        let mut outputs = self.session.run_binding(&binding)?;
        let take = |name: &String| Some((name.clone(), outputs.remove(name)?));
        Ok(wanted.into_iter().filter_map(take).collect())
    }
}

/// A value from numbers.
pub(super) fn tensor(numbers: &Tensor) -> ort::Result<DynValue> {
    let rows = numbers.as_f32().ok_or_else(|| ort::Error::new("only f32 is fed"))?;
    Ok(OrtTensor::from_array((numbers.dims().to_vec(), rows.to_vec()))?.into_dyn())
}

/// One number.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
pub(super) fn scalar(x: f64) -> ort::Result<DynValue> {
    Ok(OrtTensor::from_array((Vec::<usize>::new(), vec![x as f32]))?.into_dyn())
}

/// Numbers from a value.
pub(super) fn host(value: &DynValue) -> ort::Result<Tensor> {
    let (shape, numbers) = value.try_extract_tensor::<f32>()?;
    let dims: Vec<usize> = shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    Ok(Tensor::f32(&dims, numbers.to_vec()))
}
