//! Devices of other machines: burn's own remote devices, over WebSocket.

use crate::files::plain_cause;
use crate::{Error, Result};
use burn::tensor::Device;
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// What a remote device begins with, as text.
const SCHEME: &str = "remote://";
/// A worker that takes longer to answer is taken for gone.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// The same of one that did before, and may be busy.
const STILL_ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// The same of a worker that is asked for its device.
#[cfg(feature = "remote")]
const GREETS_WITHIN: Duration = Duration::from_secs(8);

/// Where a `segworker` listens; text form `remote://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAddress {
    /// `host:port`
    pub address: String,
}

impl FromStr for RemoteAddress {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let address = text.strip_prefix(SCHEME).ok_or_else(|| format!("does not begin with {SCHEME}"))?;
        let (host, port) = address.rsplit_once(':').ok_or("needs a port, such as remote://host:7700")?;
        if host.is_empty() || port.parse::<u16>().is_err() || address.contains(['/', ' ', ',']) {
            return Err("is to be remote://host:port".into());
        }
        Ok(Self { address: address.to_string() })
    }
}

/// Whether a worker that answered at an address before still does: its system takes connections even where the process has
/// been stopped, so it is asked for a word (of HTTP, by which sessions begin; any will do).
pub fn still_answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, STILL_ANSWERS_WITHIN)?;
        stream.set_read_timeout(Some(STILL_ANSWERS_WITHIN))?;
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
        stream.read_exact(&mut [0])
    };
    ask().is_ok()
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.address)
    }
}

/// Reads a shared token: what a file holds, white space around it aside.
///
/// # Errors
/// It cannot be read, or holds nothing.
pub fn read_token(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, plain_cause(&e)))?;
    match text.trim() {
        "" => Err(Error::file(path, "holds no token; write one, such as by `openssl rand -hex 32`")),
        token => Ok(token.to_string()),
    }
}

impl RemoteAddress {
    /// Opens the device of the worker there.
    ///
    /// # Errors
    /// No worker listens there, or it refuses the token; the worker has another version; this build has no remote devices.
    #[cfg(feature = "remote")]
    pub fn open(&self, token: Option<&str>) -> Result<Device> {
        use burn::remote::{ConnectError, RemoteHost};
        self.answers()
            .map(drop)
            .map_err(|why| Error::usage(format!("{self}: {why}; start `segworker --listen …` there")))?;
        let host = RemoteHost::websocket(&format!("ws://{}", self.address));
        let host = match token {
            Some(token) => host.with_credential(token),
            None => host,
        };
        // burn waits for ever for a server that says nothing.
        let (answer, answered) = std::sync::mpsc::channel();
        std::thread::spawn(move || answer.send(Device::remote_options(&host).init()));
        let opened = answered.recv_timeout(GREETS_WITHIN).map_err(|_| {
            Error::usage(format!(
                "{self}: what listens there does not answer as a segworker does; look whether it is one"
            ))
        })?;
        opened.map_err(|error| {
            Error::usage(format!(
                "{self}: {}",
                match error {
                    ConnectError::Unauthorized => match token {
                        Some(_) => "the worker has another token; give both the same --token-file".to_string(),
                        None => "the worker wants a token; train with --token-file FILE that holds its own".to_string(),
                    },
                    ConnectError::IncompatibleProtocol { client_version, server_version } => format!(
                        "the worker speaks another protocol ({server_version}, ours is {client_version}): install the \
                         same version of infoseg on both machines"
                    ),
                    ConnectError::Handshake { reason } =>
                        format!("what listens there is no segworker, or one of another version ({reason})"),
                    other => format!("{other}"),
                }
            ))
        })
    }

    /// See the other build's.
    ///
    /// # Errors
    /// Always: this build has no remote devices.
    #[cfg(not(feature = "remote"))]
    pub fn open(&self, _token: Option<&str>) -> Result<Device> {
        Err(Error::usage(format!(
            "{self}: this build has no remote devices; build with `cargo build --release --features remote`"
        )))
    }

    /// Whether a worker listens there.
    ///
    /// # Errors
    /// Why it seems not so, as a clause.
    pub fn answers(&self) -> Result<SocketAddr, String> {
        let (host, _) = self.address.rsplit_once(':').unwrap_or((&self.address, ""));
        let addresses = self
            .address
            .to_socket_addrs()
            .map_err(|_| format!("there is no host `{host}`, as far as this one knows"))?;
        let mut why = format!("host `{host}` has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, ANSWERS_WITHIN) {
                Ok(_) => return Ok(address),
                Err(cause) => why = format!("no worker answers there ({})", plain_cause(&cause)),
            }
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let address: RemoteAddress = "remote://gpu-2:7700".parse().unwrap();
        assert_eq!((address.address.as_str(), address.to_string().as_str()), ("gpu-2:7700", "remote://gpu-2:7700"));
        for text in ["gpu-2:7700", "remote://gpu-2", "remote://:7700", "remote://a:b", "remote://a:1/2"] {
            assert!(text.parse::<RemoteAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_that_is_not_there_is_told() {
        let nobody: RemoteAddress = "remote://127.0.0.1:1".parse().unwrap();
        assert!(nobody.answers().unwrap_err().contains("no worker answers"));
        assert!(nobody.open(None).is_err());
    }

    #[test]
    fn a_token_is_what_its_file_holds() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(read_token(file.path()).unwrap_err().to_string().contains("holds no token"));
        std::fs::write(file.path(), " secret\n").unwrap();
        assert_eq!(read_token(file.path()).unwrap(), "secret");
    }
}
