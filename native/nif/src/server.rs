//! The embedded server in the VM: started for a process, and ended with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rustler::{
    Atom, Encoder, Env, LocalPid, Monitor, NifMap, NifResult, NifUntaggedEnum, OwnedEnv, Reference, Resource,
    ResourceArc, Term,
};
use server::{Advertised, Control, Ended, Fsync, Options, Server, StartError, Storage, Tls};
use tokio::sync::watch;
use tokio::time::sleep;
use wire::error::Reason;

use crate::account::timed;
use crate::{error, runtime};

mod atoms {
    rustler::atoms! {
        ok,
        error,
        stopped,
        group,
        never,
        penstock_server,
        port,
        data_dir,
        advertise,
        tls,
        self_made,
        option,
        failed,
    }
}

/// How long a server waits for its predecessor in this VM to give back the port and the folder.
const SUCCESSION: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(20);

/// What servers of this VM hold, from their start to the end of their shutdown; and what they held just before, and
/// when that was: a call that still reads keeps the folder locked for a moment longer.
static HELD: Mutex<Vec<(Held, Option<Instant>)>> = Mutex::new(Vec::new());

#[derive(Clone, PartialEq, Eq)]
struct Held {
    port: u16,
    data_dir: Option<PathBuf>,
    fsync: Fsync,
}

/// A server that belongs to the process that started it.
struct ServerResource {
    stop: watch::Sender<bool>,
    control: Handle,
}

/// What a server is told by, once it runs.
type Handle = Arc<OnceLock<Control>>;

#[rustler::resource_impl]
impl Resource for ServerResource {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _owner: LocalPid, _monitor: Monitor) {
        self.stop.send_replace(true);
    }
}

