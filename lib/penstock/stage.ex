defmodule Penstock.Stage do
  @moduledoc """
  Stages exchange events with back-pressure: a consumer asks its producer for a number of events and
  gets no more than that.

  A stage is a process with a module of callbacks. Its `c:init/1` says what it is:

    * a `:producer` is asked for events (`c:handle_demand/2`) and returns them, from there or any other
      callback;
    * a `:consumer` gets events (`c:handle_events/3`);
    * a `:producer_consumer` gets events and returns others.

  The messages are those of GenStage: a stage here and a stage of the `gen_stage` library can subscribe to each
  other, and the functions of `GenStage` work on processes of this module. `alias Penstock.Stage, as: GenStage`
  moves a module over.

      defmodule Counter do
        use Penstock.Stage

        def start_link(first), do: Penstock.Stage.start_link(__MODULE__, first, name: __MODULE__)

        @impl true
        def init(first), do: {:producer, first}

        @impl true
        def handle_demand(demand, n), do: {:noreply, Enum.to_list(n..(n + demand - 1)), n + demand}
      end

      defmodule Printer do
        use Penstock.Stage

        def start_link(_), do: Penstock.Stage.start_link(__MODULE__, :ok)

        @impl true
        def init(:ok), do: {:consumer, :ok, subscribe_to: [{Counter, max_demand: 10}]}

        @impl true
        def handle_events(events, _from, :ok) do
          Enum.each(events, &IO.inspect/1)
          {:noreply, [], :ok}
        end
      end

  ## Options that `c:init/1` may return

  A producer takes

  #{Penstock.Options.docs(Penstock.Stage.Options.init(:producer))}

  A consumer takes

  #{Penstock.Options.docs(Penstock.Stage.Options.init(:consumer))}

  A producer_consumer takes all of these except `:demand`; its `:buffer_size` is `:infinity` by default.

  Anything else ends the start with `{:bad_opts, message}`.

  ## Subscriptions

  A consumer asks for `:max_demand` events to begin with. It handles events in batches of at most `max_demand -
  min_demand`, and asks for more whenever what it waits for has come down to `:min_demand`.

  What the end of a producer (or of the subscription) means to a consumer is told by `:cancel`: a `:permanent`
  one ends too, for the same reason; a `:transient` one does unless the reason is `:normal`, `:shutdown` or
  `{:shutdown, _}`; a `:temporary` one never does.
  """

  alias Penstock.Stage.Loop

  @type stage :: pid | atom | {:global, term} | {:via, module, term} | {name :: atom, node}
  @typedoc "Names a subscription, for its consumer; a reference unless the consumer chose otherwise."
  @type subscription_tag :: term
  @typedoc "The other side of a subscription."
  @type from :: {pid, subscription_tag}
  @type dispatcher_option :: {:dispatcher, module | {module, keyword}}
  @type buffer_option :: {:buffer_size, non_neg_integer | :infinity} | {:buffer_keep, :first | :last}
  @type producer_option :: {:demand, :forward | :accumulate} | dispatcher_option | buffer_option
  @type consumer_option :: {:subscribe_to, [stage | {stage, subscription_options}]}
  @type producer_consumer_option :: consumer_option | dispatcher_option | buffer_option
  @type subscription_options :: [
          {:to, stage}
          | {:cancel, :permanent | :transient | :temporary}
          | {:max_demand, pos_integer}
          | {:min_demand, non_neg_integer}
          | {atom, term}
        ]
  @typedoc "What `info/1` returns."
  @type info :: %{
          pid: pid,
          module: module,
          type: :producer | :producer_consumer | :consumer,
          mode: :forward | :accumulate | nil,
          paused: boolean,
          demand: non_neg_integer,
          buffered: non_neg_integer,
          off_heap: non_neg_integer,
          held: non_neg_integer,
          waiting: non_neg_integer,
          consumers: [map],
          producers: [map]
        }
  @typedoc "What a stage does besides."
  @type also :: :hibernate | {:continue, argument :: term}
  @type return ::
          {:noreply, [event :: term], state :: term}
          | {:noreply, [event :: term], state :: term, also}
          | {:stop, reason :: term, state :: term}

  @doc """
  Called when the stage starts; says what kind of stage it is.

  Like a `GenServer`, it may hibernate at once, or go on with `c:handle_continue/2` before anything else.
  """
  @callback init(argument :: term) ::
              {:producer, state :: term}
              | {:producer, state :: term, [producer_option] | also}
              | {:producer, state :: term, [producer_option], also}
              | {:producer_consumer, state :: term}
              | {:producer_consumer, state :: term, [producer_consumer_option] | also}
              | {:producer_consumer, state :: term, [producer_consumer_option], also}
              | {:consumer, state :: term}
              | {:consumer, state :: term, [consumer_option] | also}
              | {:consumer, state :: term, [consumer_option], also}
              | :ignore
              | {:stop, reason :: term}

  @doc "Called in a producer when consumers wait for more events than it was asked for before."
  @callback handle_demand(demand :: pos_integer, state :: term) :: return

  @doc "Called in a consumer with events, in order."
  @callback handle_events(events :: [term, ...], from, state :: term) :: return

  @doc """
  Called on both sides of a new subscription, with the role of the other side.

  A consumer may answer `:manual` to ask for events itself, with `ask/3`.
  """
  @callback handle_subscribe(:producer | :consumer, subscription_options, from, state :: term) ::
              {:automatic | :manual, state :: term} | {:stop, reason :: term, state :: term}

  @doc "Called on both sides when a subscription has ended."
  @callback handle_cancel({:cancel | :down, reason :: term}, from, state :: term) :: return

  @doc """
  Called right after a callback that has returned `{:continue, argument}`, before any other callback and any message.

  Events that the callback has returned are dispatched before, and a reply is sent before.
  """
  @callback handle_continue(argument :: term, state :: term) :: return

  @doc "Called when the buffer had to discard events; `false` keeps that out of the log."
  @callback format_discarded(discarded :: pos_integer, state :: term) :: boolean

  @doc "Called for requests made with `call/3`."
  @callback handle_call(request :: term, GenServer.from(), state :: term) ::
              {:reply, reply :: term, [event :: term], state :: term}
              | {:reply, reply :: term, [event :: term], state :: term, also}
              | {:stop, reason :: term, reply :: term, state :: term}
              | return

  @doc "Called for requests made with `cast/2`."
  @callback handle_cast(request :: term, state :: term) :: return

  @doc "Called for any other message."
  @callback handle_info(message :: term, state :: term) :: return

  @doc "Called before the stage ends, as in a `GenServer`."
  @callback terminate(reason :: term, state :: term) :: term

  @doc "Called to change the state to that of new code, as in a `GenServer`."
  @callback code_change(old :: term, state :: term, extra :: term) ::
              {:ok, state :: term} | {:error, reason :: term}

  @doc "Called to show the state, as in a `GenServer`."
  @callback format_status(:normal | :terminate, [term]) :: term

  @optional_callbacks handle_demand: 2,
                      handle_events: 3,
                      handle_subscribe: 4,
                      handle_cancel: 3,
                      handle_continue: 2,
                      format_discarded: 2,
                      handle_call: 3,
                      handle_cast: 2,
                      handle_info: 2,
                      terminate: 2,
                      code_change: 3,
                      format_status: 2

  @doc false
  defmacro __using__(options) do
    quote location: :keep, bind_quoted: [options: options] do
      @behaviour Penstock.Stage

      @doc false
      def child_spec(argument) do
        Supervisor.child_spec(
          %{id: __MODULE__, start: {__MODULE__, :start_link, [argument]}},
          unquote(Macro.escape(options))
        )
      end

      defoverridable child_spec: 1
    end
  end

  @doc """
  Starts a stage linked to the caller; `options` are those of `GenServer.start_link/3`.

  A stage at work has a heap of about 230 KB and more, for events come in batches: it grows with the messages that come,
  to the size that they need, up to 6.7 MB by itself. At rest it has what any process has, or what `spawn_opt:
  [min_heap_size: words]` sets. With `spawn_opt: [max_heap_size: words]` it is left to the VM altogether. Buffered events
  beyond 10,000 leave the heap, so they count for neither: `info/1` tells how many they are.
  """
  @spec start_link(module, term, GenServer.options()) :: GenServer.on_start()
  def start_link(module, argument, options \\ []) when is_atom(module) and is_list(options),
    do: Loop.start(:link, {module, argument}, options)

  @doc "Starts a stage without a link."
  @spec start(module, term, GenServer.options()) :: GenServer.on_start()
  def start(module, argument, options \\ []) when is_atom(module) and is_list(options),
    do: Loop.start(:nolink, {module, argument}, options)

  @doc "Stops a stage and waits until it has ended."
  @spec stop(stage, reason :: term, timeout) :: :ok
  def stop(stage, reason \\ :normal, timeout \\ :infinity), do: GenServer.stop(stage, reason, timeout)

  @doc "Makes a request and waits for the reply."
  @spec call(stage, term, timeout) :: term
  def call(stage, request, timeout \\ 5000), do: GenServer.call(stage, request, timeout)

  @doc "Makes a request without a reply."
  @spec cast(stage, term) :: :ok
  def cast(stage, request), do: GenServer.cast(stage, request)

  @doc "Replies to a caller of `call/3` from anywhere."
  @spec reply(GenServer.from(), term) :: :ok
  def reply(client, reply), do: GenServer.reply(client, reply)

  @doc """
  Has a message handled by the stage's `c:handle_info/2` once all events that it has buffered now are delivered.

  Returns when the message is queued.
  """
  @spec sync_info(stage, message :: term, timeout) :: :ok
  def sync_info(stage, message, timeout \\ 5000), do: call(stage, {:"$info", message}, timeout)

  @doc "As `sync_info/3`, without waiting."
  @spec async_info(stage, message :: term) :: :ok
  def async_info(stage, message), do: cast(stage, {:"$info", message})

  @doc "Whether a producer forwards demand or accumulates it."
  @spec demand(stage) :: :forward | :accumulate
  def demand(stage), do: call(stage, :"$demand")

  @doc "Has a producer forward demand to its module, or accumulate demand and events until told to forward them."
  @spec demand(stage, :forward | :accumulate) :: :ok
  def demand(stage, mode) when mode in [:forward, :accumulate], do: cast(stage, {:"$demand", mode})

  @doc """
  Has a consumer subscribe to the producer that `:to` names.

  ## Options

    * `:to` - the producer; required.
  #{Penstock.Options.docs(Penstock.Stage.Options.subscription())}

  Others go to the producer and its dispatcher as they are.

  Returns when the consumer has sent its subscription; the producer may still refuse it.
  """
  @spec sync_subscribe(stage, subscription_options, timeout) ::
          {:ok, subscription_tag} | {:error, :not_a_consumer} | {:error, {:bad_opts, String.t()}}
  def sync_subscribe(stage, options, timeout \\ 5000),
    do: call(stage, subscribe_request(nil, options, "sync_subscribe/3"), timeout)

  @doc "As `sync_subscribe/3`, without waiting."
  @spec async_subscribe(stage, subscription_options) :: :ok
  def async_subscribe(stage, options),
    do: cast(stage, subscribe_request(nil, options, "async_subscribe/2"))

  @doc "Has a consumer end a subscription, for a reason, and begin another with the producer that `:to` names."
  @spec sync_resubscribe(stage, subscription_tag, reason :: term, subscription_options, timeout) ::
          {:ok, subscription_tag} | {:error, :not_a_consumer} | {:error, {:bad_opts, String.t()}}
  def sync_resubscribe(stage, tag, reason, options, timeout \\ 5000),
    do: call(stage, subscribe_request({tag, reason}, options, "sync_resubscribe/5"), timeout)

  @doc "As `sync_resubscribe/5`, without waiting."
  @spec async_resubscribe(stage, subscription_tag, reason :: term, subscription_options) :: :ok
  def async_resubscribe(stage, tag, reason, options),
    do: cast(stage, subscribe_request({tag, reason}, options, "async_resubscribe/4"))

  @doc """
  Asks a producer for events, in the name of the calling consumer, whose subscription is `:manual`.

  Options and return values are those of `Process.send/3`; asking for 0 does nothing.
  """
  @spec ask(from, non_neg_integer, [:noconnect | :nosuspend]) :: :ok | :noconnect | :nosuspend
  def ask(producer_subscription, demand, options \\ [])
  def ask({_pid, _tag}, 0, _options), do: :ok

  def ask({pid, tag}, demand, options) when is_integer(demand) and demand > 0,
    do: Process.send(pid, {:"$gen_producer", {self(), tag}, {:ask, demand}}, options)

  @doc """
  Ends a subscription, in the name of the calling consumer; the producer confirms it.

  Options and return values are those of `Process.send/3`.
  """
  @spec cancel(from, reason :: term, [:noconnect | :nosuspend]) :: :ok | :noconnect | :nosuspend
  def cancel({pid, tag}, reason, options \\ []),
    do: Process.send(pid, {:"$gen_producer", {self(), tag}, {:cancel, reason}}, options)

  @doc """
  Has a producer or a producer_consumer hold still until `resume/1`: no event leaves it, whatever it is asked for.

  What it is asked for, what its module emits and what a producer_consumer receives is held and lost neither then nor
  later; a buffer that is limited is not what it is held in, so pause for as long as memory allows.
  """
  @spec pause(stage, timeout) :: :ok | {:error, :not_a_producer}
  def pause(stage, timeout \\ 5000), do: call(stage, {:"$penstock", :pause}, timeout)

  @doc "Has a stage go on after `pause/1`, with what it has held, in order."
  @spec resume(stage, timeout) :: :ok | {:error, :not_a_producer}
  def resume(stage, timeout \\ 5000), do: call(stage, {:"$penstock", :resume}, timeout)

  @doc """
  What a stage knows of itself.

    * `:pid`, `:module`, `:type`; `:mode`, a producer's `demand/1`; `:paused`;
    * `:demand` - how many events its consumers wait for;
    * `:buffered` - how many events wait in its buffer for consumers that ask;
    * `:off_heap` - how many of these are kept outside of the heap of the process: neither its memory nor
      `max_heap_size` counts them, the VM's `:erlang.memory(:system)` does;
    * `:held` - how many its module has emitted while it was paused or accumulated demand;
    * `:waiting` - how many a producer_consumer has received and not handled;
    * `:consumers` - for each subscription its `:pid` and `:tag`, the `:demand` that it waits for (`:unknown` with a
      dispatcher of your own), and what it has `:asked_while_paused`;
    * `:producers` - for each subscription its `:producer`, `:tag`, `:cancel`, `:min_demand`, `:max_demand` and the
      `:demand` that it still waits for, or `:manual`.
  """
  @spec info(stage, timeout) :: info
  def info(stage, timeout \\ 5000), do: call(stage, {:"$penstock", :info}, timeout)

  @doc """
  Starts a producer of the items of an enumerable.

  It takes as many items as it is asked for, and ends with reason `:normal` once there are no more and all have been
  delivered. Taking an item must not need the mailbox of the process, which is the stage's.

  ## Options

  #{Penstock.Options.docs(Penstock.Stage.Options.from_enumerable())}
  #{Penstock.Options.docs(Penstock.Stage.Options.enumerated())}
  #{Penstock.Options.docs(Penstock.Stage.Options.streamer())}

  Others are those of `start_link/3`.
  """
  @spec from_enumerable(Enumerable.t(), keyword) :: GenServer.on_start()
  def from_enumerable(enumerable, options \\ []), do: Penstock.Stage.Streamer.start(enumerable, options)

  @doc """
  A stream of what producers emit, in the process that enumerates it.

  `subscriptions` are producers, or tuples of a producer and the options of `sync_subscribe/3`. The stream subscribes
  when it begins, cancels when it ends, and leaves no message behind. Where a subscription's end would end a
  consumer (see `:cancel`), the stream exits with the same reason; otherwise it goes on with the other producers, and is
  over when there are none.

  ## Options

  #{Penstock.Options.docs(Penstock.Stage.Options.stream())}

  The stream of a producer on another node may leave messages behind when the connection is lost: enumerate it in a
  process of its own.
  """
  @spec stream([stage | {stage, subscription_options}], keyword) :: Enumerable.t()
  def stream(subscriptions, options \\ [])

  def stream(subscriptions, options) when is_list(subscriptions),
    do: Penstock.Stage.Stream.build(subscriptions, options)

  def stream(subscriptions, _options),
    do: raise(ArgumentError, "expected a list of subscriptions, got: #{inspect(subscriptions)}")

  @doc "How many events a producer has buffered."
  @spec estimate_buffered_count(stage, timeout) :: non_neg_integer
  def estimate_buffered_count(stage, timeout \\ 5000), do: call(stage, :"$estimate_buffered_count", timeout)

  defp subscribe_request(current, options, function) do
    case Keyword.pop(options, :to) do
      {nil, _options} -> raise ArgumentError, "expected :to argument in #{function}, got: #{inspect(options)}"
      {to, options} -> {:"$subscribe", current, to, options}
    end
  end
end
