//! From ids on disk to class indices.

use super::{ClassSet, IGNORE_INDEX, Unlisted};

/// What an id on disk stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A class, by its index.
    Class(u16),
    /// No class.
    Ignored,
    /// Not in the class set.
    Unlisted,
}

/// The meaning of every id of up to 16 bits.
#[derive(Debug, Clone)]
pub struct IdTable(Vec<u16>);

/// Mark of ids that the set does not list; no class has this index.
const UNLISTED: u16 = IGNORE_INDEX - 1;

impl IdTable {
    /// What `meaning` says about each id.
    fn new(meaning: impl Fn(u16) -> Meaning) -> Self {
        Self((0..=u16::MAX).map(|id| mark(meaning(id))).collect())
    }

    /// The ids of a class set.
    pub fn of(set: &ClassSet) -> Self {
        let rest = if set.unlisted == Unlisted::Ignore { IGNORE_INDEX } else { UNLISTED };
        let mut marks = vec![rest; usize::from(u16::MAX) + 1];
        let groups = set.groups.iter().flat_map(|group| &group.ignored_ids);
        set.ignore.iter().chain(groups).for_each(|id| marks[usize::from(*id)] = IGNORE_INDEX);
        for (index, class) in set.classes.iter().enumerate() {
            class.ids.iter().for_each(|id| marks[usize::from(*id)] = index as u16);
        }
        Self(marks)
    }

    /// Files that hold class indices already, such as Cityscapes' `*_labelTrainIds.png`; 255 is ignored.
    pub fn of_indices(set: &ClassSet) -> Self {
        let classes = set.len();
        Self::new(|id| match usize::from(id) {
            index if index < classes => Meaning::Class(id),
            255 => Meaning::Ignored,
            _ => Meaning::Unlisted,
        })
    }

    /// What an id stands for.
    pub fn meaning(&self, id: u16) -> Meaning {
        match self.0[usize::from(id)] {
            IGNORE_INDEX => Meaning::Ignored,
            UNLISTED => Meaning::Unlisted,
            class => Meaning::Class(class),
        }
    }

    /// Class index of an id, or [`IGNORE_INDEX`]; an unlisted id gives a value that is no class either.
    pub fn class(&self, id: u16) -> u16 {
        self.0[usize::from(id)]
    }

    /// Whether the id is listed.
    pub fn lists(&self, id: u16) -> bool {
        self.0[usize::from(id)] != UNLISTED
    }
}

fn mark(meaning: Meaning) -> u16 {
    match meaning {
        Meaning::Class(class) => class,
        Meaning::Ignored => IGNORE_INDEX,
        Meaning::Unlisted => UNLISTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_ids_of_cityscapes_map_to_train_ids() {
        let table = IdTable::of(&ClassSet::cityscapes());
        assert_eq!(table.meaning(7), Meaning::Class(0));
        assert_eq!(table.meaning(33), Meaning::Class(18));
        assert_eq!(table.meaning(0), Meaning::Ignored);
        assert_eq!(table.meaning(30), Meaning::Ignored, "trailer is void");
        assert_eq!(table.meaning(34), Meaning::Unlisted);
    }

    #[test]
    fn unlisted_ids_may_be_ignored() {
        let mut set = ClassSet::numbered("x", &["a".to_string(), "b".to_string()]);
        assert!(!IdTable::of(&set).lists(9));
        set.unlisted = Unlisted::Ignore;
        assert_eq!(IdTable::of(&set).meaning(9), Meaning::Ignored);
        assert_eq!(IdTable::of_indices(&set).meaning(255), Meaning::Ignored);
    }
}