impl Drop for ServerResource {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// What a server is started with.
#[derive(NifMap)]
struct Settings {
    port: u16,
    data_dir: Option<String>,
    fsync: Atom,
    advertise: Option<String>,
    tls: Option<Certificate>,
}

/// With what it encrypts.
#[derive(NifUntaggedEnum)]
enum Certificate {
    /// `:self_made`
    Made(Atom),
    /// The certificate's file, and its key's.
    Files((String, String)),
}

/// What it is started with, but for what is made when it starts.
#[derive(Clone)]
struct Wanted {
    held: Held,
    advertise: Option<Advertised>,
    tls: Option<Encryption>,
}

#[derive(Clone)]
enum Encryption {
    SelfMade,
    Given(Tls),
}

/// An option that is refused: its name and why.
type Refused = (Atom, String);

impl Settings {
    fn wanted(self) -> NifResult<Result<Wanted, Refused>> {
        let fsync = match self.fsync {
            group if group == atoms::group() => Fsync::Group,
            never if never == atoms::never() => Fsync::Never,
            _ => return Err(rustler::Error::BadArg),
        };
        let tls = match self.tls {
            None => None,
            // Any atom is one of those that may stand for a certificate.
            Some(Certificate::Made(made)) if made == rustler::types::atom::nil() => None,
            Some(Certificate::Made(made)) if made == atoms::self_made() => Some(Encryption::SelfMade),
            Some(Certificate::Made(_)) => return Err(rustler::Error::BadArg),
            Some(Certificate::Files((certificate, key))) => {
                let (certificate, key) = (certificate.into(), key.into());
                Some(Encryption::Given(Tls::Files { certificate, key }))
            }
        };
        let advertise = match self.advertise.map(|text| text.parse::<Advertised>()).transpose() {
            Ok(advertise) => advertise,
            Err(refused) => {
                return Ok(Err((atoms::advertise(), format!("option :advertise must be {refused}"))));
            }
        };
        let held = Held { port: self.port, data_dir: self.data_dir.map(PathBuf::from), fsync };
        Ok(Ok(Wanted { held, advertise, tls }))
    }
}

/// Starts a server; the caller is sent `{:penstock_server, tag, {:ok, {port, ca_file | nil}} | {:error, error}}`,
/// `{:penstock_server, tag, {:failed, error}}` if it ends by itself, and `{:penstock_server, tag, :stopped}` when it
/// has ended and what it held is free.
#[rustler::nif]
fn server_start<'a>(env: Env<'a>, settings: Settings, tag: Reference<'a>) -> NifResult<Term<'a>> {
    let _timed = timed!(env, "server_start");
    let wanted = match settings.wanted()? {
        Ok(wanted) => wanted,
        Err((option, reason)) => {
            let details = [(atoms::option(), option.encode(env))];
            let error = error::of(env, Reason::InvalidArgument, &reason, false, &details);
            return Ok((atoms::error(), error).encode(env));
        }
    };
    let runtime = match runtime::of_servers() {
        Ok(runtime) => runtime,
        Err(kind) => {
            let reason = format!("the runtime of the Rust core cannot be started: {kind}");
            return Ok((atoms::error(), internal(env, &reason)).encode(env));
        }
    };
    let (stop, stopping) = watch::channel(false);
    let control = Handle::default();
    let resource = ResourceArc::new(ServerResource { stop, control: control.clone() });
    let owner = env.pid();
    if resource.monitor(Some(env), &owner).is_none() {
        resource.stop.send_replace(true);
    }
    let messages = Messages::new(owner, tag);
    runtime.spawn(supervise(wanted, stopping, control, messages));
    Ok((atoms::ok(), resource).encode(env))
}

/// Tells a server to end.
#[rustler::nif]
fn server_stop(env: Env<'_>, resource: ResourceArc<ServerResource>) -> Atom {
    let _timed = timed!(env, "server_stop");
    resource.stop.send_replace(true);
    atoms::ok()
}

/// Has a server begin anew; the caller is sent `{:penstock_server, tag, :ok | {:error, error}}`.
#[rustler::nif]
fn server_reset<'a>(
    env: Env<'a>,
    resource: ResourceArc<ServerResource>,
    tag: Reference<'a>,
) -> NifResult<Atom> {
    let _timed = timed!(env, "server_reset");
    let control = resource.control.get().cloned().ok_or(rustler::Error::BadArg)?;
    let messages = Messages::new(env.pid(), tag);
    let runtime = runtime::of_servers().map_err(|_| rustler::Error::BadArg)?;
    runtime.spawn(async move {
        match control.reset().await {
            Ok(()) => messages.send(|env| atoms::ok().encode(env)),
            Err(error) => {
                messages.send(|env| (atoms::error(), internal(env, &error.to_string())).encode(env));
            }
        }
    });
    Ok(atoms::ok())
}

/// A panic anywhere below ends the server with a reason, and never its owner's waiting.
async fn supervise(wanted: Wanted, stopping: watch::Receiver<bool>, control: Handle, messages: Messages) {
    match AssertUnwindSafe(start(&wanted)).catch_unwind().await {
        Ok(Ok(server)) => {
            let held = Claim::of(Held { port: server.local_addr().port(), ..wanted.held });
            let _ = control.set(server.control());
            let ca_file = server.ca_file().map(|file| file.to_string_lossy().into_owned());
            messages.send(|env| (atoms::ok(), (held.0.port, ca_file)).encode(env));
            let ended = run(server, stopping).await;
            drop(held);
            if let Err(error) = ended {
                messages.send(|env| (atoms::failed(), internal(env, &error.to_string())).encode(env));
            }
        }
        Ok(Err(error)) => {
            messages.send(|env| (atoms::error(), describe(env, &error, &wanted.held)).encode(env));
        }
        Err(_) => messages.send(|env| (atoms::error(), internal(env, "the server panicked")).encode(env)),
    }
    messages.send(|env| atoms::stopped().encode(env));
}

/// Runs a server until it is told to end, or ends by itself.
async fn run(mut server: Server, mut stopping: watch::Receiver<bool>) -> Result<(), Ended> {
    tokio::select! {
        ended = server.ended() => return ended,
        // That nobody is left to say so means the same as being told to stop.
        () = async { drop(stopping.wait_for(|stop| *stop).await) } => {}
    }
    server.stop();
    server.ended().await
}

