//! Image sizes, written `HEIGHTxWIDTH`.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Height and width of an image in pixels; text form `512x1024`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resolution {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Resolution {
    /// Longest side of an image; beyond it a typing mistake or a damaged file is likelier than a camera.
    pub const MAX_SIDE: usize = 16384;
}

impl FromStr for Resolution {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split_once(['x', 'X'])
            .and_then(|(height, width)| {
                Some(Self { height: height.trim().parse().ok()?, width: width.trim().parse().ok()? })
            })
            .ok_or_else(|| {
                Error::usage(format!("\"{text}\" is not a size; write HEIGHTxWIDTH in pixels, such as 512x1024"))
            })
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl TryFrom<String> for Resolution {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Resolution> for String {
    fn from(resolution: Resolution) -> Self {
        resolution.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_height_x_width() {
        let resolution: Resolution = "512x1024".parse().unwrap();
        assert_eq!(resolution, Resolution { height: 512, width: 1024 });
        assert_eq!(resolution.to_string(), "512x1024");
    }

    #[test]
    fn an_unreadable_size_tells_the_form() {
        for text in ["512", "512x", "axb", "512x1024x3", "-1x5", "1.5x2"] {
            let message = text.parse::<Resolution>().unwrap_err().to_string();
            assert!(message.contains("HEIGHTxWIDTH") && message.contains(text), "{message}");
        }
    }
}
