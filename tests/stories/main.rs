//! Stories: what a person does with the built command line, and what they see. Each module is one chapter.

#![expect(clippy::print_stdout, reason = "a story that is skipped says so")]

mod conformance;
mod daemon;
mod deployment;
mod documents;
mod governance;
mod grants;
#[path = "../src/guests.rs"]
#[allow(dead_code, unreachable_pub, reason = "the guests have more users than these stories")]
mod guests;
mod hostile;
mod interruption;
mod lifecycle;
mod polyglot;
mod production;
mod program;
mod refusals;
mod repositories;
mod serving;
mod sharing;
mod tampering;
