use super::*;
use crate::config::defaults_for;
use crate::data::config::DatasetKind;
use crate::data::normalize::Normalization;
use ndarray::{Array2, Array3};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn still() -> AugmentConfig {
    AugmentConfig {
        scale: [1.0, 1.0],
        category_max_share: 1.0,
        flip: 0.0,
        photometric: false,
        ..defaults_for(DatasetKind::Synthetic).augment
    }
}

fn crop(height: usize, width: usize) -> Resolution {
    Resolution { height, width }
}

/// An image whose red channel is ten times the label, which is `(y + x) % 5`.
fn diagonal(height: usize, width: usize) -> Example {
    let label = Array2::from_shape_fn((height, width), |(y, x)| ((y + x) % 5) as u16);
    let image =
        Array3::from_shape_fn((height, width, 3), |(y, x, c)| if c == 0 { label[[y, x]] as u8 * 10 } else { 7 });
    Example { name: "diagonal".into(), image, label }
}

fn byte(input: f32, channel: usize) -> u8 {
    (input * Normalization::IMAGENET.std[channel] + Normalization::IMAGENET.mean[channel]).round() as u8
}

#[test]
fn a_small_picture_is_padded_at_the_bottom_and_right() {
    let example = diagonal(2, 3);
    let got = Augment::new(&still(), crop(3, 4), 5, Normalization::IMAGENET).apply(example.clone(), 0, 0, 0).unwrap();
    const I: u16 = IGNORE_INDEX;
    assert_eq!(got.label, [0, 1, 2, I, 1, 2, 3, I, I, I, I, I]);
    for (y, x) in [(0, 0), (0, 2), (1, 2)] {
        for channel in 0..3 {
            assert_eq!(byte(got.input[channel * 12 + y * 4 + x], channel), example.image[[y, x, channel]]);
        }
    }
    for at in [3, 7, 8, 9, 10, 11] {
        assert_eq!([got.input[at], got.input[12 + at], got.input[24 + at]], [0.0; 3], "padding is the mean colour");
    }
}

#[test]
fn a_flip_mirrors_picture_and_label_alike() {
    let config = AugmentConfig { flip: 1.0, ..still() };
    let got = Augment::new(&config, crop(2, 3), 5, Normalization::IMAGENET).apply(diagonal(2, 3), 0, 0, 0).unwrap();
    assert_eq!(got.label, [2, 1, 0, 3, 2, 1]);
    let red: Vec<u8> = got.input[..6].iter().map(|&value| byte(value, 0)).collect();
    assert_eq!(red, [20, 10, 0, 30, 20, 10]);
}

#[test]
fn picture_and_label_are_cropped_at_the_same_place() {
    let augment = Augment::new(&still(), crop(6, 5), 5, Normalization::IMAGENET);
    let mut places = std::collections::BTreeSet::new();
    for index in 0..20 {
        let got = augment.apply(diagonal(16, 19), 1, 0, index).unwrap();
        for (&red, &label) in got.input[..30].iter().zip(&got.label) {
            assert_eq!(u16::from(byte(red, 0)), label * 10);
        }
        places.insert(got.label[0]);
    }
    assert_eq!(places.len(), 5, "crops start on every diagonal");
}

#[test]
fn the_same_key_draws_the_same_crop_and_another_draws_another() {
    let config = AugmentConfig {
        scale: [0.5, 2.0],
        category_max_share: 0.75,
        flip: 0.5,
        photometric: true,
        ..defaults_for(DatasetKind::Synthetic).augment
    };
    let augment = Augment::new(&config, crop(12, 12), 5, Normalization::IMAGENET);
    let apply = |seed, epoch, index| augment.apply(diagonal(20, 30), seed, epoch, index).unwrap();
    assert_eq!(apply(1, 2, 3), apply(1, 2, 3));
    for other in [apply(0, 2, 3), apply(1, 0, 3), apply(1, 2, 0)] {
        assert_ne!(other, apply(1, 2, 3));
    }
}

#[test]
fn half_size_is_the_mean_of_four_pixels_and_twice_the_size_repeats_labels() {
    let rgb: Vec<u8> = [0, 40, 80, 120, 20, 60, 100, 140].iter().flat_map(|&value| [value; 3]).collect();
    let window = Window { top: 0, left: 0, height: 1, width: 2 };
    let half = resize_window(&rgb, (2, 4), crop(1, 2), window).unwrap();
    assert_eq!(half, [30, 30, 30, 110, 110, 110]);
    let window = Window { top: 1, left: 1, height: 2, width: 3 };
    assert_eq!(nearest_window(&[1, 2, 3, 4], (2, 2), crop(4, 4), window), [1, 2, 2, 3, 4, 4]);
}

