use super::*;
use crate::data::image_file::load_image;
use std::fs;

/// Values of the left and of the right half for each component.
type Halves = Vec<[u8; 2]>;

/// Orange on the left, blue on the right, as Y, Cb, Cr.
fn halves() -> Halves {
    vec![[150, 70], [60, 180], [180, 100]]
}

const LEFT: [i32; 3] = [223, 136, 30];
const RIGHT: [i32; 3] = [31, 72, 162];

/// A baseline JPEG of 32×32 pixels in two halves of one color each: blocks of a DC coefficient alone.
struct Maker {
    halves: Halves,
    /// `(horizontal, vertical)` for each component.
    sampling: Vec<(usize, usize)>,
    ids: [u8; 4],
    /// Components of each scan.
    scans: Vec<Vec<usize>>,
    restart: u8,
    /// Segments behind the first marker.
    front: Vec<u8>,
}

const JFIF: [u8; 18] = *b"\xFF\xE0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00";

fn adobe(transform: u8) -> Vec<u8> {
    [b"\xFF\xEE\x00\x0EAdobe\x00\x64\x00\x00\x00\x00".as_slice(), &[transform]].concat()
}

impl Maker {
    fn new(sampling: &[(usize, usize)]) -> Self {
        let all = (0..sampling.len()).collect();
        Self {
            halves: halves(),
            sampling: sampling.to_vec(),
            ids: [1, 2, 3, 4],
            scans: vec![all],
            restart: 0,
            front: JFIF.to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [b"\xFF\xD8", self.front.as_slice()].concat();
        // With a quantum of 8, the coefficient of a block is its value - 128.
        segment(&mut bytes, 0xDB, &[[0].as_slice(), &[8; 64]].concat());
        let mut frame = vec![8, 0, 32, 0, 32, self.sampling.len() as u8];
        for (id, (horizontal, vertical)) in self.ids.iter().zip(&self.sampling) {
            frame.extend([*id, (horizontal << 4 | vertical) as u8, 0]);
        }
        segment(&mut bytes, 0xC0, &frame);
        // DC: twelve codes of four bits, the number of bits that follow. AC: one code of one bit, the end of the block.
        let dc = [[0, 0, 0, 0, 12].as_slice(), &[0; 12], &(0..12).collect::<Vec<u8>>()].concat();
        segment(&mut bytes, 0xC4, &dc);
        segment(&mut bytes, 0xC4, &[[0x10, 1].as_slice(), &[0; 15], &[0]].concat());
        segment(&mut bytes, 0xDD, &[0, self.restart]);
        for scan in &self.scans {
            let mut header = vec![scan.len() as u8];
            scan.iter().for_each(|&component| header.extend([self.ids[component], 0]));
            segment(&mut bytes, 0xDA, &[header.as_slice(), &[0, 63, 0]].concat());
            self.write_scan(scan, &mut bytes);
        }
        [bytes.as_slice(), b"\xFF\xD9"].concat()
    }

    fn write_scan(&self, scan: &[usize], bytes: &mut Vec<u8>) {
        let max = |pick: fn(&(usize, usize)) -> usize| self.sampling.iter().map(pick).max().unwrap();
        let (most_horizontal, most_vertical) = (max(|s| s.0), max(|s| s.1));
        let units = (32_usize.div_ceil(8 * most_horizontal), 32_usize.div_ceil(8 * most_vertical));
        // A component by itself comes block by block, and without those that only fill a unit.
        let blocks = |component: usize| -> Vec<Vec<(usize, usize)>> {
            let (h, v) = self.sampling[component];
            if let [_] = scan {
                let (width, height) = ((32 * h).div_ceil(8 * most_horizontal), (32 * v).div_ceil(8 * most_vertical));
                return (0..width * height).map(|i| vec![(component, i % width)]).collect();
            }
            let columns = |unit: usize| (0..v).flat_map(move |_| (0..h).map(move |x| (unit % units.0) * h + x));
            (0..units.0 * units.1).map(|unit| columns(unit).map(|x| (component, x)).collect()).collect()
        };
        let per_component: Vec<_> = scan.iter().map(|&component| blocks(component)).collect();
        let mut bits = Bits::default();
        let mut last = [0; 4];
        for unit in 0..per_component[0].len() {
            if self.restart > 0 && unit > 0 && unit % usize::from(self.restart) == 0 {
                bits.finish(bytes);
                bytes.extend([0xFF, 0xD0 + ((unit / usize::from(self.restart) - 1) % 8) as u8]);
                last = [0; 4];
            }
            for &(component, column) in per_component.iter().flat_map(|units| &units[unit]) {
                let is_right = 2 * column * most_horizontal >= 4 * self.sampling[component].0;
                let value = i32::from(self.halves[component][usize::from(is_right)]) - 128;
                let difference: i32 = value - last[component];
                last[component] = value;
                let length = 32 - difference.unsigned_abs().leading_zeros();
                bits.put(length, 4);
                bits.put((difference - i32::from(difference < 0)) as u32 & ((1 << length) - 1), length);
                bits.put(0, 1);
            }
        }
        bits.finish(bytes);
    }
}

fn segment(bytes: &mut Vec<u8>, marker: u8, content: &[u8]) {
    bytes.extend([0xFF, marker]);
    bytes.extend((content.len() as u16 + 2).to_be_bytes());
    bytes.extend(content);
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u32, length: u32) {
        self.0.extend((0..length).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn finish(&mut self, bytes: &mut Vec<u8>) {
        for eight in self.0.chunks(8) {
            let byte = (0..8).fold(0, |byte, i| byte << 1 | u8::from(*eight.get(i).unwrap_or(&true)));
            bytes.push(byte);
            bytes.extend((byte == 0xFF).then_some(0));
        }
        self.0.clear();
    }
}

fn suits_image(bytes: &[u8]) -> bool {
    Headers::read(bytes).unwrap().suit_image()
}

/// Colors in the middle of both halves, where no upsampling mixes them.
fn colours(bytes: &[u8]) -> [[i32; 3]; 2] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jpg");
    fs::write(&path, bytes).unwrap();
    let image = load_image(&path).unwrap();
    assert_eq!(image.dim(), (32, 32, 3));
    [4, 27].map(|x| {
        let at = |y: usize| [0, 1, 2].map(|channel| i32::from(image[[y, x, channel]]));
        assert_eq!(at(0), at(31), "column {x} is of one colour");
        at(16)
    })
}

#[track_caller]
fn assert_near(found: [[i32; 3]; 2], expected: [[i32; 3]; 2], what: &str) {
    let far = found.iter().flatten().zip(expected.iter().flatten()).any(|(a, b)| (a - b).abs() > 3);
    assert!(!far, "{what}: {found:?} is not {expected:?}");
}

#[test]
fn components_may_come_in_any_scans() {
    for sampling in [[(2, 2), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 1)], [(1, 2), (1, 1), (1, 1)], [(1, 1); 3]] {
        for scans in [
            vec![vec![0, 1, 2]],
            vec![vec![0], vec![1], vec![2]],
            vec![vec![0], vec![1, 2]],
            vec![vec![0, 1], vec![2]],
            vec![vec![2], vec![1], vec![0]],
        ] {
            for restart in [0, 3] {
                let bytes = Maker { scans: scans.clone(), restart, ..Maker::new(&sampling) }.bytes();
                assert_near(colours(&bytes), [LEFT, RIGHT], &format!("{sampling:?} in {scans:?}, restart {restart}"));
                assert_eq!(suits_image(&bytes), scans.len() == 1, "what is in one scan is read as ever");
            }
        }
    }
    let three_sizes = Maker { scans: vec![vec![0, 1], vec![2]], ..Maker::new(&[(4, 1), (2, 1), (2, 1)]) }.bytes();
    let error = Headers::read(&three_sizes).unwrap().decode(&three_sizes).unwrap_err();
    assert!(error.contains("sampling factors of three sizes"), "{error}");
    let missing = Maker { scans: vec![vec![0], vec![1]], ..Maker::new(&[(1, 1); 3]) }.bytes();
    let headers = Headers::read(&missing).unwrap();
    assert!(!headers.suit_image());
    let error = headers.decode(&missing).unwrap_err();
    assert!(error.contains("not all components have data"), "{error}");
}

