//! Could chance alone have made groups this different?
//!
//! Under the null hypothesis a person's group has nothing to do with the decision, so groups may be dealt anew among
//! the rows: all rows for selection rates, the positive (negative) ones for true (false) positive rates, the selected
//! ones for precision. The worst disparity of each deal is compared with the observed one; since the worst pair is
//! chosen anew in each deal, the choice itself is paid for, which a test of the best against the worst group would
//! not do.
//!
//! Only counts matter, so a deal draws the marked rows (or the unmarked, if fewer) and counts them by group.

use crate::disparity::{Spread, larger};
use crate::tally::Tally;

/// Differences this small are rounding.
const ROUNDING: f64 = 1e-12;

/// The probability, by name, of disparities at least as bad as the observed ones if groups did not matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Significance {
    /// Of the demographic parity difference.
    pub demographic_parity_difference: f64,
    /// Of the demographic parity ratio.
    pub demographic_parity_ratio: f64,
    /// Of the equalized odds difference.
    pub equalized_odds_difference: f64,
    /// Of the equal opportunity difference.
    pub equal_opportunity_difference: f64,
    /// Of the predictive parity difference.
    pub predictive_parity_difference: f64,
}

/// The disparities that are tested, in the order of [`Significance::named`].
pub const TESTED: [&str; 5] = [
    "demographic-parity-difference",
    "demographic-parity-ratio",
    "equalized-odds-difference",
    "equal-opportunity-difference",
    "predictive-parity-difference",
];

impl Significance {
    /// The probabilities by the names of their disparities.
    pub fn named(&self) -> [(&'static str, f64); TESTED.len()] {
        let probabilities = [
            self.demographic_parity_difference,
            self.demographic_parity_ratio,
            self.equalized_odds_difference,
            self.equal_opportunity_difference,
            self.predictive_parity_difference,
        ];
        std::array::from_fn(|place| (TESTED[place], probabilities[place]))
    }
}

/// Rows among which groups are dealt, some of them marked.
struct Deck {
    /// Each row's group.
    rows: Vec<u32>,
    /// Each group's size.
    sizes: Vec<u64>,
    marked: usize,
    counts: Vec<u64>,
}

impl Deck {
    fn new(sizes: Vec<u64>, marked: u64) -> Self {
        let rows = (0_u32..).zip(&sizes).flat_map(|(group, &size)| (0..size).map(move |_| group)).collect();
        let counts = vec![0; sizes.len()];
        Self { rows, sizes, marked: marked as usize, counts }
    }

    /// Deals the marks and returns the groups' rates. Rows stay as the last deal left them: a shuffle of a shuffle is
    /// one as well.
    fn deal(&mut self, random: &mut impl FnMut() -> u64) -> Spread {
        let unmarked = self.rows.len() - self.marked;
        let drawn = self.marked.min(unmarked);
        self.counts.fill(0);
        for place in 0..drawn {
            let other = place + ((u128::from(random()) * (self.rows.len() - place) as u128) >> 64) as usize;
            self.rows.swap(place, other);
            self.counts[self.rows[place] as usize] += 1;
        }
        let drawn_are_marked = drawn == self.marked;
        Spread::of(self.counts.iter().zip(&self.sizes).map(|(&count, &size)| {
            let marked = if drawn_are_marked { count } else { size - count };
            if size == 0 { f64::NAN } else { marked as f64 / size as f64 }
        }))
    }

    /// The rates as they are.
    fn observed(&self, marked: impl IntoIterator<Item = u64>) -> Spread {
        Spread::of(
            marked.into_iter().zip(&self.sizes).map(
                |(marked, &size)| {
                    if size == 0 { f64::NAN } else { marked as f64 / size as f64 }
                },
            ),
        )
    }
}

/// Counts the deals that are at least as bad as what was observed.
struct Counter {
    observed: f64,
    reached: u32,
}

impl Counter {
    fn new(observed: f64) -> Self {
        Self { observed, reached: 0 }
    }

    fn see(&mut self, dealt: f64) {
        self.reached += u32::from(dealt >= self.observed - ROUNDING);
    }

