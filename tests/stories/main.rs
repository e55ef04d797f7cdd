//! Stories: each module is one.
