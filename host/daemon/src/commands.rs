//! The commands, a file for each group.

pub(crate) mod add;
pub(crate) mod audit;
pub(crate) mod author;
pub(crate) mod data;
pub(crate) mod deploy;
pub(crate) mod document;
pub(crate) mod gate;
pub(crate) mod inspect;
pub(crate) mod model;
pub(crate) mod people;
pub(crate) mod plugin;
pub(crate) mod predictions;
pub(crate) mod project;
pub(crate) mod recording;
pub(crate) mod repo;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod share;
pub(crate) mod show;
pub(crate) mod trial;

use crate::context::Context;
