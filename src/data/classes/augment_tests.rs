use super::*;
use rand::SeedableRng;

const PLAIN: Normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };

fn square(side: usize) -> Resolution {
    Resolution { height: side, width: side }
}

/// Red is `10·y + x`, green 1, blue 255.
fn picture(height: usize, width: usize) -> Example {
    let image = Array3::from_shape_fn((height, width, 3), |(y, x, c)| [(10 * y + x) as u8, 1, 255][c]);
    Example { name: "p".into(), image, label: ndarray::Array2::zeros((1, 1)) }
}

/// Red plane of an input, as bytes.
fn red(input: &[f32], plane: usize) -> Vec<u8> {
    input[..plane].iter().map(|&value| value as u8).collect()
}

#[test]
fn reflection_does_not_repeat_the_edge() {
    let rgb = contiguous(picture(4, 4).image);
    let reds = |crop: Vec<u8>| crop.iter().step_by(3).copied().collect::<Vec<_>>();
    // What numpy.pad(…, mode="reflect") gives.
    let expected = [22, 21, 20, 21, 12, 11, 10, 11, 2, 1, 0, 1, 12, 11, 10, 11];
    assert_eq!(reds(padded_crop(&rgb, (4, 4), (-2, -2), true)), expected);
    let expected = [22, 23, 22, 21, 32, 33, 32, 31, 22, 23, 22, 21, 12, 13, 12, 11];
    assert_eq!(reds(padded_crop(&rgb, (4, 4), (2, 2), true)), expected);
}

#[test]
fn black_is_padded_before_normalisation() {
    let rgb = contiguous(picture(3, 3).image);
    let crop = padded_crop(&rgb, (3, 3), (-1, 2), false);
    assert_eq!(crop[..9], [0; 9]);
    assert_eq!(crop[9..18], [2, 1, 255, 0, 0, 0, 0, 0, 0]);
    let augment = ClassAugment::new(Crop::ZeroPadded, 2, 0.0, square(3), Normalization::HALF);
    let inputs = (0..30).map(|index| augment.train(picture(3, 3), 0, 0, index).unwrap());
    // Blue is 1 in the image and -1 around it.
    let blues: Vec<f32> = inputs.flat_map(|input| input[18..].to_vec()).collect();
    assert!(blues.contains(&-1.0) && blues.contains(&1.0) && blues.iter().all(|blue| blue.abs() == 1.0));
}

#[test]
fn every_place_of_a_padded_crop_is_drawn_and_half_of_them_are_flipped() {
    let augment = ClassAugment::new(Crop::ReflectPadded, 1, 0.5, square(4), PLAIN);
    let rgb = contiguous(picture(4, 4).image);
    let mut known = Vec::new();
    for (top, left, flips) in (0..18).map(|i| (i / 6 - 1, i / 2 % 3 - 1, i % 2 == 1)) {
        let mut crop = padded_crop(&rgb, (4, 4), (top, left), true);
        if flips {
            flip_rows(&mut crop, 4, 3);
        }
        known.push(crop.iter().step_by(3).copied().collect::<Vec<u8>>());
    }
    let mut counts = [0; 18];
    for index in 0..3600 {
        let input = augment.train(picture(4, 4), 5, 1, index).unwrap();
        counts[known.iter().position(|crop| *crop == red(&input, 16)).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| (140..260).contains(count)), "{counts:?}");
}

#[test]
fn a_training_input_follows_from_its_key() {
    for crop in [Crop::ReflectPadded, Crop::ZeroPadded, Crop::Resized] {
        let augment = ClassAugment::new(crop, 4, 0.5, square(16), Normalization::CIFAR);
        let input = |seed, epoch, index| augment.train(picture(16, 16), seed, epoch, index).unwrap();
        assert_eq!(input(1, 2, 3), input(1, 2, 3));
        assert_eq!(input(1, 2, 3).len(), 3 * 16 * 16);
        assert!([input(0, 2, 3), input(1, 0, 3), input(1, 2, 0)].iter().any(|other| *other != input(1, 2, 3)));
    }
}

#[test]
fn resized_crops_have_the_areas_and_ratios_of_torchvision() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let windows: Vec<Window> = (0..4000).map(|_| draw_window((300, 400), &mut rng)).collect();
    let shares = windows.iter().map(|window| (window.height * window.width) as f64 / 120_000.0);
    let ratios = windows.iter().map(|window| window.width as f64 / window.height as f64);
    assert!(shares.clone().all(|share| (0.075..=1.0).contains(&share)));
    assert!(ratios.clone().all(|ratio| (0.74..=1.35).contains(&ratio)));
    // Large areas often do not fit and are drawn again, so their mean is below 0.54; of torchvision's it is 0.4326.
    let mean = shares.sum::<f64>() / 4000.0;
    assert!((mean - 0.4326).abs() < 0.02, "{mean}");
    let fits = |window: &Window| window.top + window.height <= 300 && window.left + window.width <= 400;
    assert!(windows.iter().all(fits));
}

