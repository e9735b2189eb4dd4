defmodule Penstock.LinearSubscription do
  @moduledoc """
  A producer of the events of one EventStoreDB stream, or of all of them, in order.

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
  through this process, but for consumers of other nodes, filters that are functions, and some dispatchers (see below).

  ## Several consumers

  Which consumer gets which events is the dispatcher's business, as for a stage. These work on the events where they are, in
  the Rust core:

    * `Penstock.DemandDispatcher`, the default - each event to the consumer that waits for most;
    * `Penstock.BroadcastDispatcher` - each event to all consumers, also with `:lag`;
    * `Penstock.PartitionDispatcher` - each event to a consumer of its partition. Its `:hash` is `:id` (of the event; the
      default, which spreads evenly), `:stream_name` or `:type`: events that have the same are in one partition, also after a
      restart. Of a link, those of the event that it leads to count. Partitions are numbers, from 0 on. A position of one
      partition says nothing of the others: who restores it for all of them goes back to the lowest, and meets events again.

          dispatcher: {Penstock.PartitionDispatcher, partitions: 8, hash: :stream_name}

  Others need every event in a process, or a clock. With these the producer is a stage that takes from the core what its
  consumers have asked for, and no more:

    * `Penstock.PartitionDispatcher` with a function as `:hash`, which is given the `Penstock.Event` (the one that a link leads
      to); its partitions have any names;
    * `Penstock.DemandDispatcher` with a `:rate`, so many events in an interval;
    * a `Penstock.Dispatcher` of your own.

          dispatcher: {Penstock.PartitionDispatcher, partitions: [:eu, :us], hash: &{&1, region(&1.body)}}

  All of Penstock.Stage's rules are theirs then: the options of subscriptions, what a hash or a dispatcher that fails means, and
  the messages in the log. Each event is copied once more, from this process to its consumer. What has been taken and cannot go
  yet, in the queue of a partition or back from a dispatcher, is kept without a limit, as it was asked for. A
  dispatcher's `c:Penstock.Dispatcher.info/2` has to pass on what it is given: the producer hears by it that it has caught up, or that
  all is over.

  A subscription takes the options that its dispatcher knows (see there), and with each of Penstock's `:filter`. A pattern, `{:match, map}`, is
  matched in the core, and what does not match is never sent: `filter: {:match, %{type: "OrderPlaced"}}`. For a function, and
  for a pattern of more than 64 fields, the events of that consumer pass through the producer's process. Beside `:lag` (other than
  `:block`) a function is refused, as what a consumer lags behind is kept in the core.

  Where the core deals, anything else is refused with the reason `{:bad_opts, message}`, and so is an option that is nearly the name of another.
  Options that nobody here knows are taken for the consumer's own, and so is `partition: n` with `cancel: :transient`, which
  Flow sends to every producer.

  "Emitted", below, is what has been sent to a consumer or was not wanted by it. Where events wait in the queue of a partition, the
  producer is `:subscribed` only when they have left it, and `revision` is the highest that was sent. Where the producer is a
  stage, `revision` is the highest that its dispatcher was given, and `demand` what that has asked for and was not given.

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

  ## All streams

  With `stream_name: :all` the log of all streams is read, in the order in which their events were written:

      {Penstock.LinearSubscription,
       connection: MyStore,
       stream_name: :all,
       filter: Penstock.Filter.by_type(prefix: "order-"),
       restore_stream_position!: {MyHandler, :fetch_position!, []},
       on_checkpoint: {MyHandler, :looked_at, []}}

  A `Penstock.Position` takes the place of the revision: `Penstock.Event.position/1` is what a handler keeps, and
  `:restore_stream_position!` returns it, or the event itself. All else is as for a stream.

  A `:filter` is the server's work: what does not fit is never sent. Where nothing fits for long, the position of the last
  event that did would have a restart look at all of it again. So the server says now and then how far it has looked: a
  *checkpoint*. Once all events before it have been emitted, `info/1` has it as its `position`, the event
  `[:penstock, :subscription, :checkpoint]` of `Penstock.Telemetry` tells of it, and `:on_checkpoint` is called with it, as
  `apply(module, function, [position | arguments])`. Emitted is not handled: a handler that keeps it stores it no earlier than the
  positions of the events that it was given before, for example by having `:on_checkpoint` send it to the handler's process,
  where it comes after those events if the handler is a consumer of this producer on this node. Of checkpoints that follow one another without an
  event between them only the last may be told.

  ## Several streams in one

  With a list of streams, `stream_name: ["orders-1", "orders-2"]`, their events come as of one stream, in the order in which
  they were written: the server's own order, which no merging of single subscriptions could know of events that have just been
  written. Positions, checkpoints and `info/1` are those of "All streams". No stream waits for another one, and each of them is whole.

  It is the log that is read, and the server who leaves out what is of other streams: the start takes the time that
  the server takes to look through its log, from the position on. And in the log is what has been written: also events that
  have been deleted or truncated in their streams, as long as the server is not cleaned up (scavenged), and at the end of a
  tombstoned stream its `$streamDeleted`.

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
  | `:unavailable`, `:deadline_exceeded`, `:cancelled` | tried again |
  | `:server`: any other status of the server | tried again |
  | `:not_leader`, for the first time: another node is asked | at once |
  | `:certificate`: the server's certificate is not accepted, or ours is not | final |
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

  use Penstock.Producer

  alias Penstock.{Error, EventStore, Native, Position, Producer}
  alias Penstock.EventStore.Connection
  alias Penstock.LinearSubscription.{Marks, Settings}

  @typedoc """
  What a subscription is doing.

    * `state` - `:connecting`, `:reading`, `:subscribed`, `:backing_off` or `:stopped`. Without a connection it is never
      `:reading` or `:subscribed`; with one it is `:subscribed` once all events before its end have been emitted.
      `:stopped` ends the process as soon as what was read before has been asked for.
    * `revision` - of the last event emitted, or that it begins after; `nil` for the beginning, and for more than one stream
    * `position` - the same for `:all` and for several streams, where it also moves on with what a filter lets pass by; `nil` for a stream
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
          stream_name: String.t() | :all | [String.t()],
          revision: non_neg_integer | nil,
          position: Position.t() | nil,
          demand: non_neg_integer,
          ready_events: non_neg_integer,
          ready_bytes: non_neg_integer,
          reconnects: non_neg_integer,
          stale_events: non_neg_integer,
          unknown_messages: non_neg_integer,
          position_beyond_end:
            nil
            | %{position: non_neg_integer | Position.t(), last_revision: non_neg_integer | Position.t() | nil},
          last_error: Error.t() | nil
        }

  @doc "Starts a subscription; options that cannot be used raise an `ArgumentError` that names them."
  @spec start_link(keyword | (() -> keyword)) :: GenServer.on_start()
  def start_link(options) do
    settings = options |> EventStore.Settings.reveal() |> Settings.validate!()

    try do
      Producer.start_link(__MODULE__, settings, settings.dispatcher, Settings.process(settings))
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
      start: {__MODULE__, :start_link, [shown(options)]},
      type: :worker
    }
  end

  # Supervisors show what they start.
  defp shown(options) do
    secret? = Keyword.keyword?(options) and (is_binary(options[:connection]) or options[:credentials] != nil)
    if secret?, do: EventStore.Settings.hide(options), else: options
  end

  @doc "What the subscription is doing."
  @spec info(GenServer.server(), timeout) :: info
  def info(subscription, timeout \\ 5000), do: GenServer.call(subscription, {__MODULE__, :info}, timeout)

  @impl GenServer
  def init(settings) do
    connection = connection!(settings)
    position = Settings.position!(settings)
    producer = settings.name || self()

    reading = Settings.reading(settings)
    wanted = Settings.native(settings, producer)

    case Native.linear_open(connection, Settings.native_target(settings, position), reading, wanted) do
      {:ok, native} ->
        own = %{
          stream: settings.stream_name,
          on_checkpoint: settings.on_checkpoint,
          last_error: nil,
          connected?: false,
          drops: 0
        }

        Producer.init(__MODULE__, own, native, settings.dispatcher, settings.demand)

      {:error, error} ->
        {:stop, Error.from_native(error)}
    end
  end

  defp connection!(%{connection: connection, credentials: credentials}) do
    opened = if is_binary(connection), do: Connection.open_here(connection), else: Connection.open(connection)

    case with {:ok, native} <- opened, do: Connection.as(native, credentials) do
      {:ok, native} -> native
      {:error, error} -> raise error
    end
  end

  @impl Producer
  defdelegate who(own), to: Marks

  @impl Producer
  defdelegate reached(mark, own), to: Marks

  @impl Producer
  def info_of(native, own) do
    {revision, position} = Marks.places(native.position)
    own = %{stream_name: own.stream, last_error: own.last_error, revision: revision, position: position}
    native |> Map.update!(:position_beyond_end, &Marks.beyond/1) |> Map.merge(own)
  end
end
