//! When a trial is called off: a pure function from what was counted to a verdict.
//!
//! Every rule demands evidence beyond chance, because it is looked at again after every request: a rate, a slow share or
//! a difference counts only where its lower confidence bound (one-sided, 99.9 %) is past the limit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One-sided 99.9 % of the normal distribution.
const Z: f64 = 3.090_232;
/// The Dvoretzky-Kiefer-Wolfowitz bound on a sample's cumulative distribution is this over the root of its size, with
/// 99.9 % confidence: the root of ln(2 / 0.001) / 2.
const DKW: f64 = 1.949_458;
/// Two medians of fast answers differ by noise alone; below this, an answer is never slow.
const NEVER_SLOW_US: u64 = 5_000;
/// So many different words are told apart among answers.
const MAX_WORDS: usize = 1000;

/// What a trial may not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AbortRules {
    /// Nothing is judged before the new model has answered this many requests (for comparisons, both models).
    pub minimum: u64,
    /// The largest share of requests at which the model may fail, where the present model does not fail more often.
    pub max_error_rate: f64,
    /// How many times the present model's 95th percentile the new model's may take; answers below 5 ms are never slow.
    pub max_latency_ratio: f64,
    /// The largest difference between the distributions of the two models' answers: for numbers between the two
    /// cumulative distributions (Kolmogorov and Smirnov's distance), for words between the shares of any of them.
    pub max_difference: f64,
}

impl Default for AbortRules {
    fn default() -> Self {
        Self { minimum: 20, max_error_rate: 0.01, max_latency_ratio: 3.0, max_difference: 0.25 }
    }
}

/// What a model answered, coarsely: numbers within 3 % of each other are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// Nothing.
    Missing,
    /// A number: its sign, exponent and five bits of its mantissa, in the order of numbers.
    Number(u32),
    /// A word, or true or false.
    Word(String),
}

impl Answered {
    /// A number's place among numbers.
    pub fn number(value: f64) -> Self {
        if value.is_nan() {
            return Self::Missing;
        }
        let bits = (value + 0.0).to_bits();
        // The usual trick: flipped like this, the bits of floats compare as the floats do.
        let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
        Self::Number((ordered >> 47) as u32)
    }
}

/// What was counted of one model during a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that the model answered or failed at. Requests that were wrong in themselves are not the model's.
    pub requests: u64,
    /// Requests at which it failed: trapped, took too long, broke the contract.
    pub errors: u64,
    /// How long answers took, by the position of their highest bit and two bits more.
    latency: BTreeMap<u32, u64>,
    /// What was answered to the first row of each request; rows of one request resemble each other too much to count.
    answers: BTreeMap<Answered, u64>,
}

impl Counters {
    /// Counts an answer.
    pub fn answered(&mut self, latency_us: u64, answer: Answered) {
        self.requests += 1;
        *self.latency.entry(latency_bucket(latency_us)).or_default() += 1;
        let known = self.answers.len() < MAX_WORDS || !matches!(answer, Answered::Word(_));
        let answer = if known || self.answers.contains_key(&answer) { answer } else { Answered::Word(String::new()) };
        *self.answers.entry(answer).or_default() += 1;
    }

    /// Counts a failure.
    pub fn failed(&mut self) {
        self.requests += 1;
        self.errors += 1;
    }

    fn answered_requests(&self) -> u64 {
        self.requests - self.errors
    }

    /// The upper end, in microseconds, of the bucket that holds the 95th percentile of latencies.
    pub fn slow_us(&self) -> Option<u64> {
        let rank = (self.answered_requests() * 95).div_ceil(100);
        let mut seen = 0;
        self.latency.iter().find_map(|(bucket, count)| {
            seen += count;
            (rank > 0 && seen >= rank).then(|| bucket_end(*bucket))
        })
    }

    fn slower_than(&self, limit_us: u64) -> u64 {
        // A bucket counts where all of it is slower.
        self.latency.iter().filter(|(bucket, _)| bucket_start(**bucket) > limit_us).map(|(_, count)| count).sum()
    }

    /// What the counters say, for the record.
    pub fn figures(&self) -> Figures {
        Figures { requests: self.requests, errors: self.errors, slow_us: self.slow_us() }
    }
}

