//! The embedded server in the VM: started for a process, and ended with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rustler::{
    Atom, Encoder, Env, LocalPid, Monitor, NifMap, NifResult, NifTaggedEnum, NifUntaggedEnum, OwnedEnv,
    Reference, Resource, ResourceArc, Term,
};
use server::{
    Advertised, Cluster, Control, Ended, Fsync, Options, Server, StartError, Storage, Tls, Trouble,
};
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
        nodes,
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

/// What a server is told by, once it runs; of a cluster, each node.
type Handle = Arc<OnceLock<Vec<Control>>>;

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
    users: bool,
    system_projections: bool,
    nodes: u16,
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
    users: bool,
    system_projections: bool,
    nodes: u16,
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
        let Self { users, system_projections, nodes, .. } = self;
        Ok(Ok(Wanted { held, advertise, tls, users, system_projections, nodes }))
    }
}

/// Starts a server; the caller is sent `{:penstock_server, tag, {:ok, {ports, ca_file | nil}} | {:error, error}}`,
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
    let control = node(&resource, 0)?;
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

fn node(resource: &ResourceArc<ServerResource>, index: usize) -> NifResult<Control> {
    let controls = resource.control.get().ok_or(rustler::Error::BadArg)?;
    controls.get(index).cloned().ok_or(rustler::Error::BadArg)
}

/// What becomes of a server on demand.
#[derive(NifTaggedEnum)]
enum Fault {
    Cut,
    DropSubscriptions,
    FellBehind,
    Stall,
    /// In ms.
    Slow(u64),
    /// In bytes.
    Truncate(u64),
    NotLeader(String, u16),
    RefuseAppends,
    DiskFull,
    Heal,
    Freeze,
    Thaw,
    Resign,
    Kill,
}

/// Has a node misbehave, or behave again; the caller is sent `{:penstock_server, tag, :ok | {:error, error}}`.
#[rustler::nif]
fn server_fault<'a>(
    env: Env<'a>,
    resource: ResourceArc<ServerResource>,
    index: usize,
    fault: Fault,
    tag: Reference<'a>,
) -> NifResult<Atom> {
    let _timed = timed!(env, "server_fault");
    let control = node(&resource, index)?;
    let messages = Messages::new(env.pid(), tag);
    let runtime = runtime::of_servers().map_err(|_| rustler::Error::BadArg)?;
    runtime.spawn(async move {
        match befall(&control, fault).await {
            Ok(()) => messages.send(|env| atoms::ok().encode(env)),
            Err(error) => messages.send(|env| (atoms::error(), internal(env, &error)).encode(env)),
        }
    });
    Ok(atoms::ok())
}

async fn befall(control: &Control, fault: Fault) -> Result<(), String> {
    let bytes = |number| usize::try_from(number).unwrap_or(usize::MAX);
    match fault {
        Fault::Cut => control.drop_connections(),
        Fault::DropSubscriptions => control.trouble(Trouble::DropSubscriptions),
        Fault::FellBehind => control.trouble(Trouble::FellBehind),
        Fault::Stall => control.trouble(Trouble::Stall),
        Fault::Slow(wait) => control.trouble(Trouble::Slow(Duration::from_millis(wait))),
        Fault::Truncate(number) => control.trouble(Trouble::Truncate(bytes(number))),
        Fault::NotLeader(host, port) => control.trouble(Trouble::NotLeader { host, port }),
        Fault::RefuseAppends => control.trouble(Trouble::RefuseAppends),
        Fault::DiskFull => control.trouble(Trouble::FillDisk),
        Fault::Heal => control.heal(),
        Fault::Freeze => control.freeze(),
        Fault::Thaw => control.thaw().await.map_err(|error| error.to_string())?,
        Fault::Resign => control.resign(),
        Fault::Kill => control.kill(),
    }
    Ok(())
}

/// What each node is, as `/info` says it.
#[rustler::nif]
fn server_states(env: Env<'_>, resource: ResourceArc<ServerResource>) -> NifResult<Vec<String>> {
    let _timed = timed!(env, "server_states");
    let controls = resource.control.get().ok_or(rustler::Error::BadArg)?;
    Ok(controls.iter().map(Control::state).collect())
}

/// A panic anywhere below ends the server with a reason, and never its owner's waiting.
async fn supervise(wanted: Wanted, stopping: watch::Receiver<bool>, control: Handle, messages: Messages) {
    match AssertUnwindSafe(start(&wanted)).catch_unwind().await {
        Ok(Ok(servers)) => {
            let ports: Vec<u16> = servers.iter().map(|server| server.local_addr().port()).collect();
            let held = ports.iter().map(|port| Claim::of(Held { port: *port, ..wanted.held.clone() }));
            let held: Vec<_> = held.collect();
            let _ = control.set(servers.iter().map(Server::control).collect());
            let ca_file = servers.first().and_then(Server::ca_file);
            let ca_file = ca_file.map(|file| file.to_string_lossy().into_owned());
            messages.send(|env| (atoms::ok(), (ports, ca_file)).encode(env));
            let ended = run(servers, stopping).await;
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

/// Runs a server, or the nodes of a cluster, until it is told to end, or all have ended by themselves.
async fn run(mut servers: Vec<Server>, mut stopping: watch::Receiver<bool>) -> Result<(), Ended> {
    tokio::select! {
        ended = all_ended(&mut servers) => return ended,
        // That nobody is left to say so means the same as being told to stop.
        () = async { drop(stopping.wait_for(|stop| *stop).await) } => {}
    }
    for server in &servers {
        server.stop();
    }
    all_ended(&mut servers).await
}

async fn all_ended(servers: &mut [Server]) -> Result<(), Ended> {
    for server in servers {
        server.ended().await?;
    }
    Ok(())
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

async fn start(wanted: &Wanted) -> Result<Vec<Server>, StartError> {
    let Wanted { held, advertise, tls, users, system_projections, nodes } = wanted;
    let tls = match tls {
        Some(Encryption::SelfMade) => Some(Tls::self_made(advertise.as_ref().map(Advertised::host))?),
        Some(Encryption::Given(tls)) => Some(tls.clone()),
        None => None,
    };
    let cluster = (*nodes > 1).then(Cluster::new);
    let mut servers = Vec::with_capacity(usize::from(*nodes));
    for index in 0..*nodes {
        let port = if held.port == 0 { 0 } else { held.port.saturating_add(index) };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let storage = held.data_dir.clone().map_or(Storage::Memory, Storage::Disk);
        let options = Options {
            fsync: held.fsync,
            advertise: advertise.clone(),
            tls: tls.clone(),
            users: *users,
            system_projections: *system_projections,
            cluster: cluster.clone(),
            ..Options::new(address, storage)
        };
        servers.push(start_one(options, &Held { port, ..held.clone() }).await?);
    }
    Ok(servers)
}

/// A supervisor may restart a server before the one that died has let go of what it held.
async fn start_one(options: Options, held: &Held) -> Result<Server, StartError> {
    let deadline = Instant::now() + SUCCESSION;
    loop {
        match Server::start(options.clone()).await {
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
        _ if matches!(failed, StartError::ClusterOnDisk) => atoms::nodes().encode(env),
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
