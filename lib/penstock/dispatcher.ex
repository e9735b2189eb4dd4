defmodule Penstock.Dispatcher do
  @moduledoc """
  What decides which consumer of a producer gets which events.

  A producer names its dispatcher when it starts, as a module or as a module and its options:

      {:producer, state, dispatcher: Penstock.BroadcastDispatcher}
      {:producer, state, dispatcher: {Penstock.PartitionDispatcher, partitions: 4}}

  Three are here, counted by the native core:

    * `Penstock.DemandDispatcher` - each event to the consumer that waits for most; the default;
    * `Penstock.BroadcastDispatcher` - each event to all consumers;
    * `Penstock.PartitionDispatcher` - each event to a consumer of its partition.

  The names that these have in GenStage mean these as well.

  ## Options of subscriptions

  With each of the three, a subscription may say which events it wants, with `:filter`. The producer looks at
  the events before it sends them, so those that nobody wants are never copied, and no stage is needed in
  between:

      Penstock.Stage.sync_subscribe(consumer, to: producer, filter: {:match, %{type: "paid"}})
      Penstock.Stage.sync_subscribe(consumer, to: producer, filter: &(&1.amount > 100))

  It takes `{:match, map}`, which wants events that are maps and have these keys with these values (a map among
  the values is matched the same way, up to 127 in each other, anything else must be exactly equal), or a function of the event. Events
  that are not wanted take nothing from the consumer's demand. A dispatcher that gives an event to one consumer
  only gives it to no other when that one does not want it.

  The function runs in the producer. When it fails, the events at hand are not sent and the subscription is
  cancelled with the reason `{:filter_failed, exception}`; the producer and its other consumers go on.

  ## Dispatchers of your own

  A module with the callbacks of this behaviour, which are those of `GenStage.Dispatcher`, is a dispatcher too.
  It runs in the producer, keeps a state of its own and sends events itself, as the message
  `{:"$gen_consumer", {self(), tag}, events}`. This one gives all events to the consumer that came first:

      defmodule FirstComeDispatcher do
        @behaviour Penstock.Dispatcher

        @impl true
        def init(_options), do: {:ok, []}

        @impl true
        def subscribe(_options, from, consumers), do: {:ok, 0, consumers ++ [from]}

        @impl true
        def cancel(from, consumers), do: {:ok, 0, consumers -- [from]}

        @impl true
        def ask(demand, from, [from | _] = consumers), do: {:ok, demand, consumers}
        def ask(_demand, _from, consumers), do: {:ok, 0, consumers}

        @impl true
        def dispatch(events, _length, []), do: {:ok, events, []}

        def dispatch(events, _length, [{pid, tag} | _] = consumers) do
          Process.send(pid, {:"$gen_consumer", {self(), tag}, events}, [:noconnect])
          {:ok, [], consumers}
        end

        @impl true
        def info(message, consumers) do
          send(self(), message)
          {:ok, consumers}
        end
      end
  """

  alias Penstock.{BroadcastDispatcher, DemandDispatcher, PartitionDispatcher}

  @typedoc "The consumer's process and the tag of its subscription."
  @type from :: {pid, tag :: term}

  @doc "Called when the producer starts, with the options that stand beside the dispatcher's name."
  @callback init(options :: keyword) :: {:ok, state :: term}

  @doc """
  Called for each new subscription; says how many events the producer is to bring on top.

  An error cancels the subscription for that reason; `c:cancel/2` is called for it as well.
  """
  @callback subscribe(options :: keyword, from, state :: term) ::
              {:ok, demand :: non_neg_integer, state :: term} | {:error, reason :: term}

  @doc "Called when a subscription has ended; says how many events the producer is to bring on top."
  @callback cancel(from, state :: term) :: {:ok, demand :: non_neg_integer, state :: term}

  @doc "Called when a consumer asks; says how many events the producer is to bring on top."
  @callback ask(demand :: pos_integer, from, state :: term) ::
              {:ok, demand :: non_neg_integer, state :: term}

  @doc """
  Called with events to send, perhaps more than were asked for; returns those that it has not sent, which the
  producer buffers.
  """
  @callback dispatch(events :: [term, ...], length :: pos_integer, state :: term) ::
              {:ok, left :: [term], state :: term}

  @doc """
  Called with a message for the producer itself, to `send/2` it there, once all events that the dispatcher holds
  back now are sent.
  """
  @callback info(message :: term, state :: term) :: {:ok, state :: term}

  @typedoc false
  @type config ::
          {:demand, max_demand :: pos_integer | nil, shuffle? :: boolean}
          | {:demand, max_demand :: pos_integer | nil, shuffle? :: boolean,
             rate :: {events :: pos_integer, milliseconds :: pos_integer}}
          | :broadcast
          | {:partition, names :: [term, ...], hash :: nil | fun, consumers :: pos_integer | :infinity}
          | {:custom, module, state :: term}

  # `alias Penstock.Stage, as: GenStage` changes the names of GenStage's dispatchers as well.
  @own Map.new(
         for module <- [DemandDispatcher, BroadcastDispatcher, PartitionDispatcher],
             library <- [Penstock, Penstock.Stage, GenStage],
             do: {Module.concat(library, module |> Module.split() |> List.last()), module}
       )

  @doc false
  # What a `:dispatcher` option names, or what is wrong with it.
  @spec configure(module | {module, keyword}) :: {:ok, config} | {:error, message :: String.t()}
  def configure(module) when is_atom(module) and module not in [nil, true, false], do: configure({module, []})

  def configure({module, options} = dispatcher) when is_atom(module) and is_list(options) do
    cond do
      not Keyword.keyword?(options) -> unexpected(dispatcher)
      is_map_key(@own, module) -> @own[module].configure(options)
      implemented?(module) -> custom(module, options)
      true -> not_one(dispatcher)
    end
  end

  def configure(other), do: unexpected(other)

  @doc false
  # Whether an option names a dispatcher of somebody else's, which is asked nothing yet.
  @spec custom?(term) :: boolean
  def custom?(module) when is_atom(module), do: custom?({module, []})

  def custom?({module, options}) when is_atom(module) and is_list(options),
    do: Keyword.keyword?(options) and not is_map_key(@own, module) and implemented?(module)

  def custom?(_other), do: false

  defp implemented?(module) do
    Code.ensure_loaded?(module) and
      Enum.all?(
        [init: 1, subscribe: 3, cancel: 2, ask: 3, dispatch: 3, info: 2],
        fn {name, arity} -> function_exported?(module, name, arity) end
      )
  end

  defp custom(module, options) do
    case module.init(options) do
      {:ok, state} ->
        {:ok, {:custom, module, state}}

      other ->
        {:error, "expected init/1 of #{inspect(module)} to return {:ok, state}, got: #{inspect(other)}"}
    end
  end

  defp unexpected(other),
    do: {:error, "expected :dispatcher to be an atom or a {atom, list}, got: #{inspect(other)}"}

  defp not_one(dispatcher) do
    {:error,
     "expected :dispatcher to be a module with the callbacks of Penstock.Dispatcher, got: #{inspect(dispatcher)}"}
  end
end
