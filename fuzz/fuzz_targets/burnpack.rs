//! A run's own weights and optimizer state, as if their checksums were right.
#![no_main]

use infoseg::config::{Dataset, DeviceChoice, defaults_for};
use infoseg::local::LocalNetwork;
use infoseg_fuzz::{choice, with_files};
use std::cell::RefCell;

thread_local! {
    static NETWORK: RefCell<LocalNetwork> = RefCell::new(network());
}

fn network() -> LocalNetwork {
    let mut config = defaults_for(Dataset::SyntheticDigits);
    (config.model.width, config.local.num_modules) = (0.05, 1);
    let device = DeviceChoice::Cpu.open().expect("there is a CPU");
    LocalNetwork::new(&config, 10, &device).expect("the network can be made")
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = choice(bytes, 2) else { return };
    let name = if what == 0 { "module1.bpk" } else { "optimizer1.bpk" };
    NETWORK.with_borrow_mut(|network| {
        with_files(&[(name, bytes)], |folder| drop(network.load(folder, what == 1)));
    });
});
