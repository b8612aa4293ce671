//! The pages of `segeval --report` in a browser: what a reader clicks and types.

use super::report::{data, digits, runs};
use super::support::{folder, segeval};
use super::webdriver::Browser;
use base64::Engine;
use infoseg::task::ClassSet;
use serde_json::Value;
use std::fs;

/// Codes of the WebDriver protocol.
const RIGHT: &str = "\u{E014}";
const LEFT: &str = "\u{E012}";
const TAB: &str = "\u{E004}";

/// Grey of a `data:` address.
fn grey(address: &Value) -> image::GrayImage {
    let (_, bytes) = address.as_str().expect("an address").split_once(";base64,").expect("base64");
    let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).expect("base64");
    image::load_from_memory(&bytes).expect("a picture").into_luma8()
}

fn class(id: u8) -> String {
    ClassSet::cityscapes().name_of(id.into()).to_string()
}

#[test]
fn the_page_of_a_run_does_as_it_is_told() {
    let Some(browser) = Browser::start() else { return };
    let folder = runs(&["a"]);
    segeval(folder.path()).args(&["a", "--overlays", "0", "--report", "page"]).succeeds();
    let path = folder.path().join("page/index.html");
    let data = data(&fs::read_to_string(&path).expect("a page"));
    browser.open(&path);
    browser.wait("document.querySelector('#stage').dataset.shown");
    let worst = &data["pictures"][0];
    assert_eq!(browser.text("document.querySelector('#stage').dataset.shown"), worst["name"].as_str().unwrap());

    // A column sorts, the other way round with the next click; what has no value stays below.
    let ious = || -> Vec<Option<f64>> {
        let column = "[...document.querySelectorAll('#classes tbody tr')].map((row) => row.cells[1].dataset.value)";
        let values = browser.eval(&format!("return {column}"));
        values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().parse().ok()).collect()
    };
    let sort = || browser.text("document.querySelectorAll('#classes thead th')[1].getAttribute('aria-sort')");
    let before = ious();
    browser.click("#classes thead th:nth-child(2) button");
    let (falling, falls) = (ious(), sort());
    browser.click("#classes thead th:nth-child(2) button");
    let (rising, rises) = (ious(), sort());
    assert_eq!((falls.as_str(), rises.as_str()), ("descending", "ascending"));
    let there = |values: &[Option<f64>]| values.iter().flatten().copied().collect::<Vec<f64>>();
    let known = there(&before).len();
    assert!(falling[..known].iter().all(Option::is_some) && rising[..known].iter().all(Option::is_some));
    assert!(there(&falling).is_sorted_by(|a, b| a >= b) && there(&rising).is_sorted(), "{falling:?} {rising:?}");
    browser.click("#classes thead th:nth-child(1) button");
    let first = browser.text("document.querySelector('#classes tbody th').textContent");
    assert_eq!((first.as_str(), sort().as_str()), ("bicycle", "none"), "by name");

    // The heat map says its values to the mouse and to the keyboard.
    browser.click("#confusion tbody tr:nth-child(1) td:nth-child(2)");
    let readout = || browser.text("document.querySelector('#confusion .readout').textContent");
    assert!(readout().starts_with("truth road → prediction road: "), "{}", readout());
    browser.eval("document.querySelector('#confusion tbody td').focus()");
    browser.press(RIGHT);
    assert!(readout().starts_with("truth road → prediction sidewalk: "), "{}", readout());
    let counts = data["confusion"][0].as_array().unwrap().iter().map(|count| count.as_u64().unwrap());
    let (count, total) = (data["confusion"][0][1].as_u64().unwrap(), counts.sum::<u64>());
    assert!(
        readout().contains(&format!(": {:.2} % of its pixels", 100.0 * count as f64 / total as f64)),
        "{}",
        readout()
    );
    assert_eq!(browser.text("document.querySelectorAll('#charts svg[role=img]').length"), "2");

    // Keys choose the layer, and the layer is what is seen.
    browser.eval("document.activeElement.blur()");
    let (truth, pred) = (grey(&worst["truth"]), grey(&worst["preds"][0]["ids"]));
    let colour = |x: u32, y: u32| -> Vec<u64> {
        let rgb = browser.eval(&format!(
            "const copy = document.createElement('canvas').getContext('2d', {{ willReadFrequently: true }}); \
             copy.drawImage(document.querySelector('#stage .over'), 0, 0); \
             return [...copy.getImageData({x}, {y}, 1, 1).data.slice(0, 3)]"
        ));
        rgb.as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect()
    };
    for (key, layer, ids) in [("2", "truth", &truth), ("3", "prediction", &pred)] {
        browser.press(key);
        assert_eq!(browser.text("document.querySelector('#layer-name').textContent"), layer);
        for (x, y) in [(0, 0), (40, 20), (63, 31)] {
            let expected = ClassSet::cityscapes().color_of(ids.get_pixel(x, y).0[0].into());
            assert_eq!(colour(x, y), expected.map(u64::from), "{layer} at {x}, {y}");
        }
    }
    let pressed =
        "[...document.querySelectorAll('.layers button')].findIndex((b) => b.getAttribute('aria-pressed') === 'true')";
    for (key, index) in [("1", "0"), ("4", "3")] {
        browser.press(key);
        assert_eq!(browser.text(pressed), index);
    }
    browser.click(".layers button:nth-child(2)");
    assert_eq!(browser.text(pressed), "1");

    // The slider moves the border between the image and the layer, and its arrows change no image.
    let clip = || browser.text("document.querySelector('#stage .over').style.clipPath");
    assert!(clip().contains("35%"), "{}", clip());
    browser.eval("document.querySelector('#slide').focus()");
    browser.press(RIGHT);
    assert!(clip().contains("36%"), "{}", clip());
    browser.click_at("#slide", [0.8, 0.5]);
    let value: f64 = browser.text("document.querySelector('#slide').value").parse().unwrap();
    assert!((70.0..90.0).contains(&value) && clip().contains(&format!("{value}%")), "{value} {}", clip());
    let caption = || browser.text("document.querySelector('#caption').textContent");
    assert!(caption().starts_with("1 of 4: "), "{}", caption());
    browser.eval("document.activeElement.blur()");

    // A click reads the pixel below it.
    let confidence = grey(&worst["preds"][0]["confidence"]);
    for (x, y) in [(5, 3), (50, 28)] {
        browser.click_at("#stage", [(f64::from(x) + 0.5) / 64.0, (f64::from(y) + 0.5) / 32.0]);
        let at = |of: &image::GrayImage| of.get_pixel(x, y).0[0];
        let expected = format!(
            "x {x}, y {y}: truth {} · prediction {} (confidence {:.1} %)",
            class(at(&truth)),
            class(at(&pred)),
            100.0 * f64::from(at(&confidence)) / 255.0
        );
        assert_eq!(browser.text("document.querySelector('#pixel').textContent"), expected);
    }

    // Arrows go from image to image.
    browser.eval("document.activeElement.blur()");
    browser.press(RIGHT);
    browser.wait("document.querySelector('#caption').textContent.startsWith('2 of 4: ')");
    browser.press(LEFT);
    assert!(caption().starts_with("1 of 4: "), "{}", caption());

    // `/` goes to the filter; a class leaves the images that have it, the worst of that class first.
    browser.press("/");
    assert_eq!(browser.text("document.activeElement.id"), "filter");
    let has = |id: u64, shown: &Value| shown["classes"].as_array().unwrap().contains(&id.into());
    let pictures = data["pictures"].as_array().unwrap();
    let some = (0..19).find(|id| (1..4).contains(&pictures.iter().filter(|shown| has(*id, shown)).count()));
    let id = some.expect("a class that not every picture has");
    browser.eval(&format!(
        "const filter = document.querySelector('#filter'); filter.value = '{id}'; filter.dispatchEvent(new Event('change'))"
    ));
    let shown: Vec<&Value> = pictures.iter().filter(|shown| has(id, shown)).collect();
    let count = browser.text("document.querySelector('#count').textContent");
    assert_eq!(count, format!("{} of 4 pictures", shown.len()));
    let listed = browser.eval("return [...document.querySelectorAll('#thumbs button')].map((button) => button.title)");
    let mut expected = shown.clone();
    let iou = |shown: &Value| shown["preds"][0]["iou"][id as usize].as_f64().unwrap_or(f64::INFINITY);
    expected.sort_by(|a, b| iou(a).total_cmp(&iou(b)));
    let expected: Vec<&Value> = expected.into_iter().map(|shown| &shown["name"]).collect();
    assert_eq!(listed.as_array().unwrap().iter().collect::<Vec<_>>(), expected);

    // Dark and light; a phone.
    let paper = || browser.text("getComputedStyle(document.body).backgroundColor");
    let light = paper();
    browser.click("#theme");
    assert_ne!(paper(), light);
    browser.narrow(400);
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.text(overflow), "0", "nothing sticks out on a phone");
    browser.press(TAB);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_of_a_comparison_reads_every_run() {
    let Some(browser) = Browser::start() else { return };
    let folder = runs(&["a", "b"]);
    segeval(folder.path()).args(&["--compare", "a", "b", "--report", "page"]).succeeds();
    browser.open(&folder.path().join("page/index.html"));
    browser.wait("document.querySelector('#stage').dataset.shown");
    assert_eq!(browser.text("document.querySelector('#layer-name').textContent"), "differences");
    for (key, layer) in [("3", "a"), ("4", "b"), ("5", "differences")] {
        browser.press(key);
        assert_eq!(browser.text("document.querySelector('#layer-name').textContent"), layer);
    }
    browser.click_at("#stage", [0.3, 0.6]);
    let pixel = browser.text("document.querySelector('#pixel').textContent");
    assert!(pixel.contains(" · a ") && pixel.contains(" · b ") && pixel.matches("confidence").count() == 2, "{pixel}");
    assert_eq!(browser.text("document.querySelectorAll('#runs canvas').length"), "4", "prediction and errors of each");
    browser.click("#classes thead th:nth-child(4) button");
    let sort = browser.text("document.querySelectorAll('#classes thead th')[3].getAttribute('aria-sort')");
    assert_eq!(sort, "descending", "by difference");
    browser.narrow(400);
    assert_eq!(browser.text("document.documentElement.scrollWidth - document.documentElement.clientWidth"), "0");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_of_a_classifier_filters_its_mistakes() {
    let Some(browser) = Browser::start() else { return };
    let folder = folder();
    digits(folder.path());
    segeval(folder.path()).args(&["digits", "--report", "page"]).succeeds();
    let path = folder.path().join("page/index.html");
    let data = data(&fs::read_to_string(&path).expect("a page"));
    browser.open(&path);
    let mistakes = data["mistakes"].as_array().unwrap();
    let figures = || browser.text("document.querySelectorAll('#sheet figure').length");
    assert_eq!(figures(), mistakes.len().to_string());
    let truth = mistakes[0]["truth"].as_u64().unwrap();
    browser.press("/");
    assert_eq!(browser.text("document.activeElement.id"), "filter");
    browser.eval(&format!(
        "const filter = document.querySelector('#filter'); filter.value = '{truth}'; filter.dispatchEvent(new Event('change'))"
    ));
    let of_class = mistakes.iter().filter(|m| m["truth"] == truth || m["top"][0] == truth).count();
    assert_eq!(figures(), of_class.to_string());
    browser.click("#classes thead th:nth-child(4) button");
    assert_eq!(browser.text("document.querySelectorAll('#confusion tbody td').length"), "100");
    browser.narrow(400);
    assert_eq!(browser.text("document.documentElement.scrollWidth - document.documentElement.clientWidth"), "0");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
