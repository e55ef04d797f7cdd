//! What is deployed in an environment, served: the router follows every deployment, answers are kept, and a trial that
//! goes wrong is called off.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use stagewright_core::{Digest, Name, record::Used};

use super::{Alarms, ModelVersion, Prediction, PredictionSink, Route, Router, Servable, Variant};
use crate::{
    deploy::{self, Aborted, Answered, Deployment, Follower, Live, Plan, Role, Share, TrialKind, first_answer},
    error::{Error, Result},
    predictions::{self, Answer, Keeper, Kept, Source, feedback},
    project::Project,
};

/// Trials that were called off and are to be recorded; there is one for each endpoint at most.
const WAITING: usize = 64;

type Sources = BTreeMap<(Arc<str>, Digest), Arc<Source>>;

/// Serves an environment.
pub struct Deployed {
    project: Project,
    environment: Name,
    log: Share,
    router: Arc<Router>,
    alarms: Arc<dyn Alarms>,
    keeper: Keeper,
    /// The models that are loaded, those before the present ones among them.
    loaded: Mutex<BTreeMap<Digest, Arc<Servable>>>,
    /// What each endpoint's answers come from, made once for each model.
    sources: Mutex<Sources>,
    aborted: Mutex<Option<SyncSender<(Deployment, Aborted)>>>,
    recorder: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deployed {
    /// Loads what is deployed in an environment, puts it into the router, and follows every change from now on.
    ///
    /// # Errors
    /// There is no such environment, or a model cannot be loaded.
    pub fn start(
        project: &Project,
        environment: &Name,
        router: Arc<Router>,
        alarms: Arc<dyn Alarms>,
    ) -> Result<Arc<Self>> {
        let log = deploy::environment(project, environment)?.log;
        let (sender, receiver) = sync_channel(WAITING);
        let recorder = {
            let project = project.clone();
            let thread = std::thread::Builder::new().name("trials".to_owned());
            thread.spawn(move || record(&project, &receiver)).map_err(no_thread)?
        };
        let deployed = Arc::new(Self {
            project: project.clone(),
            environment: environment.clone(),
            log,
            router,
            alarms,
            keeper: Keeper::start(Arc::new(project.clone()))?,
            loaded: Mutex::default(),
            sources: Mutex::default(),
            aborted: Mutex::new(Some(sender)),
            recorder: Mutex::new(Some(recorder)),
        });
        let follower: Arc<dyn Follower> = Arc::<Self>::clone(&deployed);
        project.followers.follow(&follower, || {
            for deployment in deploy::status(project, Some(environment))? {
                deployed.prepare(&deployment.plan)?;
                deployed.switch(&deployment);
            }
            Ok::<_, Error>(())
        })?;
        Ok(deployed)
    }

    fn loaded(&self, model: &Used) -> Result<Arc<Servable>> {
        if let Some(servable) = lock(&self.loaded).get(&model.digest) {
            return Ok(Arc::clone(servable));
        }
        let version = ModelVersion { name: model.name.clone(), number: model.number, digest: model.digest };
        let servable = Servable::load_version(&self.project, version, Arc::clone(&self.alarms))?;
        lock(&self.loaded).insert(model.digest, Arc::clone(&servable));
        Ok(servable)
    }

    fn route(&self, deployment: &Deployment) -> Result<Route> {
        let plan = &deployment.plan;
        let variant = |role: Role| Ok::<_, Error>(Variant { role, model: self.loaded(plan.model(role))? });
        let (mut variants, mut shadows) = (vec![variant(Role::Champion)?], Vec::new());
        match plan.trial.as_ref().map(|trial| trial.kind) {
            Some(TrialKind::Shadow) => shadows.push(variant(Role::Shadow)?),
            Some(TrialKind::Canary | TrialKind::Split) => variants.push(variant(Role::Challenger)?),
            None => {}
        }
        let live = Some(Arc::new(Live::new(deployment.clone())));
        Ok(Route { name: plan.endpoint.as_str().into(), variants, shadows, live })
    }

    /// Forgets models that no plan keeps warm. Requests that still use one hold on to it.
    fn forget(&self) {
        let routes = self.router.routes();
        let plans = routes.values().filter_map(|route| route.live.as_ref());
        let warm: BTreeSet<Digest> = plans.flat_map(|live| live.plan().warm().map(|model| model.digest)).collect();
        lock(&self.loaded).retain(|digest, _| warm.contains(digest));
        lock(&self.sources).retain(|(_, digest), _| warm.contains(digest));
    }

    fn source(&self, prediction: &Prediction) -> Result<Arc<Source>> {
        let model = &prediction.variant.model;
        let version = model.version();
        let key = (Arc::clone(&prediction.route.name), version.digest);
        if let Some(source) = lock(&self.sources).get(&key) {
            return Ok(Arc::clone(source));
        }
        let used = Used { name: version.name.clone(), number: version.number, digest: version.digest };
        let (inputs, outputs) = (model.input().clone(), model.output().clone());
        let source = Source::new(self.environment.clone(), prediction.route.name.parse()?, used, inputs, outputs)?;
        let source = Arc::new(source);
        lock(&self.sources).insert(key, Arc::clone(&source));
        Ok(source)
    }

    fn observe(&self, prediction: &Prediction) {
        let Some(live) = prediction.route.live.as_ref().filter(|live| live.plan().trial.is_some()) else { return };
        let answer = match &prediction.outcome {
            Ok(predictions) => Some(first_answer(prediction.variant.model.output(), predictions)),
            Err(_) => None::<Answered>,
        };
        if let Some(aborted) = live.observe(prediction.variant.role, prediction.latency_us, answer) {
            tracing::error!(
                endpoint = &*prediction.route.name,
                reasons = aborted.reasons.join("; "),
                "a trial was called off by its rules"
            );
            if let Some(sender) = &*lock(&self.aborted) {
                // In memory it is off already; a ledger that hears of it late would only try again at the next start.
                let _ = sender.try_send((live.deployment().clone(), aborted));
            }
        }
    }
}

impl Follower for Deployed {
    fn prepare(&self, plan: &Plan) -> Result<()> {
        if plan.environment != self.environment {
            return Ok(());
        }
        plan.warm().try_for_each(|model| self.loaded(model).map(drop))
    }

