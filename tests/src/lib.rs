//! The scene of a story: a project in a folder of its own, and the built command line that works on it.

mod client;
mod lab;
mod masked;
pub mod registry;

pub use self::{
    client::{Got, Serving, receive, send},
    lab::{Daemon, Lab, Said, census, component, components, examples, interrupt, program, signal, tool, validators},
    masked::masked,
};
