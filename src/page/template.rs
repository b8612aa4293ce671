//! From a template and data to one file.

use crate::files::{make_writable_folder, write_atomic};
use crate::{Error, Result};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Which page.
#[derive(Debug, Clone, Copy)]
pub(super) enum Page {
    Segmentation,
    Classification,
    Comparison,
}

const TEMPLATES: [(&str, &str); 5] = [
    ("base.html", include_str!("../../assets/report/base.html")),
    ("parts.html", include_str!("../../assets/report/parts.html")),
    ("segmentation.html", include_str!("../../assets/report/segmentation.html")),
    ("classification.html", include_str!("../../assets/report/classification.html")),
    ("comparison.html", include_str!("../../assets/report/comparison.html")),
];
const STYLE: &str = include_str!("../../assets/report/style.css");
const SCRIPTS: [&str; 4] = [
    include_str!("../../assets/report/page.js"),
    include_str!("../../assets/report/plots.js"),
    include_str!("../../assets/report/gallery.js"),
    include_str!("../../assets/report/mistakes.js"),
];

/// Says so, before the work and not after it, where a page cannot be written into a folder.
///
/// # Errors
/// It is a file, or a folder that cannot be made or written to.
pub fn check_folder(folder: &Path) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        return Err(Error::usage(format!(
            "--report {}: is a file; name a folder, which the page is written into as index.html",
            folder.display()
        )));
    }
    make_writable_folder(folder)
}

/// Writes `index.html` into a folder; returns its path.
pub(super) fn write(folder: &Path, page: Page, text: &impl Serialize, data: &impl Serialize) -> Result<PathBuf> {
    make_writable_folder(folder)?;
    let path = folder.join("index.html");
    let html = rendered(page, text, data)
        .map_err(|cause| Error::file(&path, format!("cannot be made of its template: {cause:#}")))?;
    write_atomic(&path, |file| file.write_all(html.as_bytes()))?;
    Ok(path)
}

fn rendered(page: Page, text: &impl Serialize, data: &impl Serialize) -> Result<String, Box<dyn std::error::Error>> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("percent", percent);
    environment.add_filter("points", points);
    environment.add_filter("number", number);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    let template = environment.get_template(match page {
        Page::Segmentation => "segmentation.html",
        Page::Classification => "classification.html",
        Page::Comparison => "comparison.html",
    })?;
    // Within a script element nothing but "<" could end it early.
    let data = serde_json::to_string(data)?.replace('<', "\\u003c");
    let text = minijinja::Value::from(Serde(text));
    let scripts = SCRIPTS.concat();
    Ok(template.render(context! { page => text, style => STYLE, scripts => scripts, data => data })?)
}

/// A share in percent, or a dash where there is none.
fn percent(share: Option<f64>) -> String {
    share.filter(|share| share.is_finite()).map_or("–".into(), |share| format!("{:.2}", 100.0 * share))
}

/// A difference of shares in percentage points, with its sign.
fn points(difference: Option<f64>) -> String {
    match difference.filter(|difference| difference.is_finite()) {
        None => "–".into(),
        Some(0.0) => "0.00".into(),
        Some(difference) => format!("{:+.2}", 100.0 * difference).replace('-', "−"),
    }
}

/// What a column is sorted by: the number, or nothing where there is none.
fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or(String::new(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_written_as_people_read_them() {
        assert_eq!([Some(0.93214), None, Some(f64::NAN)].map(percent), ["93.21", "–", "–"]);
        assert_eq!([Some(0.0123), Some(-0.5), Some(0.0), None].map(points), ["+1.23", "−50.00", "0.00", "–"]);
        assert_eq!([Some(0.5), None].map(number), ["0.5", ""]);
    }

    #[test]
    fn a_file_in_the_way_is_told_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        std::fs::write(&file, "").unwrap();
        assert!(check_folder(&file).unwrap_err().to_string().contains("x: is a file; name a folder"));
        check_folder(&folder.path().join("new/one")).unwrap();
    }
}
