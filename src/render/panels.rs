//! One evaluated image at a glance: image, truth, prediction and errors side by side, with a legend.

use super::canvas::{Anchor, Area, Drawn, INK, draw_on, text};
use super::overlay::{overlay, picture};
use super::palette::{colorize, occurring};
use crate::Result;
use crate::task::{ClassSet, IGNORE_INDEX};
use image::imageops::{FilterType, overlay as paste, resize};
use image::{Rgb, RgbImage};
use ndarray::{ArrayView2, ArrayView3};
use plotters::prelude::*;

/// Panels are between half of this and this wide, so that captions and thin poles survive a README's column.
const PANEL_WIDTH: u32 = 512;
/// White between panels.
const GAP: u32 = 8;

/// Image | truth | prediction | errors, or, without truth, image | prediction | overlay; legend below.
///
/// Errors: the grey image with wrong pixels red, right pixels dim and ignored pixels black.
///
/// # Shapes
/// `image`: RGB `[height, width, 3]`; `truth`, `pred`: class indices `[height, width]`.
///
/// # Errors
/// Drawing fails.
///
/// # Panics
/// If the sizes differ.
pub fn panels(
    classes: &ClassSet,
    image: ArrayView3<u8>,
    truth: Option<ArrayView2<u16>>,
    pred: ArrayView2<u8>,
) -> Result<RgbImage> {
    let panels = match truth {
        Some(truth) => vec![
            ("picture".to_string(), fit(picture(image), FilterType::Triangle)),
            ("truth".to_string(), fit(colorize(classes, truth), FilterType::Nearest)),
            ("prediction".to_string(), fit(colorize(classes, pred), FilterType::Nearest)),
            // Not Nearest: a wrong pole that falls between the kept pixels would be gone.
            (error_caption(truth, pred), fit(errors(image, truth, pred), FilterType::Triangle)),
        ],
        None => vec![
            ("picture".to_string(), fit(picture(image), FilterType::Triangle)),
            ("prediction".to_string(), fit(colorize(classes, pred), FilterType::Nearest)),
            ("overlay".to_string(), fit(overlay(classes, image, pred), FilterType::Triangle)),
        ],
    };
    let mut shown = occurring(classes, truth, [pred]);
    if truth.is_some_and(|truth| truth.iter().any(|id| *id == IGNORE_INDEX)) {
        shown.push(IGNORE_INDEX); // black
    }
    side_by_side(&panels, classes, &shown)
}

/// Grey image with wrong pixels red, right pixels dim and ignored pixels black; `[height, width]` as the masks.
pub fn errors(image: ArrayView3<u8>, truth: ArrayView2<u16>, pred: ArrayView2<u8>) -> RgbImage {
    let (height, width) = truth.dim();
    assert_eq!(pred.dim(), (height, width), "truth and prediction must have the same size");
    assert_eq!(image.dim(), (height, width, 3), "picture and mask must have the same size");
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = [y as usize, x as usize];
        let [red, green, blue] = [0, 1, 2].map(|channel| f32::from(image[[at[0], at[1], channel]]));
        let grey = 0.299 * red + 0.587 * green + 0.114 * blue; // ITU-R BT.601 luma
        match (truth[at], pred[at]) {
            (IGNORE_INDEX, _) => Rgb([0; 3]),
            (truth, pred) if truth == u16::from(pred) => Rgb([(40.0 + 0.35 * grey) as u8; 3]),
            // The image stays visible in the red, so that one sees what was mistaken.
            _ => Rgb([(180.0 + 0.29 * grey) as u8, (0.25 * grey) as u8, (0.22 * grey) as u8]),
        }
    })
}

fn error_caption(truth: ArrayView2<u16>, pred: ArrayView2<u8>) -> String {
    let labelled = truth.iter().zip(pred).filter(|(truth, _)| **truth != IGNORE_INDEX);
    let (wrong, total) = labelled
        .fold((0u64, 0u64), |(wrong, total), (truth, pred)| (wrong + u64::from(*truth != u16::from(*pred)), total + 1));
    match total {
        0 => "errors (nothing labelled)".into(),
        _ => format!("errors: {:.1} % of labelled pixels", 100.0 * wrong as f64 / total as f64),
    }
}

/// Brings a panel to a readable width: small images grow by a whole factor, large ones shrink.
fn fit(panel: RgbImage, shrink: FilterType) -> RgbImage {
    let (width, height) = panel.dimensions();
    if width > PANEL_WIDTH {
        let height = (u64::from(height) * u64::from(PANEL_WIDTH) / u64::from(width)).max(1) as u32;
        return resize(&panel, PANEL_WIDTH, height, shrink);
    }
    match PANEL_WIDTH / width.max(1) {
        0 | 1 => panel,
        factor => resize(&panel, width * factor, height * factor, FilterType::Nearest),
    }
}

