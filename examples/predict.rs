//! Prediction from a run folder: `cargo run --release --example predict RUN IMAGE`.

use infoseg::config::RunConfig;
use infoseg::data::cityscapes::load_image;
use infoseg::device::DeviceChoice;
use infoseg::train::checkpoint;
use std::path::PathBuf;

fn main() -> infoseg::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [run, image] = &arguments[..] else {
        return Err(infoseg::Error::usage("name a run folder and an image: predict RUN IMAGE"));
    };
    let checkpoint = checkpoint::last(run)?;
    let predictor = checkpoint.predictor(&RunConfig::of_run(run)?, &DeviceChoice::Auto.open()?)?;
    let image = load_image(image)?; // [height, width, 3]
    let classes = predictor.predict(&image)?; // [height, width]
    for (index, class) in (0..).zip(&checkpoint.state.classes.classes) {
        let pixels = classes.iter().filter(|predicted| **predicted == index).count();
        if pixels > 0 {
            println!("{}: {:.2} %", class.name, 100.0 * pixels as f64 / classes.len() as f64);
        }
    }
    Ok(())
}
