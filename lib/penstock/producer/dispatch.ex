defmodule Penstock.Producer.Dispatch do
  @moduledoc false
  # Whose the events of a native producer are: its `:dispatcher` option, and what that asks of subscriptions.

  alias Penstock.{Dispatcher, Native}
  alias Penstock.Producer.State
  alias Penstock.Stage.{Options, Subscribers}

  @takes "Penstock.DemandDispatcher, Penstock.BroadcastDispatcher or Penstock.PartitionDispatcher (with :hash as :id, " <>
           ":stream_name, :type or a function), or their names in GenStage, with options as stages take them, or a " <>
           "Penstock.Dispatcher of your own"

  @hashes [:id, :stream_name, :type]

  @enforce_keys [:kind, :native]
  defstruct [:kind, :native, :option, names: [], limit: :infinity, ids: %{}]

  # `native` is what the core is started with; of one that is hosted `option` is what the stage is. `ids` are the
  # subscriptions of a broadcast by their process.
  @type t :: %__MODULE__{
          kind: :demand | :broadcast | :partition | :hosted,
          native: term,
          option: term,
          names: [non_neg_integer],
          limit: pos_integer | :infinity,
          ids: %{pid => Subscribers.id()}
        }

  @doc "What a `:dispatcher` option comes to, or what is wrong with it."
  @spec cast(term) :: {:ok, t} | {:error, message :: String.t()}
  def cast(option), do: new(option)

  @doc "What the option takes."
  @spec takes() :: String.t()
  def takes, do: @takes

  # A dispatcher of somebody else's begins in the process that it is for.
  defp new(option), do: if(Dispatcher.custom?(option), do: {:ok, hosted(option)}, else: own(option))

  defp own(option) do
    {native, by} = native_hash(option)

    case Dispatcher.configure(native) do
      {:ok, {:demand, max, shuffle?}} ->
        seed = if shuffle?, do: :rand.uniform(4_294_967_296)
        {:ok, %__MODULE__{kind: :demand, native: {:demand, max, seed, nil}}}

      {:ok, :broadcast} ->
        {:ok, %__MODULE__{kind: :broadcast, native: :broadcast}}

      {:ok, {:partition, names, nil, limit}} ->
        limit = if limit == :infinity, do: :infinity, else: min(limit, Options.most())

        {:ok,
         %__MODULE__{
           kind: :partition,
           native: {:partition, length(names), by || :id},
           names: names,
           limit: limit
         }}

      # A function has to see every event, and a rate needs a clock: both are in a stage.
      {:ok, {:partition, _names, _hash, _limit}} ->
        {:ok, hosted(option)}

      {:ok, {:demand, _max, _shuffle?, _rate}} ->
        {:ok, hosted(option)}

      {:error, message} ->
        {:error, message}
    end
  end

  # The core deals to nobody then.
  defp hosted(option), do: %__MODULE__{kind: :hosted, native: {:demand, nil, nil, nil}, option: option}

  # What is found natively is known here alone: a stage's events are any terms.
  defp native_hash({module, options} = option) when is_list(options) do
    if Keyword.keyword?(options) and options[:hash] in @hashes and partition?(module),
      do: {{module, Keyword.delete(options, :hash)}, options[:hash]},
      else: {option, nil}
  end

  defp native_hash(option), do: {option, nil}

  defp partition?(module), do: inspect(module) =~ ~r/(^|\.)PartitionDispatcher$/

  # What a consumer's side of a subscription reads.
  @consumers [:to, :cancel, :max_demand, :min_demand]

  @own %{
    demand: [:filter],
    broadcast: [:filter, :selector, :lag],
    partition: [:filter, :partition]
  }

  # What other dispatchers do: left out in silence, the consumer would be given events that it does not want.
  @elsewhere [
    selector: "that is an option of a producer with Penstock.BroadcastDispatcher",
    lag: "that is an option of a producer with Penstock.BroadcastDispatcher",
    partition: "that is an option of a producer with Penstock.PartitionDispatcher"
  ]

  @doc """
  Whether a subscription to this producer may have such options.

  Those that nobody here knows may be the consumer's own and are given back; one that is nearly the name of an option
  is a slip.
  """
  @spec check(State.t(), term) ::
          {:ok, options :: keyword, unknown :: keyword} | {:error, message :: String.t()}
  def check(%State{dispatch: %{kind: kind}} = state, options) do
    cond do
      not Keyword.keyword?(options) ->
        {:error, "expected subscription options to be a keyword list, got: #{inspect(options)}"}

      kind != :partition and flow?(options) ->
        check(state, Keyword.delete(options, :partition))

      true ->
        known = @consumers ++ @own[kind]
        unknown = Keyword.drop(options, known)

        Enum.find_value(unknown, {:ok, options, unknown -- [selector: nil, lag: nil, partition: nil]}, fn
          {key, value} ->
            if value != nil or key not in Keyword.keys(@elsewhere), do: complaint(key, value, known, state)
        end)
    end
  end

  # Flow numbers the subscriptions of its stages, for whatever dispatcher the producer has.
  defp flow?(options), do: is_integer(options[:partition]) and options[:cancel] == :transient

  defp complaint(key, value, known, state) do
    case {@elsewhere[key], meant(key, known)} do
      {nil, nil} ->
        nil

      {nil, meant} ->
        {:error,
         "unknown option #{inspect(key)} of a subscription, did you mean #{inspect(meant)}? got: #{inspect([{key, value}])}"}

      {why, _meant} ->
        {:error,
         "#{inspect(state.kind)} has no use for #{inspect(key)}: #{why}; got: #{inspect([{key, value}])}"}
    end
  end

  # 0.9 is one or two letters.
  defp meant(key, known) do
    Enum.find(
      known ++ Keyword.keys(@elsewhere),
      &(String.jaro_distance(to_string(&1), to_string(key)) > 0.9)
    )
  end

  @doc "The options of a subscription that say which events it wants."
  @spec filters(t) :: [:filter | :selector]
  def filters(%__MODULE__{kind: :broadcast}), do: [:filter, :selector]
  def filters(_dispatch), do: [:filter]

  @doc "How a subscription takes part in what is dealt, as the core takes it; or the reason for which it is cancelled."
  @spec join(State.t(), Subscribers.id(), Subscribers.from(), keyword, hosted? :: boolean) ::
          {:ok, how :: term, t} | {:error, reason :: term}
  def join(%State{dispatch: %{kind: :demand} = dispatch}, _id, _from, _options, _hosted?),
    do: {:ok, nil, dispatch}

  def join(%State{dispatch: %{kind: :broadcast, ids: ids} = dispatch}, id, {pid, _tag}, options, hosted?) do
    with :ok <- alone(ids, pid),
         {:ok, %{lag: lag}} <- dispatched(options, Options.lag()),
         :ok <- natively(lag, hosted?),
         do: {:ok, lag, %{dispatch | ids: Map.put(ids, pid, id)}}
  end

  def join(%State{dispatch: %{kind: :partition} = dispatch} = state, _id, _from, options, _hosted?) do
    find = &if &1 in dispatch.names, do: {:ok, &1}, else: :error

    with {:ok, %{partition: name}} <- dispatched(options, Options.partition(dispatch.names, find)) do
      if full?(state, name),
        do: {:error, {:partition_taken, name}},
        else: {:ok, {:partition, name}, dispatch}
    end
  end

  defp dispatched(options, schema) do
    with {:error, message} <- Options.dispatched(options, schema), do: {:error, {:bad_opts, message}}
  end

  defp alone(ids, pid), do: if(is_map_key(ids, pid), do: {:error, :already_subscribed}, else: :ok)

  defp natively(lag, hosted?) when lag == :block or not hosted?, do: :ok

  defp natively(lag, true) do
    message =
      "expected no function as :filter or :selector beside :lag, for what a consumer lags behind is kept natively " <>
        "({:match, map} is taken), got: lag: #{inspect(lag)}"

    {:error, {:bad_opts, message}}
  end

  # Those who hold a full partition and are dead do not count: a successor may be here before the news is.
  defp full?(%State{dispatch: %{limit: :infinity}}, _name), do: false

  defp full?(%State{dispatch: %{limit: limit}, native: native, subscribers: %{by_id: by_id}}, name) do
    holders = Native.producer_holders(native, name, limit)
    Enum.count(holders, &alive?(by_id[&1])) >= limit
  end

  defp alive?({pid, _tag}), do: node(pid) != node() or Process.alive?(pid)

  @doc "Forgets a subscription."
  @spec leave(t, Subscribers.from()) :: t
  def leave(%__MODULE__{kind: :broadcast, ids: ids} = dispatch, {pid, _tag}),
    do: %{dispatch | ids: Map.delete(ids, pid)}

  def leave(dispatch, _from), do: dispatch
end