/// What was counted, in three numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests.
    pub requests: u64,
    /// Requests at which the model failed.
    pub errors: u64,
    /// The 95th percentile of latencies in microseconds, rounded up to a bucket's end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slow_us: Option<u64>,
}

fn latency_bucket(us: u64) -> u32 {
    // Below four, there is nothing to tell apart.
    let us = us.max(4);
    let exponent = 63 - us.leading_zeros();
    exponent << 2 | ((us >> (exponent - 2)) & 3) as u32
}

fn bucket_start(bucket: u32) -> u64 {
    (4 | u64::from(bucket & 3)) << ((bucket >> 2) - 2)
}

fn bucket_end(bucket: u32) -> u64 {
    (5 + u64::from(bucket & 3)) << ((bucket >> 2) - 2)
}

/// What the rules make of a trial so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are too few requests to say anything.
    TooFew,
    /// No rule is broken.
    Continue,
    /// These rules are, each with its figures.
    Abort(Vec<String>),
}

/// Judges a trial by what was counted of the present model and of the one on trial.
pub fn judge(rules: &AbortRules, champion: &Counters, challenger: &Counters) -> Verdict {
    if challenger.requests < rules.minimum {
        return Verdict::TooFew;
    }
    let mut reasons = Vec::new();
    let rate = |counters: &Counters| counters.errors as f64 / counters.requests.max(1) as f64;
    // Where the present model fails as often, the new one is not what is wrong.
    let limit = rules.max_error_rate.max(rate(champion));
    if lower_bound(challenger.errors, challenger.requests) > limit {
        reasons.push(format!(
            "it failed at {} of {} requests, and at most {:.4} of them may fail",
            challenger.errors, challenger.requests, limit
        ));
    }
    let (ours, theirs) = (champion.answered_requests(), challenger.answered_requests());
    if ours.min(theirs) >= rules.minimum {
        if let Some(usual) = champion.slow_us() {
            let limit = ((usual as f64 * rules.max_latency_ratio) as u64).max(NEVER_SLOW_US);
            let slower = challenger.slower_than(limit);
            if lower_bound(slower, theirs) > 0.05 {
                reasons.push(format!(
                    "{slower} of {theirs} answers took longer than {limit} µs, {} times the present model's 95th percentile",
                    rules.max_latency_ratio
                ));
            }
        }
        let chance = DKW / (ours as f64).sqrt() + DKW / (theirs as f64).sqrt();
        let difference = difference(&champion.answers, &challenger.answers);
        if difference - chance > rules.max_difference {
            reasons.push(format!(
                "its answers are distributed differently: by {difference:.3} over {theirs} and {ours} requests, of which \
                 chance explains {chance:.3} and {} is allowed",
                rules.max_difference
            ));
        }
    }
    if reasons.is_empty() { Verdict::Continue } else { Verdict::Abort(reasons) }
}

/// Wilson's lower bound of a share.
fn lower_bound(hits: u64, of: u64) -> f64 {
    let n = of as f64;
    let p = hits as f64 / n;
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre - spread) / (1.0 + Z * Z / n)).max(0.0)
}

