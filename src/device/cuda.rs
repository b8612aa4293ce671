//! What CUDA needs from a machine, checked before burn touches the driver.
//!
//! Without these checks each lack shows late and badly. cudarc panics at the first function that the driver does not have.
//! cubecl's compiler looks for [`COMPILER_FILE`] only when a kernel needs it, which with LLVM is after minutes of tuning.

#![cfg_attr(not(feature = "cuda"), allow(dead_code))]

use std::fmt;
use std::path::{Path, PathBuf};

/// Oldest CUDA version of a driver, as `cuDriverGetVersion` counts. cudarc's bindings of CUDA 13 time kernels with
/// [`NEEDED_FUNCTION`], which came with it.
const NEEDED: i32 = 12_080;
/// Newest of the functions that burn calls; see cudarc 0.19.10, `driver::result::event::elapsed`.
const NEEDED_FUNCTION: &str = "cuEventElapsedTime_v2";
/// First CUDA version that loads PTX 9.1. cubecl-llvm 0.11.3 (`nvptx::ptx_version`) asks for the newest PTX of the driver.
const PTX_9_1: i32 = 13_010;
/// First LLVM that writes PTX 9.1 and newer; LLVM 22 stops at 9.0. burn downloads LLVM 23.1, but others can be linked.
const PTX_9_1_LLVM: u32 = 23;
/// Whether kernels go through NVIDIA's run-time compiler instead of LLVM.
const NVRTC: bool = cfg!(feature = "cuda-nvrtc");
/// What the compiler reads below the root of a CUDA toolkit: NVIDIA's math functions, or a header that stands for all of them.
const COMPILER_FILE: &str = if NVRTC { "include/cuda_fp16.h" } else { "nvvm/libdevice/libdevice.10.bc" };
/// NVIDIA's wheels that hold it.
const WHEELS: &str = if NVRTC { "nvidia-cuda-runtime nvidia-cuda-cccl" } else { "nvidia-nvvm" };
/// Where toolkits are, in the order in which cubecl-llvm 0.11.3 (`nvptx::libdevice`) looks without `CUDA_PATH`.
const TOOLKITS: [&str; 4] = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda", "/usr"];
/// The driver's library.
const DRIVER: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

/// Reason that CUDA cannot be used, as a clause with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The driver's library cannot be loaded.
    NoDriver,
    /// The driver supports no more than this CUDA version.
    TooOld(i32),
    /// The driver lacks [`NEEDED_FUNCTION`], whatever version it reports.
    NoFunction,
    /// A call to the driver fails with this code.
    Failed {
        /// The driver's function.
        call: &'static str,
        /// Name and number of the code.
        code: String,
    },
    /// The library of NVIDIA's run-time compiler cannot be loaded.
    NoNvrtc,
    /// [`COMPILER_FILE`] is in none of the folders searched.
    NoCompilerFile(Toolkits),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let update = "update the driver, or use --device cpu";
        match self {
            Self::NoDriver => {
                write!(f, "no CUDA driver ({DRIVER} cannot be loaded); install NVIDIA's driver, or use --device cpu")
            }
            Self::TooOld(version) => write!(
                f,
                "the CUDA driver supports CUDA {}; this build needs {} or newer (NVIDIA driver 570); {update}",
                dotted(*version),
                dotted(NEEDED)
            ),
            Self::NoFunction => write!(
                f,
                "the CUDA driver has no {NEEDED_FUNCTION}; this build needs CUDA {} or newer (NVIDIA driver 570); {update}",
                dotted(NEEDED)
            ),
            Self::Failed { call, code } => write!(
                f,
                "the CUDA driver does not start ({call}: {code}); check nvidia-smi and CUDA_VISIBLE_DEVICES, restart the \
                 machine after a driver update, or use --device cpu"
            ),
            Self::NoNvrtc => f.write_str(
                "NVIDIA's compiler libnvrtc cannot be loaded; install the CUDA toolkit, or unzip NVIDIA's wheel (pip download \
                 --no-deps nvidia-cuda-nvrtc) and add the folder of its library to LD_LIBRARY_PATH; or use a build without the \
                 feature cuda-nvrtc, or --device cpu",
            ),
            Self::NoCompilerFile(searched) => write!(
                f,
                "{searched}; install the CUDA toolkit, or unzip NVIDIA's wheels (pip download --no-deps {WHEELS}), and set \
                 CUDA_PATH to the folder that holds {}; or use --device cpu",
                COMPILER_FILE.split('/').next().unwrap_or_default()
            ),
        }
    }
}

