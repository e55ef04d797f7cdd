//! WASI 0.2 as a guest may have it: present, deterministic, and empty.
//!
//! Real components import clocks, random, files and sockets because their language's start-up code does, not because
//! the stage needs them. They get answers: the clock stands still, random numbers come from the stage's seed, what is
//! printed goes to the log, and there is no file, no network, no argument and no environment. Whoever asks for more is
//! told "not supported" in the error codes of the interface.
//!
//! The functions are made from the component's own import types, so that every 0.2.x is served by the same few
//! answers. None of this is on the path of data.

use stagewright_core::record::Level;
use wasmtime::{
    Engine, StoreContextMut,
    component::{
        Component, Linker, Resource, ResourceAny, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
};

use crate::state::State;

/// 2000-01-01T00:00:00Z: late enough for software that distrusts 1970, and plainly not today.
const NOW_SECONDS: u64 = 946_684_800;
/// Each look at the monotonic clock is this much later, so that loops that wait for it end.
const TICK_NANOSECONDS: u64 = 1_000_000;
/// More than this at once is not asked for in good faith.
const MAX_RANDOM: u64 = 1 << 20;
/// A line of output that is longer is cut.
const MAX_LINE: usize = 64 << 10;

/// Whether an import is one of these interfaces.
pub(crate) fn provides(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let package = interface.split_once('/').map(|(package, _)| package);
    matches!(package, Some("wasi:cli" | "wasi:io" | "wasi:clocks" | "wasi:random" | "wasi:filesystem" | "wasi:sockets"))
        && version.starts_with("0.2.")
}

/// What the virtual world of one sandbox remembers.
#[derive(Debug)]
pub(crate) struct Virtual {
    random: u64,
    ticks: u64,
    printed: [Vec<u8>; 2],
}

impl Virtual {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, ticks: 0, printed: [Vec::new(), Vec::new()] }
    }

    /// SplitMix64: short, fixed for ever, and good enough for hash seeds, which is what start-up code wants.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn tick(&mut self) -> u64 {
        self.ticks = self.ticks.saturating_add(TICK_NANOSECONDS);
        self.ticks
    }
}

/// Logs what was printed without an end of line.
pub(crate) fn flush(state: &mut State) {
    for stream in [OUT, ERR] {
        if !state.wasi.printed[stream].is_empty() {
            let line = std::mem::take(&mut state.wasi.printed[stream]);
            print_line(state, stream, &line);
        }
    }
}

const OUT: usize = 0;
const ERR: usize = 1;

fn print_line(state: &State, stream: usize, line: &[u8]) {
    let level = if stream == OUT { Level::Info } else { Level::Warn };
    state.session.log(level, String::from_utf8_lossy(line).into_owned());
}

fn print(state: &mut State, stream: usize, bytes: &[u8]) {
    let mut pending = std::mem::take(&mut state.wasi.printed[stream]);
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        match piece.strip_suffix(b"\n") {
            Some(end) => {
                pending.extend_from_slice(end);
                print_line(state, stream, &pending);
                pending.clear();
            }
            None => pending.extend_from_slice(piece),
        }
        if pending.len() > MAX_LINE {
            print_line(state, stream, &pending);
            pending.clear();
        }
    }
    state.wasi.printed[stream] = pending;
}

// One type for each resource, so that a handle of one kind is never taken for another. A resource's number is all
// there is to it: for output streams, which of the two it is.
mod resources {
    pub(super) struct Error;
    pub(super) struct Pollable;
    pub(super) struct InputStream;
    pub(super) struct OutputStream;
    pub(super) struct Other<const N: usize>;
}
use resources::{Error, InputStream, Other, OutputStream, Pollable};

