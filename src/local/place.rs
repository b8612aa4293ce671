//! Which device each local module is on.

use super::cost::Costs;
use super::cut;
use super::spec::Spec;
use crate::Result;

/// Number of each module's device among so many: neighbours together, so that the device with the most work has the least
/// that can be.
///
/// # Errors
/// The network cannot be cut as `spec` says.
pub fn of(spec: &Spec, num_classes: usize, devices: usize) -> Result<Vec<usize>> {
    if devices == 1 {
        return Ok(vec![0; spec.local.num_modules]);
    }
    let ranges = cut::module_ranges_of(spec, num_classes)?;
    Ok(balanced(&Costs::of(spec, num_classes).macs_of_modules(&ranges), devices))
}

fn balanced(work: &[usize], devices: usize) -> Vec<usize> {
    let n = work.len();
    let together = |i: usize, j: usize| if j < i { 0 } else { work[i..=j].iter().sum::<usize>() as u64 };
    let sums: Vec<Vec<u64>> = (0..n).map(|i| (0..n).map(|j| together(i, j)).collect()).collect();
    let ranges = cut::ranges(&cut::balanced(&sums, devices), n);
    ranges.iter().enumerate().flat_map(|(device, range)| vec![device; range.len()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_work_is_the_least_that_can_be() {
        assert_eq!(balanced(&[4, 1, 1, 1], 2), [0, 1, 1, 1]);
        assert_eq!(balanced(&[1, 1, 1, 4, 1], 3), [0, 0, 0, 1, 2]);
        assert_eq!(balanced(&[5, 5], 2), [0, 1]);
    }
}
