//! The capability `environment`: granted names.

use super::{Answer, Live, Refusal, Reply, Request, Told};
use crate::{bindings::environment, state::State};

/// The longest value.
const VALUE_BYTES: usize = 64 << 10;

impl Live {
    pub(super) fn environment(&self, name: &str) -> Result<Answer, Refusal> {
        if !self.grants.environment.contains(name) {
            return Err(Refusal::NotGranted(format!("environment name `{name}` is not granted")));
        }
        let value = self.world.environment(name);
        if value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES) {
            return Err(Refusal::TooLarge(format!("the value of `{name}` has more than {VALUE_BYTES} bytes")));
        }
        Ok(Reply::Environment(value).into())
    }
}

impl environment::Host for State {
    fn get(&mut self, name: String) -> Told<Option<String>> {
        self.ask(&Request::Environment { name }, &[], |reply, _| match reply {
            Reply::Environment(value) => Some(value),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use stagewright_core::Grants;

    use super::*;
    use crate::grants::tests::ask;

    fn get(name: &str) -> Request {
        Request::Environment { name: name.to_owned() }
    }

    #[test]
    fn a_granted_name_has_its_value_and_another_none() {
        let grants = Grants { environment: ["REGION".to_owned(), "UNSET".to_owned()].into(), ..Grants::default() };
        assert_eq!(ask(&grants, &get("REGION"), &[]), Ok((Reply::Environment(Some("north".to_owned())), Vec::new())));
        assert_eq!(ask(&grants, &get("UNSET"), &[]), Ok((Reply::Environment(None), Vec::new())));
        for name in ["HOME", "region", "", "REGION=1"] {
            let refusal = Refusal::NotGranted(format!("environment name `{name}` is not granted"));
            assert_eq!(ask(&grants, &get(name), &[]), Err(refusal));
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_refused() {
        let grants = Grants { environment: ["LONG".to_owned()].into(), ..Grants::default() };
        let refusal = Refusal::TooLarge("the value of `LONG` has more than 65536 bytes".to_owned());
        assert_eq!(ask(&grants, &get("LONG"), &[]), Err(refusal));
    }
}
