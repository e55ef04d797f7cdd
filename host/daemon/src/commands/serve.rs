//! `serve`: holds the project open, for the commands of other processes and for models that answer over HTTP.

use std::{sync::Arc, time::Duration};

use rustix::thread::disable_transparent_huge_pages;
use serde_json::json;
use stagewright::{
    runtime::LargeStack,
    store::{REPOSITORIES, StoreError},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use super::Context;
use crate::{
    args::serve::ServeOptions,
    daemon::{self, Holder, socket},
    failure::{CANNOT, Failure},
    serve::{self, Http, Random},
    surroundings,
};

/// How long commands that are running may take to end when the daemon is told to.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn serve(context: &Context, options: &ServeOptions) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::new(CANNOT, format!("cannot serve this project: {error}"));
    serve::check(options)?;
    // Answering touches a little of much memory: with huge pages the process would hold nearly half as much again.
    // Where the kernel cannot be asked, it does.
    let _ = disable_transparent_huge_pages(true);
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
    let log = serve::start_log(Arc::clone(&context.surroundings.clock)).map_err(cannot)?;
    let threads = context.surroundings.cores.max(2);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Quick models answer on these threads.
    runtime.worker_threads(threads).thread_stack_size(LargeStack::BYTES).on_thread_start(LargeStack::declare);
    let runtime = runtime.enable_all().build().map_err(cannot)?;
    let served = runtime.block_on(run(context, holder, options));
    // Commands that did not end in time are left to the end of this process: nothing acknowledged is lost.
    runtime.shutdown_background();
    log.finish();
    served.map_err(cannot)?
}

fn claim(context: &Context) -> Result<Option<socket::Claim>, Failure> {
    socket::claim(context.root()).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => stagewright::Error::NoProject(context.root().display().to_string()).into(),
        _ => Failure::new(CANNOT, format!("cannot serve this project: {error}")),
    })
}

async fn run(context: &Context, holder: Holder, options: &ServeOptions) -> std::io::Result<Result<(), Failure>> {
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let (stop, stopped) = watch::channel(false);
    // What cannot be loaded is said before anybody may connect.
    let http = match http(&holder, options, stopped.clone()).await {
        Ok(http) => http,
        Err(failure) => return Ok(Err(failure)),
    };
    let mut tasks = JoinSet::new();
    let (listener, address) = socket::listen(holder.root())?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    tasks.spawn(daemon::serve_clients(listener, address.owner, holder.clone(), stopped));

    let root = holder.root().display().to_string();
    let url = http.as_ref().map(Http::url);
    let said = context.print(&json!({ "project": root, "process": std::process::id(), "url": url }), |_| {
        let models = url.map(|url| format!("answering on {url}\n")).unwrap_or_default();
        format!("{models}serving the commands of {root}; Ctrl-C ends this\n")
    });
    if said.is_ok() {
        told_to_stop(&mut signals).await;
    }
    // No further commands and requests; those that run are cancelled, or finished where they cannot be.
    drop(address);
    stop.send_replace(true);
    if let Some(http) = http {
        tasks.spawn(http.ended());
    }
    let ended = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = ended => {}
        () = tokio::time::sleep(PATIENCE) => context.progress.line("some commands did not end in time"),
        () = told_to_stop(&mut signals) => {}
    }
    Ok(said)
}

/// Answers for models, where there is a reason to.
async fn http(
    holder: &Holder,
    options: &ServeOptions,
    stopped: watch::Receiver<bool>,
) -> Result<Option<Http>, Failure> {
    let Some(address) = options.address() else { return Ok(None) };
    let project = holder.project(&|_| ())?;
    let no_random = |error| Failure::new(CANNOT, format!("this machine gives no randomness: {error}"));
    let ids = u64::from_le_bytes(surroundings::random().map_err(no_random)?);
    let random = Random { ids, key: surroundings::random().map_err(no_random)? };
    serve::start(&project, options, address, random, stopped).await.map(Some)
}

async fn told_to_stop(signals: &mut [Signal; 2]) {
    let [terminate, interrupt] = signals;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
