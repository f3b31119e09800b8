//! Where a model runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a model runs: `auto`, `cpu`, `cuda` or `cuda:1`.
///
/// ```
/// # use tantivy_dense::encoder::Device;
/// assert_eq!("cuda".parse::<Device>()?, Device::Cuda(0));
/// assert_eq!(Device::Cuda(1).to_string(), "cuda:1");
/// assert!("tpu".parse::<Device>().is_err());
/// # Ok::<(), tantivy_dense::encoder::DeviceError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Device {
    /// The first CUDA device where one can be used, or else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The CUDA device of this number.
    Cuda(u32),
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let fail = || DeviceError { given: written.to_owned() };
        match written {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let number = written.strip_prefix("cuda:").ok_or_else(fail)?;
                number.parse().map(Self::Cuda).map_err(|_| fail())
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = DeviceError;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        written.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// A text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no device: auto, cpu, cuda or cuda:N")]
pub struct DeviceError {
    given: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_parses_as_it_prints() {
        for device in [Device::Auto, Device::Cpu, Device::Cuda(0), Device::Cuda(7)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for written in ["", "CPU", "cuda:", "cuda:-1", "cuda:x", "gpu"] {
            assert!(written.parse::<Device>().is_err(), "{written}");
        }
    }
}