/// The largest difference between two distributions: cumulative for numbers, of single shares for words.
fn difference(one: &BTreeMap<Answered, u64>, other: &BTreeMap<Answered, u64>) -> f64 {
    let total = |answers: &BTreeMap<Answered, u64>| answers.values().sum::<u64>().max(1) as f64;
    let (all_one, all_other) = (total(one), total(other));
    let mut cumulated = 0.0;
    let mut largest = 0.0_f64;
    let keys: std::collections::BTreeSet<&Answered> = one.keys().chain(other.keys()).collect();
    for key in keys {
        let share = |answers: &BTreeMap<Answered, u64>, all: f64| answers.get(key).copied().unwrap_or(0) as f64 / all;
        let here = share(one, all_one) - share(other, all_other);
        largest = match key {
            Answered::Number(_) => {
                cumulated += here;
                largest.max(cumulated.abs())
            }
            Answered::Missing | Answered::Word(_) => largest.max(here.abs()),
        };
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counters of a model that answered scores `from..from + 1` in even steps, each in this many microseconds.
    fn model(requests: u64, errors: u64, latency_us: u64, from: f64) -> Counters {
        let mut counters = Counters::default();
        for request in 0..requests - errors {
            let score = from + request as f64 / (requests - errors) as f64;
            counters.answered(latency_us, Answered::number(score));
        }
        (0..errors).for_each(|_| counters.failed());
        counters
    }

    fn rules() -> AbortRules {
        AbortRules::default()
    }

    #[test]
    fn nothing_is_said_before_there_are_enough_requests() {
        let broken = model(19, 19, 0, 0.0);
        assert_eq!(judge(&rules(), &model(1000, 0, 100, 0.0), &broken), Verdict::TooFew);
    }

    #[test]
    fn a_model_that_fails_at_every_request_is_called_off_at_the_minimum() {
        let Verdict::Abort(reasons) = judge(&rules(), &Counters::default(), &model(20, 20, 0, 0.0)) else {
            panic!("it is not called off")
        };
        assert_eq!(reasons, ["it failed at 20 of 20 requests, and at most 0.0100 of them may fail"]);
    }

    #[test]
    fn a_single_failure_is_chance_and_many_are_not() {
        let champion = model(1000, 0, 100, 0.0);
        assert_eq!(judge(&rules(), &champion, &model(50, 1, 100, 0.0)), Verdict::Continue);
        assert!(matches!(judge(&rules(), &champion, &model(500, 25, 100, 0.0)), Verdict::Abort(_)));
    }

    #[test]
    fn a_model_is_not_blamed_for_what_the_present_one_fails_at_as_often() {
        let (champion, challenger) = (model(1000, 100, 100, 0.0), model(200, 22, 100, 0.0));
        assert_eq!(judge(&rules(), &champion, &challenger), Verdict::Continue);
    }

    #[test]
    fn a_slow_model_is_called_off_and_a_fast_one_that_is_slower_is_not() {
        let champion = model(500, 0, 4_000, 0.0);
        let Verdict::Abort(reasons) = judge(&rules(), &champion, &model(100, 0, 40_000, 0.0)) else {
            panic!("it is not called off")
        };
        assert!(reasons[0].starts_with("100 of 100 answers took longer than"), "{reasons:?}");
        assert_eq!(judge(&rules(), &model(500, 0, 100, 0.0), &model(100, 0, 900, 0.0)), Verdict::Continue);
    }

    #[test]
    fn answers_of_another_distribution_call_a_model_off_and_the_same_do_not() {
        let champion = model(1000, 0, 100, 0.0);
        assert_eq!(judge(&rules(), &champion, &model(300, 0, 100, 0.0)), Verdict::Continue);
        assert!(matches!(judge(&rules(), &champion, &model(300, 0, 100, 0.8)), Verdict::Abort(_)));
    }

    #[test]
    fn words_are_compared_by_their_shares() {
        let say = |yes: u64, no: u64| {
            let mut counters = Counters::default();
            (0..yes).for_each(|_| counters.answered(100, Answered::Word("yes".into())));
            (0..no).for_each(|_| counters.answered(100, Answered::Word("no".into())));
            counters
        };
        assert_eq!(judge(&rules(), &say(300, 700), &say(140, 260)), Verdict::Continue);
        assert!(matches!(judge(&rules(), &say(300, 700), &say(400, 0)), Verdict::Abort(_)));
    }

    #[test]
    fn numbers_keep_their_order_in_coarse_form() {
        let numbers = [f64::NEG_INFINITY, -7.0, -0.1, 0.0, 1e-9, 0.1, 0.5, 1000.0, f64::INFINITY];
        let coarse: Vec<_> = numbers.iter().map(|number| Answered::number(*number)).collect();
        assert!(coarse.is_sorted() && coarse.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(Answered::number(-0.0), Answered::number(0.0));
        assert_eq!(Answered::number(f64::NAN), Answered::Missing);
    }

    #[test]
    fn latencies_lie_in_the_buckets_that_hold_them() {
        for us in [0, 1, 3, 4, 5, 7, 8, 100, 999, 1_000_000, 1 << 40] {
            let bucket = latency_bucket(us);
            let held = us.max(4);
            assert!(bucket_start(bucket) <= held && held < bucket_end(bucket), "{us}");
        }
    }
}