    /// What was observed counts as one of the deals, so the probability is never 0.
    fn probability(&self, deals: u32) -> f64 {
        if self.observed.is_nan() { f64::NAN } else { f64::from(self.reached + 1) / f64::from(deals + 1) }
    }
}

/// Tests the disparities between groups with `permutations` deals; none where that is 0.
pub fn test(groups: &[Tally], permutations: u32, random: &mut impl FnMut() -> u64) -> Option<Significance> {
    if permutations == 0 {
        return None;
    }
    let deck = |size: fn(&Tally) -> u64, marked: fn(&Tally) -> u64| {
        let deck = Deck::new(groups.iter().map(size).collect(), groups.iter().map(marked).sum());
        let observed = deck.observed(groups.iter().map(marked));
        (deck, observed)
    };
    let (mut selection, selected) = deck(|group| group.rows, |group| group.selected);
    let (mut recall, recalled) = deck(|group| group.positives, |group| group.true_positives);
    let (mut fallout, fallen) = deck(Tally::negatives, Tally::false_positives);
    let (mut precision, precise) = deck(|group| group.selected, |group| group.true_positives);
    let mut parity_difference = Counter::new(selected.difference());
    let mut parity_ratio = Counter::new(-selected.ratio());
    let mut odds = Counter::new(larger(recalled.difference(), fallen.difference()));
    let mut opportunity = Counter::new(recalled.difference());
    let mut predictive = Counter::new(precise.difference());
    for _ in 0..permutations {
        let dealt = selection.deal(random);
        parity_difference.see(dealt.difference());
        parity_ratio.see(-dealt.ratio());
        let (recall, fallout) = (recall.deal(random), fallout.deal(random));
        odds.see(larger(recall.difference(), fallout.difference()));
        opportunity.see(recall.difference());
        predictive.see(precision.deal(random).difference());
    }
    Some(Significance {
        demographic_parity_difference: parity_difference.probability(permutations),
        demographic_parity_ratio: parity_ratio.probability(permutations),
        equalized_odds_difference: odds.probability(permutations),
        equal_opportunity_difference: opportunity.probability(permutations),
        predictive_parity_difference: predictive.probability(permutations),
    })
}

/// Holm's adjustment: among several tests, which probabilities still stand. Undefined ones are not tests.
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).filter(|&index| !probabilities[index].is_nan()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let mut adjusted = vec![f64::NAN; probabilities.len()];
    let mut floor: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        floor = floor.max(probabilities[index] * (order.len() - rank) as f64).min(1.0);
        adjusted[index] = floor;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        // SplitMix64: enough for a test.
        move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        }
    }

    #[test]
    fn a_large_gap_between_large_groups_is_no_chance() {
        let groups = [
            Tally { rows: 1000, positives: 500, selected: 500, true_positives: 400 },
            Tally { rows: 1000, positives: 500, selected: 300, true_positives: 200 },
        ];
        let significance = test(&groups, 999, &mut generator(1)).unwrap();
        assert_eq!(significance.demographic_parity_difference, 0.001);
        assert_eq!(significance.demographic_parity_ratio, 0.001);
        assert_eq!(significance.equal_opportunity_difference, 0.001);
    }

    #[test]
    fn equal_groups_are_what_chance_gives() {
        let group = Tally { rows: 100, positives: 50, selected: 30, true_positives: 20 };
        let significance = test(&[group, group], 200, &mut generator(2)).unwrap();
        assert_eq!(significance.demographic_parity_difference, 1.0);
        assert_eq!(significance.predictive_parity_difference, 1.0);
    }

    #[test]
    fn two_groups_agree_with_the_exact_test() {
        // Ten rows, five in each group, five selected, four of them in the first group: P(|gap| >= 3/5) is
        // 2 (C(5,4) C(5,1) + C(5,5) C(5,0)) / C(10,5) = 52 / 252.
        let groups = [
            Tally { rows: 5, positives: 0, selected: 4, true_positives: 0 },
            Tally { rows: 5, positives: 0, selected: 1, true_positives: 0 },
        ];
        let deals = 40_000;
        let found = test(&groups, deals, &mut generator(3)).unwrap().demographic_parity_difference;
        assert!((found - 52.0 / 252.0).abs() < 0.01, "{found}");
    }

    #[test]
    fn equal_treatment_is_rarely_called_significant_however_many_the_groups() {
        let mut random = generator(5);
        let mut trial = || {
            let groups: [Tally; 6] = std::array::from_fn(|_| {
                let selected = (0..200).filter(|_| random() % 10 < 3).count() as u64;
                Tally { rows: 200, positives: 0, selected, true_positives: 0 }
            });
            test(&groups, 99, &mut random).unwrap().demographic_parity_ratio
        };
        // The four-fifths rule alone would be broken in two thirds of these trials.
        let significant = (0..200).filter(|_| trial() <= 0.05).count();
        assert!((3..=20).contains(&significant), "{significant} of 200");
    }

    #[test]
    fn what_cannot_be_compared_has_no_probability() {
        let group = Tally { rows: 10, positives: 0, selected: 4, true_positives: 0 };
        let significance = test(&[group, group], 10, &mut generator(4)).unwrap();
        assert!(significance.equal_opportunity_difference.is_nan());
        assert!(significance.equalized_odds_difference.is_nan());
        assert_eq!(test(&[group, group], 0, &mut generator(4)), None);
    }

    #[test]
    fn holm_pays_for_the_number_of_tests() {
        let adjusted = holm(&[0.01, 0.04, f64::NAN, 0.03]);
        assert_eq!(adjusted[..2], [0.03, 0.06]);
        assert!(adjusted[2].is_nan());
        assert_eq!(adjusted[3], 0.06);
    }
}
