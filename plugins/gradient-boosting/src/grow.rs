//! Grows one tree, leaf by leaf, the most promising first, as LightGBM does.
//!
//! Sums run over rows in the order of the partition and over bins from the last to the first, always: the same data
//! gives the same tree, bit for bit.

use crate::bins::{Binned, Cuts};
use crate::boost::Settings;
use crate::tree::{Child, Node, Tree};

/// Added to sums of hessians, so that nothing is divided by zero.
const EPSILON: f64 = 1e-15;

/// A sum of gradients and one of hessians.
type Sums = [f64; 2];

/// A place for every byte, so that a bin's number needs no check. Aligned, so that no sum lies across a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Bins([Sums; 256]);

/// Rows are summed into the bins of so many features at once: finding a row and its gradients is paid once for all.
const TOGETHER: usize = 4;

/// The data that trees are grown on.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The rows.
    pub table: &'a Binned,
    /// The bins of each feature.
    pub cuts: &'a [Cuts],
    /// What to keep to.
    pub settings: &'a Settings,
}

/// A tree together with its splits in bins, for rows that are already binned.
#[derive(Debug, Clone, Default)]
pub struct Grown {
    /// The tree.
    pub tree: Tree,
    /// For each split, the last bin that goes left.
    bins: Vec<u8>,
}

impl Grown {
    /// The leaf that a row of a binned table ends in.
    pub fn leaf(&self, table: &Binned, cuts: &[Cuts], row: usize) -> usize {
        let mut place = 0;
        while let Some(node) = self.tree.nodes.get(place) {
            let feature = node.feature as usize;
            let bin = table.column(feature)[row];
            let left =
                if usize::from(bin) >= cuts[feature].of_values() { node.missing_left } else { bin <= self.bins[place] };
            match if left { node.left } else { node.right } {
                Child::Node(next) => place = next as usize,
                Child::Leaf(leaf) => return leaf as usize,
            }
        }
        0
    }
}

#[derive(Debug, Clone, Copy)]
struct Split {
    gain: f64,
    feature: usize,
    bin: usize,
    missing_left: Option<bool>,
    left: Sums,
    right: Sums,
}

/// A leaf that may yet be split.
struct Leaf {
    start: usize,
    rows: usize,
    sums: Sums,
    best: Option<Split>,
    /// Sums of every bin of every feature; dropped where no split can come.
    histogram: Vec<Sums>,
    /// The features worth asking: one that could not split a leaf is not asked in its children.
    features: Vec<usize>,
    /// The split that leads here.
    parent: Option<(usize, Side)>,
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// Grows trees; keeps its buffers from one to the next.
#[derive(Debug)]
pub struct Grower<'a> {
    ground: Ground<'a>,
    /// Where each feature's bins begin in a histogram.
    offsets: Vec<usize>,
    /// The rows, those of a leaf side by side.
    rows: Vec<u32>,
    aside: Vec<u32>,
    /// The gradients of a leaf's rows, side by side.
    packed: Vec<[f32; 2]>,
    /// What rows are summed in.
    bins: Box<[Bins; TOGETHER]>,
    spare: Vec<Vec<Sums>>,
    /// Where each leaf's rows are after growing.
    spans: Vec<(usize, usize)>,
}

impl<'a> Grower<'a> {
    /// A grower for this data.
    pub fn new(ground: Ground<'a>) -> Self {
        let mut offsets = vec![0];
        for cuts in ground.cuts {
            offsets.push(offsets.last().copied().unwrap_or_default() + cuts.count());
        }
        let bins = Box::new([Bins([[0.0; 2]; 256]); TOGETHER]);
        Self { ground, offsets, rows: vec![], aside: vec![], packed: vec![], bins, spare: vec![], spans: vec![] }
    }

    /// The rows of each leaf of the tree grown last.
    pub fn leaves(&self) -> impl Iterator<Item = &[u32]> {
        self.spans.iter().map(|&(start, rows)| &self.rows[start..start + rows])
    }

