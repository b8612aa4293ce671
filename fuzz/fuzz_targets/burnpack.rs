//! A run's own weights and optimizer state, as if their checksums were right.
#![no_main]

use infoseg::config::{DatasetKind, defaults_for};
use infoseg::device::DeviceChoice;
use infoseg::local::LocalNetwork;
use infoseg_fuzz::{choice, only_what_escapes, with_files};
use std::cell::RefCell;

static WEIGHTS: &[u8] = include_bytes!("../seeds/burnpack/module1.bpk");

thread_local! {
    static NETWORK: RefCell<LocalNetwork> = RefCell::new(network());
}

fn network() -> LocalNetwork {
    only_what_escapes(); // burn's reader
    let mut config = defaults_for(DatasetKind::SyntheticDigits);
    (config.model.width, config.local.num_modules) = (0.05, 1);
    let device = DeviceChoice::Cpu.open().expect("there is a CPU");
    LocalNetwork::new(&config.spec(), 10, &device).expect("the network can be made")
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = choice(bytes, 2) else { return };
    // The weights are read first.
    let weights = if what == 0 { bytes } else { WEIGHTS.split_at(1).1 };
    NETWORK.with_borrow_mut(|network| {
        let files = [("module1.bpk", weights), ("optimizer1.bpk", bytes)];
        with_files(&files, |folder| drop(network.load(folder, what == 1)));
    });
});
