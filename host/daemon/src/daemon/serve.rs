//! The daemon's end: takes connections, and runs each client's command in a thread of its own.

use std::{
    io,
    net::Shutdown,
    os::unix::net::UnixStream as Blocking,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Parser;
use stagewright::runtime::CancelToken;
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::{JoinSet, spawn_blocking},
};

use super::{
    Holder,
    client::Client,
    frame::{self, HEADER, Kind, LONGEST_REQUEST, Request},
};
use crate::{
    args::Cli,
    context::Context,
    dispatch,
    failure::{CANNOT, Failure},
    listener::Listener,
};

/// As many commands run at once; further ones wait to be taken.
const MOST_CLIENTS: usize = 64;
/// A client says at once what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// After a connection could not be taken, mostly because there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves clients of the user `owner` until `stop` says true. Then it cancels their commands, and returns when the last
/// one has ended.
pub(crate) async fn serve_clients(listener: UnixListener, owner: u32, holder: Holder, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        let taken = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = stop.wait_for(|stopped| *stopped) => break,
            taken = taken => taken,
        };
        match accepted {
            Ok((stream, _)) if stream.peer_cred().is_ok_and(|peer| peer.uid() == owner) => {
                let served = serve_client(stream, holder.clone(), stop.clone());
                clients.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        while clients.try_join_next().is_some() {}
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

async fn serve_client(mut stream: UnixStream, holder: Holder, mut stop: watch::Receiver<bool>) {
    let request = tokio::select! {
        _ = stop.wait_for(|stopped| *stopped) => return,
        request = tokio::time::timeout(REQUEST_TIME, read_request(&mut stream)) => request,
    };
    // Whoever says nothing, or nothing that makes sense, is not answered.
    let Ok(Ok(request)) = request else { return };
    let Ok(stream) = stream.into_std().and_then(|stream| stream.set_nonblocking(false).map(|()| stream)) else {
        return;
    };
    let cancel = CancelToken::new();
    let for_command = cancel.clone();
    let mut command = spawn_blocking(move || answer(&stream, &request, &holder, &for_command));
    tokio::select! {
        _ = &mut command => return,
        _ = stop.wait_for(|stopped| *stopped) => cancel.cancel(),
    }
    // What cannot be cancelled is finished.
    let _ = command.await;
}

async fn read_request(stream: &mut UnixStream) -> io::Result<Request> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let (kind, len) = frame::parse_header(header, LONGEST_REQUEST)?;
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    let request = Request::from_bytes(&bytes).filter(|_| kind == Kind::Request);
    request.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Runs a client's command, and cancels it where the client wants that or goes away.
fn answer(stream: &Blocking, request: &Request, holder: &Holder, cancel: &CancelToken) {
    let Ok(to_client) = stream.try_clone() else { return };
    let client = Arc::new(Client::new(to_client, request.live, cancel.clone()));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = stream;
            while let Ok(Some(_)) = frame::read(&mut stream, 0) {
                cancel.cancel();
            }
            cancel.cancel();
        });
        let code = run(&client, request, holder);
        client.end(code);
        // Ends the thread that listens; what was sent still arrives.
        let _ = stream.shutdown(Shutdown::Both);
    });
}

fn run(client: &Arc<Client>, request: &Request, holder: &Holder) -> u8 {
    let cannot = |message: String| {
        client.error(&Failure::new(CANNOT, message).text(false));
        CANNOT
    };
    let version = env!("CARGO_PKG_VERSION");
    if request.version != version {
        let theirs = &request.version;
        return cannot(format!(
            "the daemon of this project is stagewright {version}, and this is {theirs}; stop the daemon and start it anew"
        ));
    }
    let cli = match Cli::try_parse_from(&request.arguments) {
        Ok(cli) if cli.command.is_served() => cli,
        _ => return cannot("the daemon of this project does not know this command; start it anew".to_owned()),
    };
    client.begun();
    let listener = Listener::Client(client.clone());
    let context = Context::served(&cli, holder.clone(), request.directory.clone(), &request.author, listener);
    match catch_unwind(AssertUnwindSafe(|| dispatch(cli, &context))) {
        Ok(Ok(())) => 0,
        Ok(Err(failure)) => {
            context.tell(&failure);
            failure.code
        }
        Err(_) => cannot("the command panicked in the daemon; the daemon's standard error says where".to_owned()),
    }
}