fn side_by_side(panels: &[(String, RgbImage)], classes: &ClassSet, shown: &[u16]) -> Result<RgbImage> {
    let panel_width = panels.iter().map(|(_, panel)| panel.width()).max().unwrap_or(1);
    let panel_height = panels.iter().map(|(_, panel)| panel.height()).max().unwrap_or(1);
    let count = panels.len() as u32;
    let width = count * panel_width + (count + 1) * GAP;
    // At a README's column of about 900 pixels this is text of 12.
    let size = (f64::from(width) / 70.0).max(13.0);
    let caption = (1.5 * size) as u32;
    let legend = Legend::new(classes, shown, width, size);
    let height = caption + panel_height + legend.height + GAP;

    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let left = |index: usize| GAP + index as u32 * (panel_width + GAP);
    for (index, (_, panel)) in panels.iter().enumerate() {
        paste(&mut sheet, panel, left(index).into(), caption.into());
    }
    draw_on(sheet, |area| {
        for (index, (name, _)) in panels.iter().enumerate() {
            let middle = (left(index) + panel_width / 2) as i32;
            text(size, INK, Anchor::Middle).draw(area, name, (middle, caption as i32 / 2))?;
        }
        legend.draw(area, (caption + panel_height) as i32)
    })
}

/// Swatches and names of classes, in as many lines as they need.
struct Legend<'a> {
    classes: &'a ClassSet,
    /// Class and place of its swatch.
    places: Vec<(u16, i32, i32)>,
    size: f64,
    height: u32,
}

impl<'a> Legend<'a> {
    fn new(classes: &'a ClassSet, shown: &[u16], width: u32, size: f64) -> Self {
        let line = (1.5 * size) as i32;
        let (mut x, mut y) = (GAP as i32, (0.5 * size) as i32);
        let mut places = Vec::new();
        for &class in shown {
            let entry = (2.5 * size) as i32 + text(size, INK, Anchor::Start).width(classes.name_of(class));
            if x + entry > width as i32 && x > GAP as i32 {
                (x, y) = (GAP as i32, y + line);
            }
            places.push((class, x, y));
            x += entry;
        }
        Self { classes, places, size, height: (y + line) as u32 }
    }

    fn draw(&self, area: &Area, top: i32) -> Drawn {
        let side = self.size as i32;
        for &(class, x, y) in &self.places {
            let (y, [red, green, blue]) = (top + y, self.classes.color_of(class));
            area.draw(&Rectangle::new([(x, y), (x + side, y + side)], RGBColor(red, green, blue).filled()))?;
            let place = (x + (1.4 * self.size) as i32, y + side / 2);
            text(self.size, INK, Anchor::Start).draw(area, self.classes.name_of(class), place)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Array3, array};

    #[test]
    fn errors_are_red_where_wrong_dim_where_right_black_where_ignored() {
        let image = Array3::from_elem((1, 3, 3), 200);
        let errors = errors(image.view(), array![[0, 0, IGNORE_INDEX]].view(), array![[0, 1, 1]].view());
        assert_eq!(errors.get_pixel(0, 0).0, [110; 3]);
        let [red, green, blue] = errors.get_pixel(1, 0).0;
        assert!(red > 200 && green < 60 && blue < 60, "{red} {green} {blue}");
        assert_eq!(errors.get_pixel(2, 0).0, [0; 3]);
        let caption = error_caption(array![[0, 0, IGNORE_INDEX]].view(), array![[0, 1, 1]].view());
        assert_eq!(caption, "errors: 50.0 % of labelled pixels");
    }

    #[test]
    fn panels_of_any_size_can_be_drawn() {
        for (height, width) in [(1, 1), (32, 40), (128, 256), (600, 1201)] {
            let image = Array3::from_elem((height, width, 3), 90);
            let mask = Array2::from_shape_fn((height, width), |(y, x)| ((x + y) % 19) as u8);
            let set = ClassSet::cityscapes();
            let truth = mask.mapv(u16::from);
            let sheet = panels(&set, image.view(), Some(truth.view()), mask.view()).unwrap();
            assert!(sheet.width() > 3 * width.min(512) as u32 && sheet.height() > height.min(256) as u32);
            panels(&set, image.view(), None, mask.view()).unwrap();
        }
        let empty = Array2::from_elem((8, 8), IGNORE_INDEX);
        let image = Array3::zeros((8, 8, 3));
        panels(&ClassSet::cityscapes(), image.view(), Some(empty.view()), Array2::zeros((8, 8)).view()).unwrap();
    }
}