/// Version from `cuDriverGetVersion`, as NVIDIA writes it: 12080 is `12.8`.
fn dotted(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// Warning about a driver that is newer than the compiler; `None` where the two fit.
fn ptx_warning(driver: i32, llvm: u32) -> Option<String> {
    (driver >= PTX_9_1 && llvm < PTX_9_1_LLVM).then(|| {
        format!(
            "the CUDA driver (CUDA {}) is newer than the LLVM {llvm} in this build; ignore its messages \"is not a recognized \
             feature\" on GPUs from Hopper on; for an older GPU use a driver of CUDA 13.0 (580), or build with LLVM \
             {PTX_9_1_LLVM}",
            dotted(driver)
        )
    })
}

/// Folders that may be the root of a CUDA toolkit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toolkits {
    /// `CUDA_PATH`; where it is set, no other folder counts.
    named: Option<PathBuf>,
    /// Those that the compiler tries without `CUDA_PATH`.
    usual: Vec<PathBuf>,
    /// The program's own folder.
    beside: Option<PathBuf>,
}

impl Toolkits {
    /// Those of this machine.
    fn here() -> Self {
        Self {
            named: std::env::var("CUDA_PATH").ok().map(PathBuf::from), // read as the compiler reads it
            usual: TOOLKITS.map(PathBuf::from).to_vec(),
            beside: std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_path_buf())),
        }
    }

    /// Returns the first that has [`COMPILER_FILE`].
    fn found(&self) -> Option<&Path> {
        self.searched().find(|root| root.join(COMPILER_FILE).is_file())
    }

    /// Returns the one that `CUDA_PATH` has to name because the compiler would not find it by itself.
    fn to_name(&self) -> Option<&Path> {
        if NVRTC {
            // It looks in other places than these, and panics where it finds none.
            return self.found().filter(|_| self.named.is_none());
        }
        // The compiler stays with the first folder that looks like a toolkit, complete or not.
        let taken = self.usual.iter().find(|root| root.join(COMPILER_FILE).parent().is_some_and(Path::is_dir));
        self.found().filter(|found| self.named.is_none() && taken.is_none_or(|taken| taken != found))
    }

    fn searched(&self) -> impl Iterator<Item = &Path> {
        let unnamed = self.named.is_none();
        let others = self.usual.iter().chain(&self.beside).filter(move |_| unnamed);
        self.named.iter().chain(others).map(PathBuf::as_path)
    }
}

impl fmt::Display for Toolkits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.named {
            Some(root) => write!(f, "CUDA_PATH = {:?}: has no {COMPILER_FILE}", root),
            None => {
                let roots: Vec<_> = self.searched().map(|root| root.display().to_string()).collect();
                write!(f, "{COMPILER_FILE} is in none of {}, and CUDA_PATH is not set", roots.join(", "))
            }
        }
    }
}

/// Returns what `CUDA_PATH` has to be set to so that the compiler finds a toolkit; `None` where it can stay as it is.
pub(super) fn toolkit_to_name() -> Option<PathBuf> {
    Toolkits::here().to_name().map(Path::to_path_buf)
}

#[cfg(feature = "cuda")]
pub(super) use driver::{devices, memory, usable, warn_of_ptx};