    /// Grows a tree from `rows`, asking `features`. None where there is nothing to split.
    pub fn grow(&mut self, rows: &[u32], features: &[usize], gradients: &[[f32; 2]]) -> Option<Grown> {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        let mut sums = [0.0; 2];
        for &row in rows {
            let gradient = gradients[row as usize];
            sums = [sums[0] + f64::from(gradient[0]), sums[1] + f64::from(gradient[1])];
        }
        let mut root = Leaf {
            start: 0,
            rows: rows.len(),
            sums,
            best: None,
            histogram: vec![],
            features: features.to_vec(),
            parent: None,
        };
        root.histogram = self.histogram_of(&root, gradients);
        self.find(&mut root);
        let mut leaves = vec![root];
        let mut grown = Grown::default();
        while leaves.len() < self.ground.settings.leaves.max(2) {
            let mut chosen: Option<(usize, Split)> = None;
            for (place, leaf) in leaves.iter().enumerate() {
                if let Some(split) = leaf.best
                    && chosen.is_none_or(|(_, best)| split.gain > best.gain)
                {
                    chosen = Some((place, split));
                }
            }
            let Some((place, split)) = chosen else { break };
            let right = self.split(&mut leaves[place], split, &mut grown, gradients);
            leaves.push(right);
        }
        self.spans = leaves.iter().map(|leaf| (leaf.start, leaf.rows)).collect();
        for (place, leaf) in leaves.into_iter().enumerate() {
            let (parent, side) = leaf.parent?;
            let child = Child::Leaf(place as u32);
            match side {
                Side::Left => grown.tree.nodes[parent].left = child,
                Side::Right => grown.tree.nodes[parent].right = child,
            }
            grown.tree.leaves.push(self.value(leaf.sums));
            self.recycle(leaf.histogram);
        }
        Some(grown)
    }

    /// Turns `leaf` into the left child of a new split and returns the right one.
    fn split(&mut self, leaf: &mut Leaf, split: Split, grown: &mut Grown, gradients: &[[f32; 2]]) -> Leaf {
        let left_rows = self.partition(leaf, split);
        let node = grown.tree.nodes.len();
        if let Some((parent, side)) = leaf.parent {
            let child = Child::Node(node as u32);
            match side {
                Side::Left => grown.tree.nodes[parent].left = child,
                Side::Right => grown.tree.nodes[parent].right = child,
            }
        }
        grown.tree.nodes.push(Node {
            feature: split.feature as u32,
            // Where training had nothing missing, the larger side is the better guess.
            missing_left: split.missing_left.unwrap_or(left_rows * 2 >= leaf.rows),
            threshold: self.ground.cuts[split.feature].bound(split.bin),
            left: Child::Leaf(0),
            right: Child::Leaf(0),
        });
        grown.bins.push(u8::try_from(split.bin).unwrap_or(u8::MAX));
        let mut right = Leaf {
            start: leaf.start + left_rows,
            rows: leaf.rows - left_rows,
            sums: split.right,
            best: None,
            histogram: vec![],
            features: leaf.features.clone(),
            parent: Some((node, Side::Right)),
        };
        let parent = std::mem::take(&mut leaf.histogram);
        *leaf = Leaf {
            start: leaf.start,
            rows: left_rows,
            sums: split.left,
            best: None,
            histogram: vec![],
            features: std::mem::take(&mut leaf.features),
            parent: Some((node, Side::Left)),
        };
        let enough = 2 * self.ground.settings.least_rows;
        if leaf.rows < enough && right.rows < enough {
            self.recycle(parent);
            return right;
        }
        // Only the smaller child's histogram is summed from its rows; the other is what is left of the parent's.
        let (smaller, larger) = if leaf.rows < right.rows { (leaf, &mut right) } else { (&mut right, leaf) };
        smaller.histogram = self.histogram_of(smaller, gradients);
        larger.histogram = parent;
        for &feature in &smaller.features {
            let bins = self.offsets[feature]..self.offsets[feature + 1];
            for (whole, part) in larger.histogram[bins.clone()].iter_mut().zip(&smaller.histogram[bins]) {
                *whole = [whole[0] - part[0], whole[1] - part[1]];
            }
        }
        self.find(smaller);
        self.find(larger);
        right
    }