#[test]
fn a_resized_crop_is_the_crop_of_the_resized_picture() {
    let rgb: Vec<u8> = (0..40 * 60 * 3_u32).map(|i| (i * i % 251) as u8).collect();
    for scaled in [crop(63, 95), crop(22, 33)] {
        let whole = Window { top: 0, left: 0, height: scaled.height, width: scaled.width };
        let whole = resize_window(&rgb, (40, 60), scaled, whole).unwrap();
        let window = Window { top: 7, left: 9, height: 13, width: 17 };
        let part = resize_window(&rgb, (40, 60), scaled, window).unwrap();
        // The outermost pixels have neighbours in the whole image that the crop may lack.
        for y in 1..window.height - 1 {
            for i in 3..(window.width - 1) * 3 {
                let (a, b) = (part[y * window.width * 3 + i], whole[((7 + y) * scaled.width + 9) * 3 + i]);
                assert!(a.abs_diff(b) <= 1, "{scaled}: {a} for {b}");
            }
        }
    }
}

#[test]
fn ignored_pixels_have_no_share() {
    assert_eq!(largest_share(&[0, 0, 0, 1, IGNORE_INDEX, IGNORE_INDEX], 5), Some(0.75));
    assert_eq!(largest_share(&[3, 3, IGNORE_INDEX], 5), None, "one class alone is never good enough");
    assert_eq!(largest_share(&[IGNORE_INDEX; 2], 5), None);
}

#[test]
fn crops_of_one_class_are_drawn_again() {
    // Only the rightmost tenth holds a second class.
    let label = Array2::from_shape_fn((8, 80), |(_, x)| u16::from(x >= 72));
    let example = Example { name: "mostly".into(), image: Array3::zeros((8, 80, 3)), label };
    let mixed = |share: f32| {
        let augment = Augment::new(
            &AugmentConfig { category_max_share: share, ..still() },
            crop(8, 8),
            5,
            Normalization::IMAGENET,
        );
        (0..200).filter(|&i| augment.apply(example.clone(), 0, 0, i).unwrap().label.contains(&1)).count()
    };
    let (any, balanced) = (mixed(1.0), mixed(0.95));
    assert!(balanced > 3 * any, "{balanced} of 200 hold both classes, {any} where it does not matter");
}

#[test]
fn a_label_of_another_size_is_an_error_with_the_name() {
    let example = Example { label: Array2::zeros((3, 3)), ..diagonal(4, 4) };
    let error =
        Augment::new(&still(), crop(2, 2), 5, Normalization::IMAGENET).apply(example, 0, 0, 0).unwrap_err().to_string();
    assert!(error.contains("diagonal") && error.contains("do not fit"), "{error}");
}

#[test]
fn any_sizes_give_a_crop_of_the_asked_size() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for seed in 0..200 {
        let mut side = || rng.random_range(1..40);
        let (size, cropped) = ((side(), side()), (side(), side()));
        let (low, more) = (rng.random_range(0.1_f32..1.0), rng.random_range(0.0_f32..2.0));
        let config = AugmentConfig {
            scale: [low, low + more],
            category_max_share: 0.5,
            flip: 0.5,
            photometric: true,
            ..defaults_for(DatasetKind::Synthetic).augment
        };
        let augment = Augment::new(&config, crop(cropped.0, cropped.1), 5, Normalization::IMAGENET);
        let got = augment.apply(diagonal(size.0, size.1), seed, 0, 0).unwrap();
        let pixels = cropped.0 * cropped.1;
        assert_eq!((got.input.len(), got.label.len()), (3 * pixels, pixels), "{size:?} to {cropped:?}");
        assert!(got.label.iter().all(|&id| id < 5 || id == IGNORE_INDEX));
        assert!(got.input.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn the_normalization_that_is_given_is_used() {
    let got = Augment::new(&still(), crop(1, 1), 5, Normalization::HALF).apply(diagonal(1, 1), 0, 0, 0).unwrap();
    assert_eq!(got.input, [-1.0, 7.0 / 127.5 - 1.0, 7.0 / 127.5 - 1.0]);
}