/// What a running server holds, as others of this VM see it.
struct Claim(Held);

impl Claim {
    fn of(held: Held) -> Self {
        lock_recent().push((held.clone(), None));
        Self(held)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((_, left)) =
            lock_recent().iter_mut().find(|(held, left)| *held == self.0 && left.is_none())
        {
            *left = Some(Instant::now());
        }
    }
}

/// A supervisor may restart a server before the one that died has let go of what it held.
async fn start(wanted: &Wanted) -> Result<Server, StartError> {
    let Wanted { held, advertise, tls } = wanted;
    let deadline = Instant::now() + SUCCESSION;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, held.port));
    let tls = match tls {
        Some(Encryption::SelfMade) => Some(Tls::self_made(advertise.as_ref().map(Advertised::host))?),
        Some(Encryption::Given(tls)) => Some(tls.clone()),
        None => None,
    };
    loop {
        let storage = held.data_dir.clone().map_or(Storage::Memory, Storage::Disk);
        let options = Options {
            fsync: held.fsync,
            advertise: advertise.clone(),
            tls: tls.clone(),
            ..Options::new(address, storage)
        };
        match Server::start(options).await {
            Err(StartError::PortInUse { .. } | StartError::DataInUse { .. })
                if Instant::now() < deadline && held_here(held) => {}
            started => return started,
        }
        sleep(RETRY).await;
    }
}

/// Whether a server of this VM holds what is wanted, or did until now.
fn held_here(wanted: &Held) -> bool {
    lock_recent().iter().any(|(held, _)| {
        held.port == wanted.port || wanted.data_dir.is_some() && held.data_dir == wanted.data_dir
    })
}

/// Without what was left too long ago to matter.
fn lock_recent() -> std::sync::MutexGuard<'static, Vec<(Held, Option<Instant>)>> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.retain(|(_, left)| left.is_none_or(|left| left.elapsed() < SUCCESSION));
    held
}

fn describe<'a>(env: Env<'a>, failed: &StartError, wanted: &Held) -> Term<'a> {
    let (reason, detail) = match failed {
        StartError::PortInUse { .. } => (Reason::AddressInUse, atoms::port()),
        StartError::Address { .. } => (Reason::InvalidArgument, atoms::port()),
        StartError::Tls(_) | StartError::ClusterOnDisk => (Reason::InvalidArgument, atoms::option()),
        StartError::Storage(_) => (Reason::Internal, atoms::port()),
        StartError::DataInUse { .. } => (Reason::DataDirInUse, atoms::data_dir()),
        StartError::DataUnusable { .. } => (Reason::DataDirUnusable, atoms::data_dir()),
        StartError::DataCorrupted { .. } => (Reason::CorruptedData, atoms::data_dir()),
    };
    let value = match &wanted.data_dir {
        _ if detail == atoms::option() => atoms::tls().encode(env),
        Some(folder) if detail == atoms::data_dir() => folder.to_string_lossy().encode(env),
        _ => wanted.port.encode(env),
    };
    error::of(env, reason, &failed.to_string(), false, &[(detail, value)])
}

fn internal<'a>(env: Env<'a>, reason: &str) -> Term<'a> {
    error::of(env, Reason::Internal, reason, false, &[])
}

/// The way back to the owner.
struct Messages {
    owner: LocalPid,
    env: OwnedEnv,
    tag: rustler::env::SavedTerm,
}

impl Messages {
    fn new(owner: LocalPid, tag: Reference<'_>) -> Self {
        let env = OwnedEnv::new();
        let tag = env.save(tag);
        Self { owner, env, tag }
    }

    fn send(&self, body: impl for<'a> FnOnce(Env<'a>) -> Term<'a>) {
        // An owner that is gone needs no message.
        let _ = OwnedEnv::new().send_and_clear(&self.owner, |env| {
            let tag = self.env.run(|from| self.tag.load(from).in_env(env));
            (atoms::penstock_server(), tag, body(env)).encode(env)
        });
    }
}