    /// Puts the left child's rows before the right one's, each in their order. Returns how many go left.
    fn partition(&mut self, leaf: &Leaf, split: Split) -> usize {
        let column = self.ground.table.column(split.feature);
        let of_values = self.ground.cuts[split.feature].of_values();
        let missing_left = split.missing_left.unwrap_or(false);
        let goes_left: [bool; 256] =
            std::array::from_fn(|bin| if bin >= of_values { missing_left } else { bin <= split.bin });
        let rows = &mut self.rows[leaf.start..leaf.start + leaf.rows];
        if self.aside.len() < rows.len() {
            self.aside.resize(rows.len(), 0);
        }
        let aside = &mut self.aside[..rows.len()];
        let mut kept = 0;
        for place in 0..rows.len() {
            // Written to both sides and counted on one: a branch would be guessed wrong every other time.
            let row = rows[place];
            rows[kept] = row;
            aside[place - kept] = row;
            kept += usize::from(goes_left[usize::from(column[row as usize])]);
        }
        let (left, right) = rows.split_at_mut(kept);
        right.copy_from_slice(&aside[..right.len()]);
        left.len()
    }

    fn histogram_of(&mut self, leaf: &Leaf, gradients: &[[f32; 2]]) -> Vec<Sums> {
        // Of a histogram that was used before, only the bins of this leaf's features are written anew; no others are read.
        let mut histogram = self.spare.pop().unwrap_or_default();
        histogram.resize(self.offsets.last().copied().unwrap_or_default(), [0.0; 2]);
        self.packed.clear();
        let rows = &self.rows[leaf.start..leaf.start + leaf.rows];
        self.packed.extend(rows.iter().map(|&row| gradients[row as usize]));
        let (groups, rest) = leaf.features.as_chunks::<TOGETHER>();
        groups.iter().for_each(|group| self.sum(leaf, *group, &mut histogram));
        match *rest {
            [one] => self.sum(leaf, [one], &mut histogram),
            [one, two] => self.sum(leaf, [one, two], &mut histogram),
            [one, two, three] => self.sum(leaf, [one, two, three], &mut histogram),
            _ => {}
        }
        histogram
    }

    /// Sums a leaf's gradients in the bins of a few features.
    fn sum<const FEATURES: usize>(&mut self, leaf: &Leaf, features: [usize; FEATURES], histogram: &mut [Sums]) {
        let (table, offsets) = (self.ground.table, &self.offsets);
        let columns = features.map(|feature| table.column(feature));
        const { assert!(FEATURES <= TOGETHER, "there are bins for so many features") };
        let Some((bins, _)) = self.bins.split_first_chunk_mut::<FEATURES>() else { return };
        for (feature, bins) in features.into_iter().zip(bins.iter_mut()) {
            bins.0[..offsets[feature + 1] - offsets[feature]].fill([0.0; 2]);
        }
        let rows = &self.rows[leaf.start..leaf.start + leaf.rows];
        // All rows are in their first order, so that columns can be read straight through.
        if rows.len() == table.rows() {
            add(bins, columns, 0..rows.len(), &self.packed);
        } else {
            add(bins, columns, rows.iter().map(|&row| row as usize), &self.packed);
        }
        for (feature, bins) in features.into_iter().zip(bins.iter()) {
            let place = &mut histogram[offsets[feature]..offsets[feature + 1]];
            place.copy_from_slice(&bins.0[..place.len()]);
        }
    }

    fn recycle(&mut self, histogram: Vec<Sums>) {
        if histogram.capacity() > 0 {
            self.spare.push(histogram);
        }
    }

    fn value(&self, sums: Sums) -> f64 {
        -sums[0] / (sums[1] + self.ground.settings.l2)
    }

