//! Writes a run's weights for other programs.

use clap::Parser;
use infoseg::config::RunConfig;
use infoseg::device::DeviceChoice;
use infoseg::files::make_folder;
use infoseg::local::LocalNetwork;
use infoseg::train::checkpoint;
use infoseg::weights::export::{Exported, Format, absent_heads, check_format, export};
use infoseg::{Error, Result, cli};
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the weights of a run's newest checkpoint as safetensors, under the names of another program.
#[derive(Parser)]
#[command(name = "segexport", version)]
struct Args {
    /// Run folder of segtrain.
    run: PathBuf,
    /// Whose names: safetensors (infoseg's own, with the local heads), torchvision (its DeepLabV3 class loads them
    /// strictly), mmseg (mmsegmentation's and the reference's). torchvision's class takes full-width bottleneck ResNets with
    /// model.stem and model.decode_head = "torchvision" only, which no shipped configuration has.
    #[arg(long)]
    format: Format,
    /// File to write; it must not be there yet.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
}

fn main() -> ExitCode {
    cli::run("segexport", segexport)
}

fn segexport(args: Args) -> Result<ExitCode> {
    if args.out.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Error::usage(format!("--out {}: the file is a .safetensors one; name it so", args.out.display())));
    }
    if args.out.exists() {
        return Err(Error::file(&args.out, "is there already and is never overwritten; give another --out"));
    }
    let config = RunConfig::of_run(&args.run)?;
    if !config.data.dataset.task().is_dense() && args.format != Format::Safetensors {
        return Err(Error::usage(
            "--format: this run classifies pictures, and only networks that segment are written for other programs; use \
             --format safetensors",
        ));
    }
    check_format(&config.model, args.format)?;
    let checkpoint = checkpoint::last(&args.run)?;
    checkpoint.tell_damaged();
    checkpoint.check_fits(&config)?;
    let mut network = LocalNetwork::new(&config.spec(), checkpoint.num_classes(), &DeviceChoice::Cpu.open()?)?;
    network.load(&checkpoint.folder, false)?;
    let weights = network.weights();
    if let Some(folder) = args.out.parent() {
        make_folder(folder)?;
    }
    let Exported { written, left_out } =
        export(&weights, &config.model, &checkpoint.state.classes, args.format, &args.out)?;
    let absent = absent_heads(&weights);
    if args.format == Format::Mmseg && !absent.is_empty() {
        cli::say(format_args!("the run has no {}: load the file with strict=False", absent.join(", no ")));
    }
    if let Some(first) = left_out.first() {
        let more = if left_out.len() > 1 { ", …" } else { "" };
        let tensors = cli::counted(left_out.len(), "tensor");
        cli::say(format_args!("left out, as that program has nothing like them: {tensors} ({first}{more})"));
    }
    cli::print(format_args!("{written} tensors  {}\n", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
