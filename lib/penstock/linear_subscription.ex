defmodule Penstock.LinearSubscription do
  @moduledoc """
  A producer of the events of one EventStoreDB stream, in order.

      children = [
        {Penstock.LinearSubscription,
         name: MyProducer,
         connection: MyStore,
         stream_name: "some_stream",
         restore_stream_position!: {MyHandler, :fetch_stream_position!, []}},
        MyHandler
      ]

      Supervisor.start_link(children, strategy: :one_for_all, max_restarts: 10)

  `MyStore` is a `Penstock.EventStore` that was started before. The README has all of it in one piece.

  Any GenStage consumer can subscribe to it, and the functions of `Penstock.Stage` work on it as on a stage: `Penstock.Stage.info/1`,
  `pause/1`, `demand/2`, `stream/2` and the others. The events go from the Rust core to the consumer's mailbox, never
  through this process.

  So a subscription to it takes no `:filter`, no `:selector` and no `:partition`: it is refused with the reason `{:bad_opts, message}`, and so
  is one with an option that is nearly the name of another. Options that nobody here knows are taken for the consumer's own, and so
  is `partition: n` with `cancel: :transient`, which Flow sends to every producer.

  ## Modes

  It starts in *reading* mode and emits on demand what is in the stream. At the end of the stream it changes to
  *subscription* mode and emits events as they are appended. Both modes are bounded: what the consumer does not ask for
  stays on the server, and nothing is ever discarded.

  ## Order, and failures of the consumer

  A handler that must not skip an event does three things: it is the only consumer, it ends and starts together with the
  producer, and it stores its position after each event. When it fails, both end, their supervisor starts both, and the
  event that failed comes again.

  They end together as the only children of a supervisor with the strategy `:one_for_all`: a failure is then one restart.
  (A handler that is supervised elsewhere links itself to the producer, `MyProducer |> GenServer.whereis() |> Process.link()` in its
  `init/1`. Both ends then count, and the handler may be started before its producer is back, which is one more.) A
  supervisor gives up when there are more than `:max_restarts` (by default 3) in `:max_seconds` (5): set the first to what a failing
  event may take, and have the handler wait before it fails, so that it is not tried again at once. The README's handler
  waits for a second, and `max_restarts: 10` is then never reached.

  ## Positions

  `:restore_stream_position!` is called at every start, in the producer's process. It returns

    * `:start` - to begin with the first event;
    * `:end` - to begin with the first event appended from now on;
    * a revision, or the `Penstock.Event` itself - to begin with the event *after* it.

  A revision to keep is `Penstock.Event.revision/1`, never `event.metadata.stream_revision`: where the stream holds links, the
  latter is the place of the event that a link leads to, in another stream, and going on from there would skip or
  repeat events.

  Anything else, and an event that was read from another stream or from none, ends the start with an `ArgumentError`. A stream that does not exist (yet) is waited for; its end is its
  beginning.

  Events up to a revision that the stream has not reached are not emitted, so a stream that is shorter than the position
  (the server came back empty, or from an older backup) has events that are passed over until it has grown past it. That
  is found out on every connection, once the server has sent all there is: a warning says so, `info/1` says so as
  `position_beyond_end`, and with `on_position_beyond_end: :stop` the process ends. A stream that has grown past the
  position before it was asked for cannot be told from one that never was shorter. A deleted stream goes on where it
  was, and counts as missing only for a user who may not read its metadata.

  ## When the server is not there

  The start does not need the server. An unreachable server, a dropped subscription, a server that comes back: the
  subscription resumes after the last event it took over, without loss or doubles, with waits from 0.1 to 5 s that
  double and vary at random. Each drop is a warning in the log, each resumption a notice, and `info/1` counts them.

  The answers of the road are tried again, the server's own judgement is final:

  | what happens | then |
  |---|---|
  | no connection, a connection that breaks or goes away, no answer to a ping (`keepAliveInterval`, `keepAliveTimeout`) | tried again |
  | the call is reset, ends without a status or within a message, or ends with OK | tried again |
  | an HTTP status in gRPC's place: 408, 425, 429, 500 and above | tried again |
  | no confirmation of the subscription within 10 s | tried again |
  | the search for the end (`:end`) is not answered within 10 s, is empty, cut, or cannot be decoded | tried again |
  | `:unavailable`, `:deadline_exceeded`, `:cancelled`, `:not_leader` | tried again |
  | `:server`: any other status of the server | tried again |
  | `:stream_deleted` (a tombstone), `:access_denied`, `:unauthenticated`, `:unimplemented`, `:invalid_argument` | final |
  | somebody in the server's place who does not speak HTTP/2 (`:protocol`), or breaks its rules | tried again |
  | `:protocol`: the peer does not speak gRPC (another HTTP status, another content type) | final |
  | `:protocol`: an event or another message cannot be decoded | final |
  | `:message_too_large`: an event is over `max_message_size` | final |
  | `:position_beyond_end`, with `on_position_beyond_end: :stop` | final |

  What is final ends the process with the `Penstock.Error` as its reason, once the consumers have been given what came
  before. An event that cannot be decoded or is too large is named by its revision, or by that of the event before it;
  nothing after it is emitted. To pass it over on purpose, let `:restore_stream_position!` return its revision.

  ## Options

  #{Penstock.Options.docs(Penstock.LinearSubscription.Settings.schema())}

  ### Read options

  #{Penstock.Options.docs(Penstock.LinearSubscription.Settings.read_schema())}
  """

  use GenServer

  import Penstock.Stage.Protocol, only: [is_ask: 2, is_from: 1, is_subscribe: 2]

  require Logger

  alias Penstock.{Error, EventStore, Native}
  alias Penstock.EventStore.Connection
  alias Penstock.LinearSubscription.{Control, Marks, Settings, Subscriptions}
  alias Penstock.Stage.{Protocol, Subscribers}

  @most Protocol.most()

  @typedoc """
  What a subscription is doing.

    * `state` - `:connecting`, `:reading`, `:subscribed`, `:backing_off` or `:stopped`. Without a connection it is never
      `:reading` or `:subscribed`; with one it is `:subscribed` once all events before its end have been emitted.
      `:stopped` ends the process as soon as what was read before has been asked for.
    * `revision` - of the last event emitted, or that it begins after; `nil` for the beginning
    * `demand` - how many events the consumers have asked for and not been given
    * `ready_events`, `ready_bytes` - what has been read and waits for demand
    * `reconnects` - how many times the server has taken the subscription again
    * `stale_events` - events that came once more and were dropped
    * `unknown_messages` - messages of a kind this version does not know
    * `position_beyond_end` - when the stream was found to end before the position, see "Positions": the `position` and
      the `last_revision` of the stream, `nil` when there is none; else `nil`
    * `last_error` - why it was dropped last, if it was
  """
  @type info :: %{
          state: :connecting | :reading | :subscribed | :backing_off | :stopped,
          stream_name: String.t(),
          revision: non_neg_integer | nil,
          demand: non_neg_integer,
          ready_events: non_neg_integer,
          ready_bytes: non_neg_integer,
          reconnects: non_neg_integer,
          stale_events: non_neg_integer,
          unknown_messages: non_neg_integer,
          position_beyond_end: nil | %{position: non_neg_integer, last_revision: non_neg_integer | nil},
          last_error: Error.t() | nil
        }

  @doc "Starts a subscription; options that cannot be used raise an `ArgumentError` that names them."
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(options) do
    settings = Settings.validate!(options)

    try do
      GenServer.start_link(__MODULE__, settings, Settings.process(settings))
    rescue
      # The VM says no more than that something is wrong.
      error in ArgumentError ->
        if settings.spawn_opt == [],
          do: reraise(error, __STACKTRACE__),
          else: Settings.refuse_spawn_opt!(settings.spawn_opt)
    end
  end

  @doc "A specification to start it under a supervisor; its id is its name, if it has one."
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: EventStore.Settings.id(options, __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      type: :worker
    }
  end

  @doc "What the subscription is doing."
  @spec info(GenServer.server(), timeout) :: info
  def info(subscription, timeout \\ 5000), do: GenServer.call(subscription, {__MODULE__, :info}, timeout)

  @impl GenServer
  def init(settings) do
    connection = connection!(settings.connection)
    position = Settings.position!(settings)
    producer = settings.name || self()

    case Native.linear_open(connection, settings.stream_name, position, Settings.native(settings, producer)) do
      {:ok, native} ->
        {:ok,
         %{
           native: native,
           stream: settings.stream_name,
           subscribers: Subscribers.new(),
           mode: settings.demand,
           paused: nil,
           last_error: nil,
           connected?: false,
           drops: 0
         }}

      {:error, error} ->
        {:stop, Error.from_native(error)}
    end
  end

  defp connection!(connection) do
    opened = if is_binary(connection), do: Connection.open_here(connection), else: Connection.open(connection)

    case opened do
      {:ok, native} -> native
      {:error, error} -> raise error
    end
  end

  @impl GenServer
  def handle_info({:"$gen_producer", from, {:ask, n}}, state) when is_ask(from, n), do: ask(from, n, state)

  def handle_info({:"$gen_producer", from, {:subscribe, current, options}}, state)
      when is_subscribe(from, current),
      do: {:noreply, Subscriptions.subscribe(from, current, options, state)}

  def handle_info({:"$gen_producer", {_pid, tag} = from, {:cancel, reason}}, state) when is_from(from),
    do: {:noreply, Subscriptions.cancel(tag, :cancel, reason, state)}

  def handle_info({:penstock, :ready}, state), do: emitted(Native.linear_serve(state.native), state)

  def handle_info({:penstock, :panicked}, state) do
    error = %Error{reason: :internal, message: "the reader of #{inspect(state.stream)} panicked"}
    {:stop, error, state}
  end

  def handle_info({:DOWN, monitor, :process, _pid, reason} = message, state) do
    case Subscribers.monitored(state.subscribers, monitor) do
      {:ok, tag} -> {:noreply, Subscriptions.cancel(tag, :down, reason, state)}
      :error -> {:noreply, unexpected("message", message, state)}
    end
  end

  def handle_info(message, state), do: {:noreply, unexpected("message", message, state)}

  # Anyone can send anything; nothing of it may end a process that others depend on.
  defp unexpected(kind, message, state) do
    Logger.error("#{Marks.who(state)} received an unexpected #{kind}: #{inspect(message)}")
    state
  end

  @impl GenServer
  def handle_call({__MODULE__, :info}, _from, state) do
    info =
      Map.merge(Native.linear_info(state.native), %{stream_name: state.stream, last_error: state.last_error})

    {:reply, info, state}
  end

  def handle_call(:"$estimate_buffered_count", _from, state) do
    {:reply, Native.linear_info(state.native).ready_events, state}
  end

  def handle_call({:"$subscribe", _current, _to, _options}, _from, state) do
    {:reply, {:error, :not_a_consumer}, state}
  end

  def handle_call(:"$demand", _from, state), do: {:reply, state.mode, state}

  # Nothing is buffered here that such a message would have to wait behind.
  def handle_call({:"$info", message}, _from, state) do
    send(self(), message)
    {:reply, :ok, state}
  end

  def handle_call({:"$penstock", :info}, _from, state), do: {:reply, Control.info(state), state}

  def handle_call({:"$penstock", :pause}, _from, state) do
    {served, state} = Control.pause(state)
    served |> emitted(state) |> reply(:ok)
  end

  def handle_call({:"$penstock", :resume}, _from, state) do
    {served, state} = Control.resume(state)
    served |> emitted_all(state) |> reply(:ok)
  end

  def handle_call(request, _from, state),
    do: {:reply, {:error, :unknown_call}, unexpected("call", request, state)}

  defp reply({:noreply, state}, reply), do: {:reply, reply, state}
  defp reply({:stop, reason, state}, reply), do: {:stop, reason, reply, state}

  @impl GenServer
  def handle_cast({:"$demand", mode}, state) when mode in [:forward, :accumulate] do
    {served, state} = Control.set_mode(state, mode)
    emitted(served, state)
  end

  def handle_cast({:"$info", message}, state) do
    send(self(), message)
    {:noreply, state}
  end

  def handle_cast({:"$subscribe", _current, _to, _options}, state) do
    Logger.error("#{Marks.who(state)} is a producer and cannot subscribe")
    {:noreply, state}
  end

  def handle_cast(request, state), do: {:noreply, unexpected("cast", request, state)}

  defp ask(from, n, state) when n > 0 do
    case Subscribers.fetch(state.subscribers, from) do
      {:ok, key} -> credit(key, min(n, @most), state)
      :unknown -> {:noreply, state}
    end
  end

  defp ask(from, n, state) do
    Logger.error(
      "#{Marks.who(state)} ignores an ask for #{n} events from: #{inspect(from)}, expected a positive integer"
    )

    {:noreply, state}
  end

  defp credit(key, n, %{paused: nil} = state), do: emitted(Native.linear_ask(state.native, key, n), state)
  defp credit(key, n, state), do: {:noreply, Control.hold(state, key, n)}

  defp emitted_all([], state), do: {:noreply, state}

  defp emitted_all([served | rest], state) do
    with {:noreply, state} <- emitted(served, state), do: emitted_all(rest, state)
  end

  # What serving came to: most often nothing but an atom.
  defp emitted(:ok, state), do: {:noreply, state}

  defp emitted(:more, state) do
    # Behind what has come meanwhile, so that a large demand does not keep anybody waiting.
    send(self(), {:penstock, :ready})
    {:noreply, state}
  end

  defp emitted(:large, state), do: emitted(Native.linear_serve_dirty(state.native), state)

  defp emitted({next, messages, marks}, state) do
    for {pid, message} <- messages, do: Process.send(pid, message, [:noconnect])

    case Enum.reduce_while(marks, state, &Marks.reached/2) do
      {:stop, reason, state} -> {:stop, reason, state}
      state -> emitted(next, state)
    end
  end

  @impl GenServer
  def terminate(_reason, state), do: Native.linear_close(state.native)
end