#[cfg(feature = "cuda")]
mod driver {
    use super::{Fault, NEEDED, NEEDED_FUNCTION, NVRTC, Toolkits, ptx_warning};
    use crate::messages::say;
    use cudarc::driver::{DriverError, result, sys};
    use std::ffi::{c_int, c_uint};
    use std::ptr::null_mut;
    use std::sync::{Once, OnceLock};

    unsafe extern "C" {
        /// LLVM's version; linked in with cubecl's compiler. Null pointers are passed over.
        fn LLVMGetVersion(major: *mut c_uint, minor: *mut c_uint, patch: *mut c_uint);
    }

    /// Returns the number of CUDA devices. Checks driver and toolkit at the first call.
    ///
    /// # Errors
    /// Why none of them can be used.
    pub(in super::super) fn devices() -> Result<usize, Fault> {
        static DEVICES: OnceLock<Result<usize, Fault>> = OnceLock::new();
        DEVICES.get_or_init(find_devices).clone()
    }

    /// Returns the bytes of the device of this index; `None` where the driver does not say.
    pub(in super::super) fn memory(index: usize) -> Option<u64> {
        devices().ok().filter(|found| index < *found)?;
        let device = result::device::get(c_int::try_from(index).ok()?).ok()?;
        // SAFETY: the device is one that the driver just gave.
        unsafe { result::device::total_mem(device) }.ok().map(|bytes| bytes as u64)
    }

    /// Checks whether the device `auto` may take CUDA. Warns once about a driver that is there but unusable.
    pub(in super::super) fn usable() -> bool {
        static WARNED: Once = Once::new();
        match devices() {
            Ok(found) => found > 0,
            Err(Fault::NoDriver) => false,
            Err(fault) => {
                WARNED.call_once(|| say(format_args!("device auto: goes on without CUDA: {fault}")));
                false
            }
        }
    }

    /// Warns once if the driver is newer than the compiler, which then prints three lines for each kernel.
    pub(in super::super) fn warn_of_ptx() {
        static WARNED: Once = Once::new();
        WARNED.call_once(|| {
            if NVRTC {
                return;
            }
            let mut llvm = 0;
            // SAFETY: the major version is written where there is room for it, the others nowhere.
            unsafe { LLVMGetVersion(&mut llvm, null_mut(), null_mut()) };
            if let Some(warning) = version().ok().and_then(|driver| ptx_warning(driver, llvm)) {
                say(format_args!("device cuda: {warning}"));
            }
        });
    }