#[test]
fn what_fits_no_ratio_is_cut_from_the_middle() {
    let window = |top, left, height, width| Window { top, left, height, width };
    assert_eq!(central_window((100, 10)), window(43, 0, 13, 10));
    assert_eq!(central_window((10, 100)), window(0, 43, 10, 13));
    assert_eq!(central_window((100, 100)), window(0, 0, 100, 100));
    assert_eq!(central_window((1, 1)), window(0, 0, 1, 1));
}

#[test]
fn a_crop_is_resized_without_what_lies_around_it() {
    // Left half black, right half white: a crop of the left half alone stays black.
    let image = Array3::from_shape_fn((8, 8, 3), |(_, x, _)| if x < 4 { 0 } else { 255 });
    let rgb = cut(&contiguous(image), 8, Window { top: 1, left: 0, height: 6, width: 4 });
    assert!(resize(&rgb, (6, 4), Area::whole((6, 4)), square(5)).unwrap().iter().all(|&value| value == 0));
}

#[test]
fn evaluation_sees_the_middle_224_of_256() {
    let augment = ClassAugment::new(Crop::Resized, 0, 0.5, square(224), PLAIN);
    assert_eq!(enclosing((375, 500), square(224)), Resolution { height: 256, width: 341 });
    assert_eq!(enclosing((500, 375), square(224)), Resolution { height: 341, width: 256 });
    assert_eq!(enclosing((32, 32), square(32)), square(37));
    assert_eq!(enclosing((1, 1000), square(224)), Resolution { height: 256, width: 256_000 });

    let image = Array3::from_shape_fn((256, 300, 3), |(y, x, c)| [y as u8, (x / 2) as u8, 7][c]);
    let view = augment.view(&Example { name: "p".into(), image, label: ndarray::Array2::zeros((1, 1)) }).unwrap();
    // The shorter side is 256 already: nothing is resized, 16 rows and 38 columns are cut off.
    assert_eq!(view.dim(), (224, 224, 3));
    assert_eq!((view[[0, 0, 0]], view[[0, 0, 1]], view[[223, 223, 0]], view[[223, 223, 1]]), (16, 19, 239, 130));
}

#[test]
fn the_middle_is_what_a_whole_resized_picture_has_there() {
    let size = (61, 83);
    let image =
        Array3::from_shape_fn((size.0, size.1, 3), |(y, x, c)| ((y * 37 + x * 101 + y * x * (c + 3)) % 256) as u8);
    let to = enclosing(size, square(28));
    let all = resize(&contiguous(image.clone()), size, Area::whole(size), to).unwrap();
    let all = Array3::from_shape_vec((to.height, to.width, 3), all).unwrap();
    let augment = ClassAugment::new(Crop::Resized, 0, 0.0, square(28), PLAIN);
    let view = augment.view(&Example { name: "p".into(), image, label: ndarray::Array2::zeros((1, 1)) }).unwrap();
    assert_eq!((to.height, to.width), (32, 43));
    for ((y, x, c), &value) in view.indexed_iter() {
        assert!(value.abs_diff(all[[y + 2, x + 8, c]]) <= 1, "({y}, {x}, {c})");
    }
}

#[test]
fn padded_pictures_are_evaluated_as_they_are() {
    let augment = ClassAugment::new(Crop::ReflectPadded, 4, 0.5, square(8), PLAIN);
    assert_eq!(augment.view(&picture(8, 8)).unwrap(), picture(8, 8).image);
    assert_eq!(red(&augment.evaluation(&picture(8, 8)).unwrap(), 64)[..10], [0, 1, 2, 3, 4, 5, 6, 7, 10, 11]);

    let expected = "p: is 8x9, but padded crops are 8x8; set that resolution, or crop by resizing";
    assert_eq!(augment.view(&picture(8, 9)).unwrap_err().to_string(), expected);
    assert_eq!(augment.train(picture(8, 9), 0, 0, 0).unwrap_err().to_string(), expected);
}

#[test]
fn pictures_that_cannot_be_cropped_are_errors() {
    let augment = ClassAugment::new(Crop::ReflectPadded, 4, 0.5, square(4), PLAIN);
    let error = augment.train(picture(4, 4), 0, 0, 0).unwrap_err().to_string();
    assert_eq!(error, "p: a picture of 4x4 cannot be reflected 4 pixels beyond its edge; use less padding");
    let augment = ClassAugment::new(Crop::Resized, 4, 0.5, square(4), PLAIN);
    let error = augment.view(&picture(0, 4)).unwrap_err().to_string();
    assert_eq!(error, "p: a picture of 0x4x3 shows nothing");
    // One pixel high is no reason to fail.
    assert_eq!(augment.train(picture(1, 50), 0, 0, 0).unwrap().len(), 48);
    assert_eq!(augment.evaluation(&picture(1, 50)).unwrap().len(), 48);
}
