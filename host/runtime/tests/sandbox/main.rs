//! Stories of the sandbox: what good guests get, and what bad ones do not.
//!
//! The binary is its own worker: started with the argument `worker` it serves, otherwise it runs the stories.

#![expect(clippy::unwrap_used, reason = "a story that cannot set its scene fails")]

#[path = "../../../../tests/src/guests.rs"]
#[allow(dead_code, unreachable_pub, reason = "this is the library of another crate, which has more users")]
mod guests;

mod bad;
mod good;
mod grants;
mod kinds;
mod scene;
mod served;
mod wasi;
mod world;

#[expect(clippy::print_stdout, reason = "a test harness reports on standard output")]
fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let filter = arguments.next().unwrap_or_default();
    if filter == "worker" {
        return match stagewright_runtime::worker::serve() {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(_) => std::process::ExitCode::FAILURE,
        };
    }
    let stories =
        [good::STORIES, kinds::STORIES, grants::STORIES, served::STORIES, wasi::STORIES, bad::STORIES, world::STORIES]
            .concat();
    if arguments.any(|argument| argument == "--list") || filter == "--list" {
        stories.iter().for_each(|(name, _)| println!("{name}: test"));
        return std::process::ExitCode::SUCCESS;
    }
    let filter = if filter.starts_with('-') { String::new() } else { filter };
    let mut failed = 0;
    for (name, story) in stories.iter().filter(|(name, _)| name.contains(&filter)) {
        let passed = std::panic::catch_unwind(story).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u32::from(!passed);
    }
    println!("\ntest result: {}. {failed} failed", if failed == 0 { "ok" } else { "FAILED" });
    std::process::ExitCode::from(u8::from(failed > 0))
}

/// A story's name and itself.
type Story = (&'static str, fn());

/// Names stories by their functions.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        pub(crate) const STORIES: &[crate::Story] = &[$((stringify!($name), $name)),*];
    };
}
use stories;