    fn switch(&self, deployment: &Deployment) {
        if deployment.plan.environment != self.environment {
            return;
        }
        match self.route(deployment) {
            Ok(route) => drop(self.router.set(route)),
            Err(error) => tracing::error!(%error, "a deployment could not be switched to"),
        }
        self.forget();
    }

    fn settle(&self) {
        self.keeper.flush();
    }
}

impl PredictionSink for Deployed {
    fn take(&self, prediction: Prediction) {
        self.observe(&prediction);
        // A shadow that reads what a request did not bring has no rows to keep.
        let whole = prediction.rows.columns.len() == prediction.variant.model.input().len();
        if !whole || !predictions::is_logged(self.log, &prediction.request) {
            return;
        }
        match self.source(&prediction) {
            Ok(source) => self.keeper.keep(Answer {
                source,
                role: prediction.variant.role,
                request_id: prediction.request,
                at_ms: prediction.at_ms,
                latency_us: prediction.latency_us,
                rows: prediction.rows,
                outcome: prediction.outcome,
            }),
            Err(error) => tracing::error!(%error, "a prediction could not be kept"),
        }
    }

    fn feedback(&self, endpoint: &str, body: &[u8]) -> Option<Result<feedback::Accepted>> {
        let endpoint: Name = endpoint.parse().ok()?;
        self.router.find(endpoint.as_str())?;
        let kept = feedback::parse(body)
            .and_then(|labels| feedback::keep(&self.project, &self.keeper, &self.environment, &endpoint, &labels));
        Some(kept)
    }

    fn kept(&self) -> Kept {
        self.keeper.kept()
    }

    fn stop(&self) {
        self.keeper.stop();
        drop(lock(&self.aborted).take());
        if let Some(thread) = lock(&self.recorder).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that records trials panicked");
        }
    }
}

fn no_thread(source: std::io::Error) -> Error {
    Error::Io { action: "cannot start", path: "a thread".to_owned(), source }
}

/// Records trials that were called off; the deployment that this makes comes back through `switch`.
fn record(project: &Project, aborted: &Receiver<(Deployment, Aborted)>) {
    for (trial, aborted) in aborted {
        if let Err(error) = deploy::abort(project, &trial, &aborted) {
            tracing::error!(%error, "a trial that was called off could not be recorded");
        }
    }
}
