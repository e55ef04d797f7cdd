//! Stories: what a person does with the built command line, and what they see. Each module is one chapter.

mod interruption;
mod lifecycle;
mod program;
mod refusals;
mod tampering;
