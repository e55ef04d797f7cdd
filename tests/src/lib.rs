//! The scene of a story: a project in a folder of its own, and the built command line that works on it.

mod lab;
mod masked;

pub use self::{
    lab::{Daemon, Lab, Said, census, component, components, examples, signal, validators},
    masked::masked,
};
