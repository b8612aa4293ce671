//! Where to compute.

mod cuda;
mod remote;

pub use remote::{RemoteAddress, read_token, still_answers};

use crate::{Error, Result};
use burn::tensor::Device;
#[cfg(feature = "vulkan")]
use burn::tensor::{DeviceKind, DeviceType};
use serde::{Deserialize, Serialize};
#[cfg(feature = "vulkan")]
use std::sync::OnceLock;
use std::{fmt, str::FromStr};

/// Most shares of a CPU.
const MAX_SHARES: usize = 64;

/// Where to compute; text form `auto | cpu[:index] | cuda[:index] | vulkan[:index] | remote://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device, else the first Vulkan GPU, that the build and the machine have; else the CPU.
    Auto,
    /// burn's flex backend.
    Cpu,
    /// A share of the CPU's cores, for one of several workers: as many shares as are named have the same number each.
    CpuShare(usize),
    /// The CUDA device of this index.
    Cuda(usize),
    /// The device that a `segworker` lends.
    Remote(RemoteAddress),
    /// The Vulkan device of this index: discrete GPUs first, then integrated ones, virtual ones, software.
    Vulkan(usize),
}

impl DeviceChoice {
    /// Opens the device, without autodiff; a worker's with no token.
    ///
    /// # Errors
    /// See [`DeviceChoice::open_with`].
    pub fn open(&self) -> Result<Device> {
        self.open_with(None)
    }

    /// Opens the device, without autodiff; a worker's with this token.
    ///
    /// # Errors
    /// The build lacks the backend, the machine has no device of that index or no CUDA toolkit, the CUDA driver is too old,
    /// or the worker does not let us in.
    pub fn open_with(&self, token: Option<&str>) -> Result<Device> {
        match self.resolve() {
            Self::Remote(address) => address.open(token),
            Self::Auto | Self::Cpu | Self::CpuShare(_) => Ok(Device::flex()),
            Self::Cuda(index) => open_cuda(index),
            Self::Vulkan(index) => open_vulkan(index),
        }
    }

    /// What `auto` stands for on this machine and in this build; any other choice stays as it is. Warns once about a CUDA
    /// driver that is there but unusable.
    pub fn resolve(&self) -> Self {
        if *self != Self::Auto {
            return self.clone();
        }
        #[cfg(feature = "cuda")]
        if cuda::usable() {
            return Self::Cuda(0);
        }
        #[cfg(feature = "vulkan")]
        if let Some(index) = first_vulkan_gpu() {
            return Self::Vulkan(index);
        }
        Self::Cpu
    }

    /// Whether the CPU computes.
    pub fn is_cpu(&self) -> bool {
        matches!(self.resolve(), Self::Auto | Self::Cpu | Self::CpuShare(_))
    }

    /// Bytes of memory of a CUDA device; `None` of any other, or where the driver does not say.
    pub fn gpu_memory(&self) -> Option<u64> {
        match self.resolve() {
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => cuda::memory(index),
            _ => None,
        }
    }

