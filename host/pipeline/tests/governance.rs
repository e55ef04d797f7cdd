//! Users, tokens and states, told with a clock that the story sets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stagewright::{
    Clock, Error, Project, Surroundings,
    governance::{
        Act, NewToken, PrivateKey, Refusal, Role, Scope, Signed, State, access, authenticate, mark_deployed,
        mark_retired, mark_withdrawn, people, promoted, state,
    },
    store::{Access, ArtifactKind, Version},
};
use stagewright_core::{Name, VersionRef};
use tempfile::TempDir;

struct Time(AtomicU64);

impl Clock for Time {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }
}

const START: u64 = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;

struct Scene {
    _folder: TempDir,
    time: Arc<Time>,
    project: Project,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let time = Arc::new(Time(AtomicU64::new(START)));
        let surroundings = Surroundings {
            clock: time.clone(),
            author: "ada".into(),
            worker: Vec::new(),
            cores: 1,
            version: "test".into(),
            world: Arc::new(()),
        };
        Project::create(folder.path(), "p", &surroundings).unwrap();
        let project = Project::open(folder.path(), Access::Write, &surroundings, &|_| {}).unwrap();
        Self { _folder: folder, time, project }
    }

    fn pass(&self, milliseconds: u64) {
        self.time.0.fetch_add(milliseconds, Ordering::Relaxed);
    }

    fn says(&self, who: &str, act: Act) -> Signed {
        people::statement(&self.project, name(who), act).unwrap().sign(&key(who))
    }

    fn add(&self, by: &str, who: &str, role: &str) -> Result<people::User, Error> {
        let act = Act::AddUser { name: name(who), roles: vec![name(role)], key: key(who).public() };
        people::add(&self.project, &self.says(by, act))
    }

    /// A token of grace's for predictions, good for an hour.
    fn token(&self) -> NewToken {
        let token = NewToken::new([7; 56]);
        let grants = vec!["predict:models".parse().unwrap()];
        let act = Act::CreateToken {
            id: token.id.clone(),
            user: name("grace"),
            grants,
            expires_ms: self.time.now_ms() + HOUR,
        };
        access::create(&self.project, &self.says("ada", act), &token).unwrap();
        token
    }

    fn knows(&self, text: &str) -> bool {
        authenticate(&self.project, text, self.time.now_ms()).unwrap().is_some()
    }

    /// A version of a model that no run made.
    fn model(&self, bytes: &[u8]) -> Version {
        let mut transaction = self.project.store.models().unwrap().begin(&self.project.actor()).unwrap();
        let digest = transaction.put_bytes(bytes).unwrap();
        transaction.set_version(&name("m"), digest, ArtifactKind::Model, None, "");
        transaction.commit().unwrap().remove(0)
    }

    fn state(&self, version: &Version) -> State {
        state::state(&self.project, version).unwrap().state
    }

    fn serves(&self, tag: &str) -> Option<u64> {
        let wanted: VersionRef = format!("m@{tag}").parse().unwrap();
        state::resolve(&self.project, &wanted).ok().map(|version| version.number)
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn key(who: &str) -> PrivateKey {
    let mut seed = [0; 32];
    seed[..who.len()].copy_from_slice(who.as_bytes());
    PrivateKey::new(seed)
}

fn why(outcome: Result<impl std::fmt::Debug, Error>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn only_administrators_add_users_and_names_and_keys_are_given_once() {
    let scene = Scene::new();
    assert_eq!(
        why(scene.add("eve", "eve", "model-risk")),
        "`eve` may not add a user: the first user adds himself, with the role `admin`"
    );
    scene.add("ada", "ada", "admin").unwrap();
    scene.add("ada", "grace", "model-risk").unwrap();
    assert_eq!(why(scene.add("grace", "eve", "admin")), "`grace` may not add a user: that takes the role `admin`");
    assert!(why(scene.add("ada", "grace", "admin")).contains("names are not given twice"));
    let twin = Act::AddUser { name: name("twin"), roles: vec![], key: key("grace").public() };
    assert!(why(people::add(&scene.project, &scene.says("ada", twin))).contains("`grace` has the same key"));
    let last = scene.says("ada", Act::RemoveUser { name: name("ada") });
    assert!(why(people::remove(&scene.project, &last)).contains("nobody could add users any more"));
    people::remove(&scene.project, &scene.says("ada", Act::RemoveUser { name: name("grace") })).unwrap();
    assert!(why(people::find(&scene.project, "grace")).contains("removed"));
}

#[test]
fn a_statement_counts_only_fresh_here_and_from_its_author() {
    let scene = Scene::new();
    scene.add("ada", "ada", "admin").unwrap();
    let act = || Act::AddUser { name: name("grace"), roles: vec![], key: key("grace").public() };
    let elsewhere = Scene::new();
    assert!(why(people::add(&scene.project, &elsewhere.says("ada", act()))).contains("another project"));
    let forged = people::statement(&scene.project, name("ada"), act()).unwrap().sign(&key("eve"));
    assert!(why(people::add(&scene.project, &forged)).contains("not signed with the key of `ada`"));
    let old = scene.says("ada", act());
    scene.pass(HOUR);
    assert!(why(people::add(&scene.project, &old)).contains("sign it again"));
    people::add(&scene.project, &scene.says("ada", act())).unwrap();
    let checked = stagewright::governance::audit::verify(&scene.project).unwrap();
    assert_eq!((checked.checked, checked.problems), (2, vec![]));
}

#[test]
fn a_token_is_good_for_what_it_grants_until_it_expires() {
    let scene = Scene::new();
    scene.add("ada", "ada", "admin").unwrap();
    scene.add("ada", "grace", "model-risk").unwrap();
    let token = scene.token();
    let principal = authenticate(&scene.project, &token.text(), START).unwrap().expect("the token is good");
    assert_eq!(principal.user.as_str(), "grace");
    assert!(principal.may(Scope::Predict, "models") && !principal.may(Scope::Write, "models"));
    let text = token.text();
    let mut wrong = text.clone();
    wrong.replace_range(wrong.len() - 1.., "0");
    for other in [wrong.as_str(), "", "sw_", "sw__", "sw_x_y", "Bearer", &text[1..], &text.replace("sw_07", "sw_08")] {
        assert!(!scene.knows(other), "{other}");
    }
    scene.pass(HOUR - 1);
    assert!(scene.knows(&text));
    scene.pass(1);
    assert!(!scene.knows(&text));
}

#[test]
fn a_token_that_was_revoked_or_whose_user_is_gone_is_no_good() {
    let scene = Scene::new();
    scene.add("ada", "ada", "admin").unwrap();
    for who in ["grace", "joan"] {
        scene.add("ada", who, "model-risk").unwrap();
    }
    let token = scene.token();
    let revoke =
        |who: &str| access::revoke(&scene.project, &scene.says(who, Act::RevokeToken { id: token.id.clone() }));
    assert!(why(revoke("joan")).contains("may not revoke another user's token"));
    assert!(scene.knows(&token.text()));
    revoke("grace").unwrap();
    assert!(!scene.knows(&token.text()));

    let scene = Scene::new();
    scene.add("ada", "ada", "admin").unwrap();
    scene.add("ada", "grace", "model-risk").unwrap();
    let token = scene.token();
    people::remove(&scene.project, &scene.says("ada", Act::RemoveUser { name: name("grace") })).unwrap();
    assert!(!scene.knows(&token.text()));
}

#[test]
fn a_version_without_a_verdict_serves_only_where_no_gate_stands_guard() {
    let mut scene = Scene::new();
    let version = scene.model(b"one");
    let wanted: VersionRef = "m@1".parse().unwrap();
    assert!(why(promoted(&scene.project, &wanted, "production")).contains("no run of this project made m@1"));
    scene.project.settings.gate.environments = Some(vec!["production".into()]);
    assert!(promoted(&scene.project, &wanted, "production").is_err());
    let staging = promoted(&scene.project, &wanted, "staging").unwrap();
    mark_deployed(&scene.project, &staging, Role::Champion, "to look at").unwrap();
    assert_eq!(scene.state(&version), State::Deployed);
    assert_eq!(scene.serves("champion"), None, "aliases speak of production");
    let refused = mark_retired(&scene.project, &version, "too early").unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::NoSuchStep { state: State::Deployed, .. })));
    mark_withdrawn(&scene.project, &version, "staging", "seen").unwrap();
    assert_eq!(scene.state(&version), State::Candidate, "it was never approved");
    mark_retired(&scene.project, &version, "no use").unwrap();
    let refused = promoted(&scene.project, &wanted, "staging").unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::NoSuchStep { state: State::Retired, .. })));
}

#[test]
fn the_aliases_follow_what_serves_in_production() {
    let mut scene = Scene::new();
    scene.project.settings.gate.environments = Some(Vec::new());
    let versions = [scene.model(b"one"), scene.model(b"two")];
    let deploy = |number: u64, role: Role| {
        let wanted: VersionRef = format!("m@{number}").parse().unwrap();
        let promoted = promoted(&scene.project, &wanted, "production").unwrap();
        mark_deployed(&scene.project, &promoted, role, "").unwrap();
        (scene.serves("champion"), scene.serves("challenger"))
    };
    assert_eq!(deploy(1, Role::Champion), (Some(1), None));
    assert_eq!(deploy(2, Role::Challenger), (Some(1), Some(2)));
    assert_eq!(deploy(2, Role::Champion), (Some(2), None));
    assert_ne!(scene.state(&versions[0]), State::Deployed, "the second took its place");
    assert_eq!(deploy(1, Role::Champion), (Some(1), None), "and back");
    assert_eq!(scene.state(&versions[0]), State::Deployed);
    for reserved in ["champion", "challenger"] {
        assert!(why(state::tag(&scene.project, &"m@2".parse().unwrap(), reserved)).contains("only a deployment"));
    }
}