#[test]
fn any_component_may_be_the_smaller_one() {
    for sampling in [
        [(1, 1), (2, 2), (2, 2)],
        [(1, 1), (2, 1), (2, 1)],
        [(1, 1), (1, 2), (1, 2)],
        [(1, 1), (1, 1), (2, 2)],
        [(1, 2), (2, 1), (1, 1)],
    ] {
        let bytes = Maker::new(&sampling).bytes();
        assert!(!suits_image(&bytes), "{sampling:?}");
        assert_near(colours(&bytes), [LEFT, RIGHT], &format!("{sampling:?}"));
    }
    for sampling in [[(1, 1); 3], [(2, 1), (1, 1), (1, 1)], [(2, 2), (1, 1), (1, 1)], [(4, 1), (1, 1), (1, 1)]] {
        assert!(suits_image(&Maker::new(&sampling).bytes()), "{sampling:?} is read as ever");
    }
}

#[test]
fn colours_are_told_as_libjpeg_tells_them() {
    let rgb = [[150, 60, 180], [70, 180, 100]];
    let ycc = [LEFT, RIGHT];
    let jfif = JFIF.to_vec();
    for (front, ids, expected) in [
        (jfif.clone(), *b"RGB\0", ycc),
        (Vec::new(), *b"RGB\0", rgb),
        (Vec::new(), [0, 1, 2, 3], ycc),
        (adobe(0), [1, 2, 3, 4], rgb),
        (adobe(1), *b"RGB\0", ycc),
        ([jfif.clone(), adobe(0)].concat(), [1, 2, 3, 4], ycc),
        ([adobe(0), jfif].concat(), *b"RGB\0", ycc),
    ] {
        for sampling in [[(1, 1); 3], [(2, 2), (1, 1), (1, 1)]] {
            let bytes = Maker { front: front.clone(), ids, ..Maker::new(&sampling) }.bytes();
            assert_near(colours(&bytes), expected, &format!("{ids:?}, {front:?}"));
        }
    }
}

#[test]
fn four_inks_in_several_scans_are_those_of_one() {
    let halves = || vec![[200, 90], [60, 180], [180, 100], [220, 240]];
    for front in [Vec::new(), adobe(0), adobe(2)] {
        let sampling = [(2, 2), (1, 1), (1, 1), (2, 2)];
        let one = Maker { halves: halves(), front, ..Maker::new(&sampling) };
        let plain = one.bytes();
        let bytes = Maker { scans: vec![vec![0], vec![1], vec![2], vec![3]], ..one }.bytes();
        assert!(suits_image(&plain) && !suits_image(&bytes));
        assert_near(colours(&bytes), colours(&plain), "inks");
    }
}

#[test]
fn what_has_no_whole_headers_is_left_to_the_decoder() {
    let bytes = Maker::new(&[(1, 1), (2, 2), (2, 2)]).bytes();
    let start = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    for end in 0..start {
        assert!(Headers::read(&bytes[..end]).is_none(), "{end}");
    }
    let at = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    for kind in [0xC3, 0xC9] {
        let mut other = bytes.clone();
        other[at + 1] = kind;
        assert!(Headers::read(&other).is_none(), "lossless and arithmetic coding are refused");
    }
}
