//! `serve`: holds the project open, for the commands of other processes.

use std::time::Duration;

use serde_json::json;
use stagewright::store::{REPOSITORIES, StoreError};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use super::Context;
use crate::{
    daemon::{self, Holder, socket},
    failure::{CANNOT, Failure},
};

/// How long commands that are running may take to end when the daemon is told to.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn serve(context: &Context) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::new(CANNOT, format!("cannot serve this project: {error}"));
    let project = {
        // Says what is wrong where there is no project at all.
        stagewright::Project::settings(context.root())?;
        let Some(claim) = claim(context)? else {
            return Err(Failure::new(CANNOT, "this project has a daemon already; its commands are served by it"));
        };
        (claim, context.write()?)
    };
    let (_claim, project) = project;
    // What is missing or damaged does not keep the rest from being served; what another process changes, does.
    for name in REPOSITORIES {
        if let Some(Err(StoreError::NotOpened(why))) = project.store.named(name)
            && matches!(*why, StoreError::InUse(_))
        {
            return Err(StoreError::NotOpened(why).into());
        }
    }
    let holder = Holder::new(project, &context.surroundings);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(cannot)?;
    let served = runtime.block_on(run(context, holder));
    // Commands that did not end in time are left to the end of this process: nothing acknowledged is lost.
    runtime.shutdown_background();
    served.map_err(cannot)?
}

fn claim(context: &Context) -> Result<Option<socket::Claim>, Failure> {
    socket::claim(context.root()).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => stagewright::Error::NoProject(context.root().display().to_string()).into(),
        _ => Failure::new(CANNOT, format!("cannot serve this project: {error}")),
    })
}

async fn run(context: &Context, holder: Holder) -> std::io::Result<Result<(), Failure>> {
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let (listener, address) = socket::listen(holder.root())?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    tasks.spawn(daemon::serve_clients(listener, address.owner, holder.clone(), stopped));

    let root = holder.root().display().to_string();
    let said = context.print(&json!({ "project": root, "process": std::process::id() }), |_| {
        format!("serving the commands of {root}; Ctrl-C ends this\n")
    });
    if said.is_ok() {
        told_to_stop(&mut signals).await;
    }
    // No further commands; those that run are cancelled, or finished where they cannot be.
    drop(address);
    stop.send_replace(true);
    let ended = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = ended => {}
        () = tokio::time::sleep(PATIENCE) => context.progress.line("some commands did not end in time"),
        () = told_to_stop(&mut signals) => {}
    }
    Ok(said)
}

async fn told_to_stop(signals: &mut [Signal; 2]) {
    let [terminate, interrupt] = signals;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