    fn find_devices() -> Result<usize, Fault> {
        // SAFETY: only tries to load the library.
        if !unsafe { sys::is_culib_present() } {
            return Err(Fault::NoDriver);
        }
        // Bindings made for an older toolkit (the one that `nvcc` had at build time) need less.
        if sys::CUDA_VERSION >= 13_000 {
            match version()? {
                version if version < NEEDED => return Err(Fault::TooOld(version)),
                // SAFETY: the function is looked for and not called.
                _ if unsafe { sys::culib().get::<unsafe extern "C" fn()>(NEEDED_FUNCTION.as_bytes()) }.is_err() => {
                    return Err(Fault::NoFunction);
                }
                _ => {}
            }
        }
        result::init().map_err(failed("cuInit"))?;
        let found = result::device::get_count().map_err(failed("cuDeviceGetCount"))?;
        let toolkits = Toolkits::here();
        // SAFETY: only tries to load the library.
        if NVRTC && found > 0 && !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
            return Err(Fault::NoNvrtc);
        }
        match found {
            1.. if toolkits.found().is_none() => Err(Fault::NoCompilerFile(toolkits)),
            _ => Ok(found.max(0) as usize),
        }
    }

    fn version() -> Result<i32, Fault> {
        let mut version = 0;
        // SAFETY: the version is written where there is room for it.
        unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(failed("cuDriverGetVersion"))?;
        Ok(version)
    }

    fn failed(call: &'static str) -> impl Fn(DriverError) -> Fault {
        move |DriverError(code)| Fault::Failed { call, code: format!("{code:?}, code {}", code as u32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn versions_are_written_as_nvidia_does() {
        for (version, text) in [(12_080, "12.8"), (13_000, "13.0"), (11_040, "11.4"), (12_100, "12.10")] {
            assert_eq!(dotted(version), text);
        }
    }

    #[test]
    fn a_fault_names_its_cause_and_a_remedy() {
        let nowhere = Toolkits { named: None, usual: vec!["/usr/local/cuda".into()], beside: Some("/bin".into()) };
        let named = Toolkits { named: Some("/x".into()), ..nowhere.clone() };
        for (fault, tokens) in [
            (Fault::NoDriver, vec![DRIVER, "install"]),
            (Fault::TooOld(12_040), vec!["12.4", "12.8", "570", "update"]),
            (Fault::NoFunction, vec![NEEDED_FUNCTION, "12.8", "570", "update"]),
            (
                Fault::Failed { call: "cuInit", code: "CUDA_ERROR_NO_DEVICE, code 100".into() },
                vec!["cuInit", "CUDA_ERROR_NO_DEVICE", "nvidia-smi", "CUDA_VISIBLE_DEVICES"],
            ),
            (Fault::NoNvrtc, vec!["libnvrtc", "nvidia-cuda-nvrtc", "LD_LIBRARY_PATH"]),
            (Fault::NoCompilerFile(nowhere), vec![COMPILER_FILE, "/usr/local/cuda, /bin", "CUDA_PATH", WHEELS]),
            (Fault::NoCompilerFile(named), vec![COMPILER_FILE, "CUDA_PATH = \"/x\"", WHEELS]),
        ] {
            let message = fault.to_string();
            for token in tokens.into_iter().chain(["--device cpu"]) {
                assert!(message.contains(token), "{token} is not in: {message}");
            }
        }
    }

    #[test]
    fn a_driver_newer_than_the_compiler_is_warned_of() {
        assert_eq!(ptx_warning(13_000, 22), None);
        assert_eq!(ptx_warning(13_030, 23), None);
        let warning = ptx_warning(13_020, 22).unwrap();
        assert!(warning.contains("CUDA 13.2") && warning.contains("LLVM 22"), "{warning}");
        assert!(warning.contains("is not a recognized feature") && !warning.contains('\n'), "{warning}");
    }

    /// Roots of toolkits in a temporary folder, of which these have the file.
    fn toolkits(folder: &Path, named: Option<&str>, complete: &[&str]) -> Toolkits {
        for root in complete {
            let file = folder.join(root).join(COMPILER_FILE);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        Toolkits {
            named: named.map(|root| folder.join(root)),
            usual: vec![folder.join("local"), folder.join("opt")],
            beside: Some(folder.join("program")),
        }
    }

    #[test]
    fn toolkits_are_searched_in_the_compiler_s_order_and_then_beside_the_program() {
        for (complete, found, to_name) in [
            (&["local", "opt", "program"][..], Some("local"), None),
            (&["opt", "program"], Some("opt"), None),
            (&["program"], Some("program"), Some("program")),
            (&[], None, None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let toolkits = toolkits(folder.path(), None, complete);
            assert_eq!(toolkits.found(), found.map(|root| folder.path().join(root)).as_deref());
            assert_eq!(toolkits.to_name(), to_name.map(|root| folder.path().join(root)).as_deref());
        }
    }

    #[test]
    fn a_named_toolkit_is_the_only_one_and_stays_named() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = toolkits(folder.path(), Some("mine"), &["local", "program"]);
        assert_eq!((wrong.found(), wrong.to_name()), (None, None));
        let right = toolkits(folder.path(), Some("mine"), &["mine"]);
        assert_eq!((right.found(), right.to_name()), (Some(&*folder.path().join("mine")), None));
    }

    #[test]
    fn an_incomplete_toolkit_does_not_hide_a_complete_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("local/nvvm/libdevice")).unwrap();
        let toolkits = toolkits(folder.path(), None, &["opt"]);
        assert_eq!(toolkits.to_name(), Some(&*folder.path().join("opt")));
    }
}
