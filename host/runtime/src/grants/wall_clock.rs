//! The capability `wall-clock`: the real time.

use super::{Answer, Live, Refusal, Reply, Request, Told};
use crate::{bindings::wall_clock, state::State};

impl Live {
    pub(super) fn now(&self) -> Result<Answer, Refusal> {
        if !self.grants.wall_clock {
            return Err(Refusal::NotGranted("the wall clock is not granted".to_owned()));
        }
        Ok(Reply::WallClock(self.world.now_us()).into())
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> Told<i64> {
        self.ask(&Request::WallClock, &[], |reply, _| match reply {
            Reply::WallClock(now) => Some(now),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use stagewright_core::Grants;

    use super::*;
    use crate::grants::tests::{NOW, ask};

    #[test]
    fn the_time_is_told_only_where_it_is_granted() {
        let granted = Grants { wall_clock: true, ..Grants::default() };
        assert_eq!(ask(&granted, &Request::WallClock, &[]), Ok((Reply::WallClock(NOW), Vec::new())));
        let refusal = Refusal::NotGranted("the wall clock is not granted".to_owned());
        assert_eq!(ask(&Grants::default(), &Request::WallClock, &[]), Err(refusal));
    }
}
