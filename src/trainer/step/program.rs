//! A graph that is open, with values that stay where they are between runs.
//!
//! Invariant: what a run gives stays on the device that it ran on, and is not copied until [`host`] asks for it;
//! but for the few outputs that the program itself reads.

use std::collections::BTreeMap;

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::{DynTensorValueType, DynValue, Tensor as OrtTensor};

use crate::encoder::Device;
use crate::graph::Tensor;

/// Values by name.
pub(super) type Values = BTreeMap<String, DynValue>;

/// What is read after each run: vectors, and what becomes of them.
const READ: [&str; 6] =
    ["vectors", "loss", "query_gradients", "passage_gradients", "best", "gradient_norm"];

#[derive(Debug)]
pub(super) struct Program {
    session: Session,
    inputs: Vec<String>,
    outputs: Vec<String>,
    device: MemoryInfo<'static>,
    host: MemoryInfo<'static>,
}

impl Program {
    /// Takes a graph that was opened on this device.
    pub(super) fn new(session: Session, device: Device) -> ort::Result<Self> {
        let inputs = session.inputs().iter().map(|input| input.name().to_owned()).collect();
        let outputs = session.outputs().iter().map(|output| output.name().to_owned()).collect();
        let memory = |(device, number)| {
            MemoryInfo::new(device, number, AllocatorType::Device, MemoryType::Default)
        };
        let (device, host) = (memory(place(device)?)?, memory(place(Device::Cpu)?)?);
        Ok(Self { session, inputs, outputs, device, host })
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
            let memory = if READ.contains(&name.as_str()) { &self.host } else { &self.device };
            binding.bind_output_to_device(name.as_str(), memory)?;
        }
        let mut outputs = self.session.run_binding(&binding)?;
        let take = |name: &String| Some((name.clone(), outputs.remove(name)?));
        Ok(wanted.into_iter().filter_map(take).collect())
    }
}

/// A device as ONNX Runtime names it.
fn place(device: Device) -> ort::Result<(AllocationDevice<'static>, i32)> {
    let Device::Cuda(number) = device else { return Ok((AllocationDevice::CPU, 0)) };
    let number = i32::try_from(number).map_err(|_| ort::Error::new("there is no such device"))?;
    Ok((AllocationDevice::CUDA, number))
}

/// A value from numbers, for one run.
pub(super) fn tensor(numbers: &Tensor) -> ort::Result<DynValue> {
    kept(numbers, Device::Cpu)
}

/// A value from numbers, on the device that runs read it on.
pub(super) fn kept(numbers: &Tensor, device: Device) -> ort::Result<DynValue> {
    let rows = numbers.as_f32().ok_or_else(|| ort::Error::new("only f32 is fed"))?;
    let here = OrtTensor::from_array((numbers.dims().to_vec(), rows.to_vec()))?;
    match place(device)? {
        (device, number) if device != AllocationDevice::CPU => {
            Ok(here.to(device, number)?.into_dyn())
        }
        _ => Ok(here.into_dyn()),
    }
}

/// One number.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
pub(super) fn scalar(x: f64) -> ort::Result<DynValue> {
    Ok(OrtTensor::from_array((Vec::<usize>::new(), vec![x as f32]))?.into_dyn())
}

/// Numbers from a value, wherever it is.
pub(super) fn host(value: &DynValue) -> ort::Result<Tensor> {
    let copy = match value.view().downcast::<DynTensorValueType>() {
        Ok(tensor) if !tensor.memory_info().is_cpu_accessible() => {
            Some(tensor.to(AllocationDevice::CPU, 0)?.into_dyn())
        }
        _ => None,
    };
    let value = copy.as_ref().unwrap_or(value);
    let (shape, numbers) = value.try_extract_tensor::<f32>()?;
    let dims: Vec<usize> = shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    Ok(Tensor::f32(&dims, numbers.to_vec()))
}
