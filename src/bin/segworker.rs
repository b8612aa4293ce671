//! Lends this machine's device to `segtrain` on other machines.

use clap::Parser;
use infoseg::device::{DeviceChoice, read_token};
use infoseg::{Error, Result, cli};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

/// Lend a device of this machine to `segtrain --devices remote://HOST:PORT,…` on another: its local modules are trained
/// here. Runs until it is stopped; keeps nothing on disk.
#[derive(Parser)]
#[command(name = "segworker", version)]
struct Args {
    /// Where to listen; other than on this machine alone (127.0.0.1) only with --token-file
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7700")]
    listen: SocketAddr,

    /// File with the token that segtrain must have too. It and all data travel unencrypted: for networks that you trust
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// What to lend: auto, cpu, cuda, vulkan, or one of several as cuda:1
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
}

fn main() -> ExitCode {
    cli::run("segworker", segworker)
}

fn segworker(args: Args) -> Result<ExitCode> {
    if let DeviceChoice::Remote(address) = &args.device {
        return Err(Error::usage(format!("--device {address}: a worker lends a device of its own machine")));
    }
    if cfg!(not(feature = "remote")) {
        return Err(Error::usage(
            "this build has no remote devices; build with `cargo build --release --features remote`",
        ));
    }
    let token = args.token_file.as_deref().map(read_token).transpose()?;
    if token.is_none() && !args.listen.ip().is_loopback() {
        return Err(Error::usage(format!(
            "--listen {}: other machines could reach it, and there is no token; say --token-file FILE, or listen on \
             127.0.0.1",
            args.listen
        )));
    }
    if std::env::var_os("RUST_LOG").is_none() {
        // burn's server warns of every client that ends. SAFETY: as of `pin_default`, the first thing that `main` does.
        unsafe { std::env::set_var("RUST_LOG", "error") };
    }
    // SAFETY: no thread of this program has started yet.
    unsafe { args.device.pin_default() };
    let device = args.device.open()?;
    let listener = TcpListener::bind(args.listen).map_err(|cause| {
        Error::usage(format!("--listen {}: {}; choose another port", args.listen, infoseg::files::plain_cause(&cause)))
    })?;
    let address = listener.local_addr().unwrap_or(args.listen);
    cli::print(format_args!("lending {} on {address}\n", args.device.resolve()))?;
    serve(device, listener, token)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "remote")]
fn serve(device: burn::tensor::Device, listener: TcpListener, token: Option<String>) -> Result<()> {
    use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
    let mut server = RemoteServer::new([device]);
    if let Some(token) = token {
        let authorizer = TokenAuthorizer::new(token).map_err(|cause| Error::usage(format!("--token-file: {cause}")))?;
        server = server.with_authorizer(authorizer);
    }
    server
        .serve(WebSocketTransport::from_listener(listener))
        .map_err(|cause| Error::run(format!("cannot go on serving: {cause}")))
}

#[cfg(not(feature = "remote"))]
fn serve(_: burn::tensor::Device, _: TcpListener, _: Option<String>) -> Result<()> {
    Ok(()) // refused before it comes to this
}
