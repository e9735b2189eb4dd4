defmodule Penstock.Stage.Output.Custom do
  @moduledoc false
  # The half of a dispatcher of somebody else: the module is called as GenStage would call it, and decides; what it
  # leaves over goes to the native buffer.

  @behaviour Penstock.Stage.Output.Dispatching

  alias Penstock.Native
  alias Penstock.Stage.{EventQueue, Options, Output}
  alias __MODULE__

  @enforce_keys [:module, :state, :type]
  defstruct [:module, :state, :type, demand: 0]

  @type t :: %Custom{
          module: module,
          state: term,
          type: :producer | :producer_consumer,
          demand: non_neg_integer
        }

  @impl true
  def new({:custom, module, state}, type),
    do: {Output.Demand.core(nil, false, nil), %Custom{module: module, state: state, type: type}}

  @impl true
  def counted?, do: false

  @impl true
  def open(%Output{state: %Custom{module: module, state: state}} = output, _id, from, options) do
    case module.subscribe(options, from, state) do
      {:ok, _demand, _state} = granted -> {:ok, grant(output, granted, :subscribe, 3)}
      {:error, reason} -> {:error, reason, output}
      other -> wrong(:subscribe, 3, module, "{:ok, demand, state} or {:error, reason}", other)
    end
  end

  @impl true
  def close(%Output{state: %Custom{module: module, state: state}} = output, _id, from),
    do: grant(output, module.cancel(from, state), :cancel, 2)

  @impl true
  def ask(%Output{state: %Custom{module: module, state: state}} = output, _id, from, n),
    do: output |> grant(module.ask(n, from, state), :ask, 3) |> Output.flow()

  defp grant(%Output{state: own} = output, {:ok, demand, state}, _function, _arity)
       when is_integer(demand) and demand >= 0 do
    %{output | state: %{own | state: state, demand: min(own.demand + demand, Options.most())}}
  end

  defp grant(%Output{state: %Custom{module: module}}, other, function, arity),
    do: wrong(function, arity, module, "{:ok, demand, state}, demand being an integer from 0 on", other)

  @spec wrong(atom, arity, module, String.t(), term) :: no_return
  defp wrong(function, arity, module, expected, got) do
    raise ArgumentError,
          "expected #{function}/#{arity} of #{inspect(module)} to return #{expected}, got: #{inspect(got)}"
  end

  # Serves from the buffer what the dispatcher has called for; the source is asked for the rest. In a
  # producer_consumer, whose source is asked elsewhere, that stays on record.
  @impl true
  def flow(%Output{state: %Custom{demand: demand}} = output) do
    {upstream, %Output{state: own} = output} = take(output, demand)

    if own.type == :producer,
      do: {upstream, %{output | state: %{own | demand: 0}}},
      else: {upstream, output}
  end

  @impl true
  def emit(output, events) do
    {left, output} = dispatch(output, events, length(events))
    Output.Store.put(output, left, length(left))
  end

  # A message whose turn has come goes out with the event before it, so also when no demand is left.
  defp take(%Output{core: core} = output, left) do
    case Native.stage_take(core, left) do
      nil ->
        {left, output}

      :mark ->
        output |> Output.release(1) |> take(left)

      n when is_integer(n) ->
        {events, queue} = EventQueue.take(output.queue, n)
        again(%{output | queue: queue}, events, n, left)

      events ->
        again(output, events, length(events), left)
    end
  end

  defp again(output, events, n, left) do
    {over, output} = dispatch(output, events, n)
    {_discarded, output} = Output.Store.put(output, over, length(over))
    take(output, left - n)
  end

  # Has the dispatcher send events; those that it does not want.
  defp dispatch(%Output{state: %Custom{module: module, state: state} = own} = output, events, n) do
    {:ok, left, state} = module.dispatch(events, n, state)
    demand = if own.type == :producer, do: own.demand, else: max(own.demand - (n - length(left)), 0)
    {left, %{output | state: %{own | state: state, demand: demand}}}
  end

  @impl true
  def info(%Output{state: %Custom{module: module, state: state} = own} = output, message) do
    {:ok, state} = module.info(message, state)
    %{output | state: %{own | state: state}}
  end

  @impl true
  def demand(%Output{state: %Custom{demand: demand}}), do: demand

  @impl true
  def demand_of(_output, _id), do: :unknown
end
