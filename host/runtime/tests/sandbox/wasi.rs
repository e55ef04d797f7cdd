//! What guests see of the world through WASI: the same, each time.

use stagewright_runtime::{Job, check};

use crate::{
    guests,
    scene::{run, validate},
};

crate::stories![a_guest_that_looks_at_the_world_sees_a_fixed_one, random_numbers_come_from_the_seed_alone,];

fn seen(seed: u64) -> Vec<String> {
    let job = Job { seed, ..validate(guests::worldly()) };
    run(job).unwrap().log.lines.into_iter().map(|line| line.message).collect()
}

fn a_guest_that_looks_at_the_world_sees_a_fixed_one() {
    assert!(check(&guests::worldly()).unwrap().imports.iter().any(|import| import == "wasi:random/random@0.2.3"));
    let (first_look, second_look) = ("aaaaaaaaaaapecea", "aaaaaaaaaaboieia");
    let no_environment = "aaaaaaaaaaaaaaaa";
    let seen = seen(0);
    assert_eq!([&*seen[0], &*seen[1], &*seen[3]], [first_look, second_look, no_environment]);
    assert_eq!(seen.len(), 4);
}

fn random_numbers_come_from_the_seed_alone() {
    assert_eq!(seen(7), seen(7));
    assert_ne!(seen(7)[2], seen(8)[2]);
}
