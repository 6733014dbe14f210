//! One node of the topic tree: the label of the edge that leads to it, and its branches.

/// Where a node lives in the arena of its tree.
///
/// 32 bits hold far more nodes than memory does: 10,000 peers with 65,536 topics each, all
/// different, make 1.3 billion.
pub(super) type NodeId = u32;

/// A node: the octets from its parent to itself, and the value of the topic that ends here.
pub(super) struct Node<V> {
    /// Empty for the root and for a node on the free list, and for no other.
    pub(super) label: Label,
    pub(super) branches: Branches,
    /// `None` where topics only part.
    pub(super) value: Option<V>,
    /// The next free node while this one is on the free list; the root's own id for the root.
    pub(super) parent: NodeId,
}

impl<V> Node<V> {
    /// A node without branches or value.
    pub(super) fn new(label: Label, parent: NodeId) -> Self {
        Self {
            label,
            branches: Branches::default(),
            value: None,
            parent,
        }
    }
}

/// At least one octet of a topic, up to [`Label::MAX`]. Short ones need no allocation.
pub(super) enum Label {
    Short { len: u8, octets: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Label {
    /// The longest label; a longer stretch is a chain of nodes.
    ///
    /// It bounds the octets that are copied when an edge is split or joined: otherwise a two-octet
    /// subscription beside a topic of a mebibyte would copy that mebibyte each time it comes and
    /// goes.
    pub(super) const MAX: usize = 1024;

    pub(super) const EMPTY: Self = Self::Short {
        len: 0,
        octets: [0; SHORT],
    };

    pub(super) fn new(label: &[u8]) -> Self {
        Self::joined(label, &[])
    }

    /// `head` followed by `tail`.
    pub(super) fn joined(head: &[u8], tail: &[u8]) -> Self {
        let total = head.len() + tail.len();
        match u8::try_from(total) {
            Ok(len) if total <= SHORT => {
                let mut octets = [0; SHORT];
                let (left, right) = octets.split_at_mut(head.len());
                left.copy_from_slice(head);
                right[..tail.len()].copy_from_slice(tail);
                Self::Short { len, octets }
            }
            _ => Self::Long([head, tail].concat().into_boxed_slice()),
        }
    }

    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Short { len, octets } => &octets[..usize::from(*len)],
            Self::Long(octets) => octets,
        }
    }
}

/// The branches of a node by their first octet: a bit map and, in the same order, the ids.
///
/// One form serves two branches as well as 256, at 4 octets a branch and a constant cost to find
/// one.
#[derive(Default)]
pub(super) struct Branches(Option<Box<Table>>);

struct Table {
    /// Bit `o % 8` of word `o / 8` is set if there is a branch for octet `o`. Words of eight bits, whose bits are counted by
    /// looking them up: without an instruction for it, which not every processor has, counting 64 is a dozen.
    present: [u8; 32],
    /// How many branches the words before this one hold.
    before: [u8; 32],
    ids: Box<[NodeId]>,
}

impl Branches {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn ids(&self) -> &[NodeId] {
        self.0.as_ref().map_or(&[], |table| &table.ids)
    }

    pub(super) fn ids_mut(&mut self) -> &mut [NodeId] {
        self.0.as_mut().map_or(&mut [], |table| &mut table.ids)
    }

    pub(super) fn find(&self, octet: u8) -> Option<NodeId> {
        let table = self.0.as_ref()?;
        let (word, bit) = place(octet);
        if table.present[word] & bit == 0 {
            return None;
        }
        table.ids.get(table.rank(octet)).copied()
    }

    /// The branch that follows the one for `octet`.
    pub(super) fn after(&self, octet: u8) -> Option<NodeId> {
        let table = self.0.as_ref()?;
        table.ids.get(table.rank(octet) + 1).copied()
    }

    /// Leads `octet` to `id`, whether or not it led somewhere before.
    pub(super) fn set(&mut self, octet: u8, id: NodeId) {
        let table = self.0.get_or_insert_with(|| {
            Box::new(Table {
                present: [0; 32],
                before: [0; 32],
                ids: Box::default(),
            })
        });
        let (word, bit) = place(octet);
        let rank = table.rank(octet);
        if table.present[word] & bit == 0 {
            table.present[word] |= bit;
            for before in &mut table.before[word + 1..] {
                *before += 1;
            }
            table.edit(|ids| {
                ids.reserve_exact(1);
                ids.insert(rank, id);
            });
        } else {
            table.ids[rank] = id;
        }
    }

    /// Cuts the branch for `octet`, which must be there.
    pub(super) fn cut(&mut self, octet: u8) {
        let Some(table) = self.0.as_mut() else { return };
        let (word, bit) = place(octet);
        let rank = table.rank(octet);
        table.present[word] &= !bit;
        for before in &mut table.before[word + 1..] {
            *before -= 1;
        }
        table.edit(|ids| {
            ids.remove(rank);
        });
        if table.ids.is_empty() {
            self.0 = None;
        }
    }
}

impl Table {
    /// How many branches come before the one for `octet`.
    fn rank(&self, octet: u8) -> usize {
        let (word, bit) = place(octet);
        let within = ONES[usize::from(self.present[word] & (bit - 1))];
        usize::from(self.before[word]) + usize::from(within)
    }

    /// Changes the ids, which are kept without spare room.
    fn edit(&mut self, change: impl FnOnce(&mut Vec<NodeId>)) {
        let mut ids = std::mem::take(&mut self.ids).into_vec();
        change(&mut ids);
        self.ids = ids.into_boxed_slice();
    }
}

/// The word and the bit of an octet.
fn place(octet: u8) -> (usize, u8) {
    (usize::from(octet / 8), 1 << (octet % 8))
}

/// How many bits of an octet are set.
const ONES: [u8; 256] = {
    let mut ones = [0; 256];
    let mut octet = 1;
    while octet < 256 {
        ones[octet] = ones[octet / 2] + (octet % 2) as u8;
        octet += 1;
    }
    ones
};

/// As many octets as fit beside the tag without making a label larger.
const SHORT: usize = 22;

const _: () = assert!(size_of::<Label>() <= 24, "a label is three words");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_keep_the_order_of_their_octets() {
        let mut branches = Branches::default();
        // 167 is odd, so this visits every octet once, out of order.
        for step in 0..=255u8 {
            let octet = step.wrapping_mul(167);
            assert_eq!(branches.find(octet), None);
            branches.set(octet, u32::from(octet) + 1000);
            assert_eq!(branches.ids().len(), usize::from(step) + 1);
        }
        assert!(branches.ids().is_sorted());
        assert_eq!(branches.after(255), None);
        branches.set(77, 5);
        assert_eq!(branches.find(77), Some(5));
        assert_eq!(branches.after(76), Some(5));
        for octet in (0..=255).rev() {
            assert!(!branches.is_empty());
            branches.cut(octet);
            assert_eq!(branches.find(octet), None);
            assert_eq!(branches.ids().len(), usize::from(octet));
        }
        assert!(branches.is_empty());
    }

    #[test]
    fn a_label_joins_at_every_length() {
        let octets: Vec<u8> = (0..=255).collect();
        for total in 0..60 {
            for at in 0..=total {
                let (head, tail) = octets[..total].split_at(at);
                let label = Label::joined(head, tail);
                assert_eq!(label.octets(), &octets[..total]);
                assert_eq!(matches!(label, Label::Short { .. }), total <= SHORT);
            }
        }
        assert_eq!(Label::EMPTY.octets(), b"");
    }
}
