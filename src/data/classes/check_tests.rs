use super::*;

#[test]
fn a_report_reads_as_a_table() {
    let report = Report {
        split: "val".into(),
        pictures: 11,
        sizes: (1..=7).map(|side| ((side, 100 * side), if side == 3 { 4 } else { 1 })).collect(),
        classes: vec![("n01440764".into(), 8), ("n01443537".into(), 3)],
        problems: vec![Error::file("a.JPEG", "cannot be decoded")],
    };
    let expected = "\
val: 11 pictures in 2 classes, 1 problem
          3x300         4 pictures
          1x100         1 picture
          2x200         1 picture
          4x400         1 picture
          5x500         1 picture
  2 other sizes         2 pictures
  class          pictures     share
  n01440764             8   72.727%
  n01443537             3   27.273%
";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn digits_have_no_files_to_check() {
    let error = check(Layout::Digits, Path::new("x"), "train").unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().contains("drawn on the fly")), (2, true), "{error}");
}