    /// Finds the leaf's best split, and forgets the features that have none.
    fn find(&self, leaf: &mut Leaf) {
        let settings = self.ground.settings;
        let search = Search {
            rows: leaf.rows as f64,
            sums: [leaf.sums[0], leaf.sums[1] + 2.0 * EPSILON],
            least_rows: settings.least_rows as f64,
            least_hessian: settings.least_hessian,
            l2: settings.l2,
        };
        let mut best: Option<Split> = None;
        let mut features = std::mem::take(&mut leaf.features);
        features.retain(|&feature| {
            let bins = &leaf.histogram[self.offsets[feature]..self.offsets[feature + 1]];
            let split = search.feature(feature, bins, &self.ground.cuts[feature]);
            if let Some(split) = split
                && split.gain > settings.least_gain
                && best.is_none_or(|best| split.gain > best.gain)
            {
                best = Some(split);
            }
            split.is_some()
        });
        leaf.features = features;
        leaf.best = best;
    }
}

#[inline(always)]
fn add<const FEATURES: usize>(
    bins: &mut [Bins; FEATURES],
    columns: [&[u8]; FEATURES],
    rows: impl Iterator<Item = usize>,
    gradients: &[[f32; 2]],
) {
    // One length for all, so that a row is compared with it once.
    let len = columns.iter().map(|column| column.len()).min().unwrap_or_default();
    let columns = columns.map(|column| &column[..len]);
    for (row, gradient) in rows.zip(gradients) {
        let gradient = gradient.map(f64::from);
        for (bins, column) in bins.iter_mut().zip(columns) {
            let sums = &mut bins.0[usize::from(column[row])];
            *sums = [sums[0] + gradient[0], sums[1] + gradient[1]];
        }
    }
}

/// The search for a leaf's best split.
struct Search {
    rows: f64,
    sums: Sums,
    least_rows: f64,
    least_hessian: f64,
    l2: f64,
}

impl Search {
    fn gain(&self, sums: Sums) -> f64 {
        sums[0] * sums[0] / (sums[1] + self.l2)
    }

    fn feature(&self, feature: usize, bins: &[Sums], cuts: &Cuts) -> Option<Split> {
        let of_values = cuts.of_values();
        let mut best = None;
        if cuts.has_missing() {
            // Missing values to the left, then to the right; the first wins a tie.
            self.scan((1..of_values).rev().map(|bin| (bin - 1, bins[bin])), true, &mut best);
            if let Some((_, _, missing_left, _)) = &mut best {
                *missing_left = true;
            }
            let mut other = None;
            self.scan((0..of_values).map(|bin| (bin, bins[bin])), false, &mut other);
            if let Some(other) = other
                && best.is_none_or(|best| other.0 > best.0)
            {
                best = Some(other);
            }
        } else {
            self.scan((1..of_values).rev().map(|bin| (bin - 1, bins[bin])), true, &mut best);
        }
        let (gain, bin, missing_left, [left, right]) = best?;
        let missing_left = cuts.has_missing().then_some(missing_left);
        Some(Split { gain: gain - self.gain(self.sums), feature, bin, missing_left, left, right })
    }

    /// Adds bins to one side (the right one where `to_right`), and keeps the split with the largest gain.
    ///
    /// As LightGBM does, the rows of a bin are estimated from its share of the hessian: a third sum for every bin
    /// would cost a third of the time.
    fn scan(
        &self,
        bins: impl Iterator<Item = (usize, Sums)>,
        to_right: bool,
        best: &mut Option<(f64, usize, bool, [Sums; 2])>,
    ) {
        let rows_per_hessian = self.rows / self.sums[1];
        let floor = self.gain(self.sums);
        let mut near = [0.0, EPSILON];
        let mut near_rows = 0.0;
        for (bin, sums) in bins {
            near = [near[0] + sums[0], near[1] + sums[1]];
            near_rows += (sums[1] * rows_per_hessian + 0.5).floor();
            if near_rows < self.least_rows || near[1] < self.least_hessian {
                continue;
            }
            let far = [self.sums[0] - near[0], self.sums[1] - near[1]];
            if self.rows - near_rows < self.least_rows || far[1] < self.least_hessian {
                break;
            }
            let gain = self.gain(near) + self.gain(far);
            if gain > floor && best.is_none_or(|(best, ..)| gain > best) {
                let clean = |sums: Sums| [sums[0], sums[1] - EPSILON];
                let sides = if to_right { [clean(far), clean(near)] } else { [clean(near), clean(far)] };
                *best = Some((gain, bin, false, sides));
            }
        }
    }
}
