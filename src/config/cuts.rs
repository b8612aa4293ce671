//! TOML form of [`Cuts`]: `"auto"`, `"balanced"`, or a list of block names.

use super::Cuts;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

impl Serialize for Cuts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Balanced => serializer.serialize_str("balanced"),
            Self::After(blocks) => blocks.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Cuts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CutsVisitor)
    }
}

struct CutsVisitor;

impl<'de> de::Visitor<'de> for CutsVisitor {
    type Value = Cuts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""auto", "balanced" or a list of block names such as ["layer3.12"]"#)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cuts, E> {
        match text {
            "auto" => Ok(Cuts::Auto),
            "balanced" => Ok(Cuts::Balanced),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut blocks: A) -> Result<Cuts, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = blocks.next_element::<String>()? {
            names.push(name);
        }
        Ok(Cuts::After(names))
    }
}
