use super::*;
use crate::ops::upsample_argmax;

fn version(values: Vec<f32>, shape: [usize; 3], size: [usize; 2]) -> VersionScores {
    let windows = vec![WindowScores { place: [0, 0, size[0], size[1]], shape, values }];
    VersionScores { scale: 1.0, flipped: false, size, windows }
}

fn noise(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32).map(|i| ((i.wrapping_mul(2_654_435_761).wrapping_add(seed * 97)) >> 16) as f32 % 7.0).collect()
}

#[test]
fn one_plain_version_is_the_ordinary_prediction() {
    let scores = noise(3 * 5 * 7, 1);
    let one = version(scores.clone(), [3, 5, 7], [40, 56]);
    assert_eq!(best_of_mean(&[&one], [40, 56]), upsample_argmax(&scores, [3, 5, 7], [40, 56]));
}

#[test]
fn probabilities_are_averaged_not_scores() {
    // Scores 0 : 100 and 2 : 0 of two classes: the sum of scores says class 1, so do probabilities (0 + 0.88 : 1 + 0.12).
    // A third version 2 : 0 turns the probabilities (1.76 : 1.24), though not the scores (4 : 100).
    let sure = version(vec![0.0, 100.0], [2, 1, 1], [1, 1]);
    let (a, b) = (version(vec![2.0, 0.0], [2, 1, 1], [1, 1]), version(vec![2.0, 0.0], [2, 1, 1], [1, 1]));
    assert_eq!(best_of_mean(&[&sure, &a], [1, 1]), [1]);
    assert_eq!(best_of_mean(&[&sure, &a, &b], [1, 1]), [0]);
}

#[test]
fn a_mirrored_version_is_mirrored_back() {
    let mut mirrored = version(vec![1.0, 0.0, 0.0, 1.0], [2, 1, 2], [1, 2]);
    assert_eq!(best_of_mean(&[&mirrored], [1, 2]), [0, 1]);
    mirrored.flipped = true;
    assert_eq!(best_of_mean(&[&mirrored], [1, 2]), [1, 0]);
}

#[test]
fn windows_lie_as_mmsegmentation_lays_them() {
    let slide = |window: &str, stride: &str| Slide { window: window.parse().unwrap(), stride: stride.parse().unwrap() };
    let windows = slide("4x4", "3x3").windows([4, 9]);
    assert_eq!(windows, [[0, 0, 4, 4], [0, 3, 4, 4], [0, 5, 4, 4]]);
    assert_eq!(slide("8x8", "8x8").windows([5, 6]), [[0, 0, 5, 6]]);
    assert_eq!(slide("4x4", "4x4").windows([8, 4]), [[0, 0, 4, 4], [4, 0, 4, 4]]);
}

#[test]
fn where_windows_overlap_their_mean_counts() {
    let window =
        |left, values: [f32; 2]| WindowScores { place: [0, left, 1, 2], shape: [2, 1, 1], values: values.to_vec() };
    // In the middle class 0 has (3 + 0)/2, class 1 has (0 + 4)/2.
    let windows = vec![window(0, [3.0, 0.0]), window(1, [0.0, 4.0])];
    let version = VersionScores { scale: 1.0, flipped: false, size: [1, 3], windows };
    assert_eq!(best_of_mean(&[&version], [1, 3]), [0, 1, 1]);
}

#[test]
fn what_cannot_be_is_said() {
    let wrong = TestTime { scales: vec![0.0], ..TestTime::default() };
    assert!(wrong.check().unwrap_err().to_string().starts_with("--scales 0"));
    let slide = Slide { window: "64x64".parse().unwrap(), stride: "65x64".parse().unwrap() };
    let wrong = TestTime { slide: Some(slide), ..TestTime::default() };
    assert!(wrong.check().unwrap_err().to_string().starts_with("--stride 65x64"));
    TestTime::paper().check().unwrap();
}

#[test]
fn people_are_told_what_is_averaged() {
    assert_eq!(TestTime::default().in_words(), None);
    let flipped = TestTime { scales: vec![0.5, 1.0], flip: true, slide: None };
    assert_eq!(flipped.in_words().unwrap(), "scales 0.5, 1, each also mirrored");
}