    /// Makes burn's own default device the backend of this choice.
    ///
    /// Some burn calls (loading an optimizer's record, for one) use `Device::default()`, which takes the first
    /// compiled backend whether or not the machine has such a device. The variable names a backend only, so on a
    /// second GPU those calls still pass through the first.
    ///
    /// Sets `CUDA_PATH`, too, if a toolkit is there (such as beside the program) but not where burn looks for it.
    ///
    /// # Safety
    /// It writes to the environment: no other thread may read or write that meanwhile. Call it first in `main`.
    pub unsafe fn pin_default(&self) {
        let backend = match self.resolve() {
            // A backend that is not in the build must not be named: burn panics. `open` reports it properly.
            Self::Cuda(_) if cfg!(feature = "cuda") => "cuda",
            Self::Vulkan(_) if cfg!(feature = "vulkan") => "vulkan",
            _ => "flex",
        };
        // SAFETY: the caller's. A GPU driver that `resolve` woke has read the environment by now.
        unsafe { std::env::set_var("BURN_DEVICE", backend) };
        #[cfg(feature = "cuda")]
        if let Some(root) = cuda::toolkit_to_name() {
            // SAFETY: as above.
            unsafe { std::env::set_var("CUDA_PATH", root) };
        }
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    match cuda::devices() {
        Ok(found) if index < found => {
            cuda::warn_of_ptx();
            Ok(Device::cuda(index))
        }
        Ok(found) => Err(not_found("cuda", "CUDA", index, found)),
        Err(fault) => Err(Error::usage(format!("device cuda:{index}: {fault}"))),
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(index: usize) -> Result<Device> {
    Err(not_built_in("cuda", "CUDA", index))
}

#[cfg(feature = "vulkan")]
fn open_vulkan(index: usize) -> Result<Device> {
    let devices = Device::enumerate(DeviceType::Vulkan);
    devices.get(index).cloned().ok_or_else(|| not_found("vulkan", "Vulkan", index, devices.len()))
}

#[cfg(not(feature = "vulkan"))]
fn open_vulkan(index: usize) -> Result<Device> {
    Err(not_built_in("vulkan", "Vulkan", index))
}

/// Index of the first Vulkan device that is not a software rasteriser, which would be slower than flex.
#[cfg(feature = "vulkan")]
fn first_vulkan_gpu() -> Option<usize> {
    static FIRST: OnceLock<Option<usize>> = OnceLock::new();
    *FIRST.get_or_init(|| {
        let software = Device::vulkan(DeviceKind::Cpu);
        Device::enumerate(DeviceType::Vulkan).iter().position(|device| *device != software)
    })
}

#[cfg_attr(all(feature = "cuda", feature = "vulkan"), allow(dead_code))]
fn not_built_in(choice: &str, name: &str, index: usize) -> Error {
    Error::usage(format!(
        "device {choice}:{index}: this build has no {name}; build with `cargo build --release --features {choice}`, or \
         use `--device cpu`"
    ))
}

#[cfg_attr(not(any(feature = "cuda", feature = "vulkan")), allow(dead_code))]
fn not_found(choice: &str, name: &str, index: usize, found: usize) -> Error {
    Error::usage(match found {
        0 => format!("device {choice}:{index}: no {name} device found on this machine; use `--device cpu`"),
        1 => format!("device {choice}:{index}: found 1 {name} device; use `--device {choice}:0`"),
        _ => format!(
            "device {choice}:{index}: found {found} {name} devices; use one of {choice}:0 to {choice}:{}",
            found - 1
        ),
    })
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.starts_with("remote:") {
            return text.parse().map(Self::Remote).map_err(|why| Error::usage(format!("\"{text}\" {why}")));
        }
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, index.parse::<usize>().ok()),
            None => (text, Some(0)),
        };
        match (name, index) {
            ("auto", _) if text == "auto" => Ok(Self::Auto),
            ("cpu", _) if text == "cpu" => Ok(Self::Cpu),
            ("cpu", Some(index)) if index < MAX_SHARES => Ok(Self::CpuShare(index)),
            ("cuda", Some(index)) => Ok(Self::Cuda(index)),
            ("vulkan", Some(index)) => Ok(Self::Vulkan(index)),
            _ => Err(Error::usage(format!(
                "\"{text}\" is not a device; write auto, cpu, cuda, vulkan, or with an index such as cuda:1 (cpu:0, cpu:1, …: \
                 shares of the CPU's cores), or remote://host:port"
            ))),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::CpuShare(index) => write!(f, "cpu:{index}"),
            Self::Remote(address) => write!(f, "{address}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cpu:1", DeviceChoice::CpuShare(1)),
            ("cuda:0", DeviceChoice::Cuda(0)),
            ("vulkan:3", DeviceChoice::Vulkan(3)),
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
    }

    #[test]
    fn an_unknown_device_lists_the_known() {
        for text in ["gpu", "cuda:", "cuda:x", "cpu:64", "auto:1", ""] {
            let message = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(message.contains("auto, cpu, cuda, vulkan"), "{message}");
        }
    }

    #[test]
    fn the_cpu_always_opens() {
        assert_eq!(DeviceChoice::Cpu.open().unwrap(), Device::flex());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_without_the_feature_says_how_to_build_it() {
        let message = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert!(message.contains("cargo build --release --features cuda"), "{message}");
    }

    #[test]
    fn a_missing_index_says_how_many_there_are() {
        assert!(not_found("cuda", "CUDA", 0, 0).to_string().contains("no CUDA device found"));
        assert!(
            not_found("cuda", "CUDA", 4, 2).to_string().contains("found 2 CUDA devices; use one of cuda:0 to cuda:1")
        );
    }
}