/// Gives the component every WASI interface that it imports.
pub(crate) fn add_to_linker(
    linker: &mut Linker<State>,
    component: &Component,
    engine: &Engine,
) -> wasmtime::Result<()> {
    for (import, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        if !provides(import) {
            continue;
        }
        let mut instance = linker.instance(import)?;
        let short = import.split('@').next().unwrap_or(import);
        for (name, item) in interface.exports(engine) {
            match item.ty {
                ComponentItem::Resource(_) => instance.resource(name, resource_type(name), |_, _| Ok(()))?,
                ComponentItem::ComponentFunc(_) => {
                    let function = format!("{short}#{name}");
                    instance.func_new(name, move |store, ty, arguments, results| {
                        answer(&function, store, &ty, arguments, results)
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn resource_type(name: &str) -> ResourceType {
    match name {
        "error" => ResourceType::host::<Error>(),
        "pollable" => ResourceType::host::<Pollable>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        "descriptor" => ResourceType::host::<Other<0>>(),
        "directory-entry-stream" => ResourceType::host::<Other<1>>(),
        "network" => ResourceType::host::<Other<2>>(),
        "tcp-socket" => ResourceType::host::<Other<3>>(),
        "udp-socket" => ResourceType::host::<Other<4>>(),
        "incoming-datagram-stream" => ResourceType::host::<Other<5>>(),
        "outgoing-datagram-stream" => ResourceType::host::<Other<6>>(),
        "resolve-address-stream" => ResourceType::host::<Other<7>>(),
        "terminal-input" => ResourceType::host::<Other<8>>(),
        _ => ResourceType::host::<Other<9>>(),
    }
}

fn answer(
    function: &str,
    mut store: StoreContextMut<'_, State>,
    ty: &ComponentFunc,
    arguments: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let value = match function {
        "wasi:clocks/wall-clock#now" => instant(NOW_SECONDS, 0),
        "wasi:clocks/wall-clock#resolution" => instant(0, 1_000_000),
        "wasi:clocks/monotonic-clock#now" => Val::U64(store.data_mut().wasi.tick()),
        "wasi:clocks/monotonic-clock#resolution" => Val::U64(TICK_NANOSECONDS),
        // Nothing ever has to be waited for: everything that may be asked of this world is ready.
        "wasi:clocks/monotonic-clock#subscribe-instant" => {
            if let Some(Val::U64(when)) = arguments.first() {
                let wasi = &mut store.data_mut().wasi;
                wasi.ticks = wasi.ticks.max(*when);
            }
            own(&mut store, Resource::<Pollable>::new_own(0))?
        }
        "wasi:clocks/monotonic-clock#subscribe-duration" => {
            if let Some(Val::U64(wait)) = arguments.first() {
                let wasi = &mut store.data_mut().wasi;
                wasi.ticks = wasi.ticks.saturating_add(*wait);
            }
            own(&mut store, Resource::<Pollable>::new_own(0))?
        }
        "wasi:io/streams#[method]input-stream.subscribe" | "wasi:io/streams#[method]output-stream.subscribe" => {
            own(&mut store, Resource::<Pollable>::new_own(0))?
        }
        "wasi:io/poll#[method]pollable.ready" => Val::Bool(true),
        "wasi:io/poll#[method]pollable.block" => return Ok(()),
        "wasi:io/poll#poll" => match arguments.first() {
            Some(Val::List(all)) => Val::List((0_u32..).take(all.len()).map(Val::U32).collect()),
            _ => Val::List(Vec::new()),
        },
        "wasi:random/random#get-random-u64" | "wasi:random/insecure#get-insecure-random-u64" => {
            Val::U64(store.data_mut().wasi.random())
        }
        "wasi:random/random#get-random-bytes" | "wasi:random/insecure#get-insecure-random-bytes" => {
            random_bytes(&mut store, arguments)?
        }
        "wasi:random/insecure-seed#insecure-seed" => {
            let wasi = &mut store.data_mut().wasi;
            Val::Tuple(vec![Val::U64(wasi.random()), Val::U64(wasi.random())])
        }
        "wasi:cli/environment#get-environment" | "wasi:cli/environment#get-arguments" => Val::List(Vec::new()),
        "wasi:cli/environment#initial-cwd" => Val::Option(None),
        "wasi:filesystem/preopens#get-directories" => Val::List(Vec::new()),
        "wasi:cli/stdin#get-stdin" => own(&mut store, Resource::<InputStream>::new_own(0))?,
        "wasi:cli/stdout#get-stdout" => own(&mut store, Resource::<OutputStream>::new_own(OUT as u32))?,
        "wasi:cli/stderr#get-stderr" => own(&mut store, Resource::<OutputStream>::new_own(ERR as u32))?,
        "wasi:cli/exit#exit" | "wasi:cli/exit#exit-with-code" => {
            return Err(wasmtime::Error::msg("it left the sandbox by `exit`; a stage must return"));
        }
        "wasi:io/streams#[method]output-stream.check-write" => ok(Some(Val::U64(1 << 16))),
        "wasi:io/streams#[method]output-stream.write"
        | "wasi:io/streams#[method]output-stream.blocking-write-and-flush" => {
            write(&mut store, arguments)?;
            ok(None)
        }
        "wasi:io/streams#[method]output-stream.flush"
        | "wasi:io/streams#[method]output-stream.blocking-flush"
        | "wasi:io/streams#[method]output-stream.write-zeroes"
        | "wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush" => ok(None),
        "wasi:io/error#[method]error.to-debug-string" => Val::String("not supported in a sandbox".to_owned()),
        _ => match ty.results().next() {
            None => return Ok(()),
            Some(result) => refusal(&result)
                .ok_or_else(|| wasmtime::Error::msg(format!("`{function}` is not supported in a sandbox")))?,
        },
    };
    if let Some(result) = results.first_mut() {
        *result = value;
    }
    Ok(())
}

/// The way in which this type says no: `none`, nothing, `closed` or `not-supported`.
fn refusal(ty: &Type) -> Option<Val> {
    match ty {
        Type::Option(_) => Some(Val::Option(None)),
        Type::List(_) => Some(Val::List(Vec::new())),
        Type::Result(result) => {
            let error = match result.err() {
                None => None,
                Some(Type::Enum(codes)) => {
                    let codes: Vec<&str> = codes.names().collect();
                    let wanted = ["not-supported", "unsupported", "access-denied"];
                    let code = wanted.into_iter().find(|code| codes.contains(code)).or(codes.first().copied())?;
                    Some(Box::new(Val::Enum(code.to_owned())))
                }
                // `stream-error`: an input that is at its end.
                Some(Type::Variant(cases)) => {
                    let closed = cases.cases().find(|case| case.ty.is_none())?;
                    Some(Box::new(Val::Variant(closed.name.to_owned(), None)))
                }
                Some(_) => return None,
            };
            Some(Val::Result(Err(error)))
        }
        _ => None,
    }
}

fn ok(value: Option<Val>) -> Val {
    Val::Result(Ok(value.map(Box::new)))
}

fn own<T: 'static>(store: &mut StoreContextMut<'_, State>, resource: Resource<T>) -> wasmtime::Result<Val> {
    Ok(Val::Resource(ResourceAny::try_from_resource(resource, &mut *store)?))
}

fn instant(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![("seconds".to_owned(), Val::U64(seconds)), ("nanoseconds".to_owned(), Val::U32(nanoseconds))])
}

fn random_bytes(store: &mut StoreContextMut<'_, State>, arguments: &[Val]) -> wasmtime::Result<Val> {
    let length = match arguments.first() {
        Some(Val::U64(length)) if *length <= MAX_RANDOM => *length as usize,
        _ => return Err(wasmtime::Error::msg(format!("more than {MAX_RANDOM} random bytes at once"))),
    };
    let wasi = &mut store.data_mut().wasi;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(wasi.random().to_le_bytes().map(Val::U8));
    }
    bytes.truncate(length);
    Ok(Val::List(bytes))
}

fn write(store: &mut StoreContextMut<'_, State>, arguments: &[Val]) -> wasmtime::Result<()> {
    if let [Val::Resource(stream), Val::List(bytes)] = arguments {
        let stream = stream.try_into_resource::<OutputStream>(&mut *store)?;
        let bytes: Vec<u8> =
            bytes.iter().filter_map(|byte| if let Val::U8(byte) = byte { Some(*byte) } else { None }).collect();
        let stream = if stream.rep() == OUT as u32 { OUT } else { ERR };
        print(store.data_mut(), stream, &bytes);
    }
    Ok(())
}
