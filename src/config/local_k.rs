//! `--local-k`: a number, or as few as fit.

use crate::{Error, Result};
use std::str::FromStr;

/// How many local modules; text form `auto` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalK {
    /// As few as fit into memory.
    Auto,
    /// So many.
    Modules(u32),
}

impl LocalK {
    /// The number, where one was said.
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::Auto => None,
            Self::Modules(number) => Some(number),
        }
    }
}

impl FromStr for LocalK {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Modules).map_err(|_| {
                Error::usage(format!("\"{text}\" is no number of local modules; write one from 1, or auto"))
            }),
        }
    }
}
