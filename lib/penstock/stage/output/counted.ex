defmodule Penstock.Stage.Output.Counted do
  @moduledoc false
  # What the dispatchers do alike that the native core counts.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{EventQueue, Heap, Output, Subscribers, SubscriptionFilter}
  alias Penstock.Stage.Output.{Dispatching, Store}

  # Notes which events a subscription wants.
  @spec filter(Output.t(), Subscribers.id(), keyword, [:filter | :selector]) ::
          {:ok, Output.t()} | {:error, reason :: term, Output.t()}
  def filter(%Output{filters: filters} = output, id, options, keys) do
    case SubscriptionFilter.new(options, keys) do
      {:ok, nil} -> {:ok, output}
      {:ok, filter} -> {:ok, %{output | filters: Map.put(filters, id, filter)}}
      {:error, message} -> {:error, {:bad_opts, message}, output}
    end
  end

  @spec subscribe(Output.t(), Subscribers.id(), how :: term) :: Output.t()
  def subscribe(%Output{core: core} = output, id, how) do
    :ok = Native.stage_subscribe(core, id, how)
    output
  end

  @spec close(Output.t(), Subscribers.id(), Subscribers.from()) :: Output.t()
  def close(%Output{core: core, filters: filters} = output, id, _from) do
    _subscribed? = Native.stage_cancel(core, id)
    if is_map_key(filters, id), do: %{output | filters: Map.delete(filters, id)}, else: output
  end

  @spec ask(Output.t(), Subscribers.id(), Subscribers.from(), pos_integer) :: Dispatching.asked()
  def ask(%Output{core: core, filters: filters} = output, id, _from, n) do
    case filters do
      %{^id => :expelled} -> 0
      %{} -> core |> Native.stage_ask(id, n) |> asked(output, id, n)
    end
  end

  # What is to be done about what the core has answered to an ask.
  @spec asked(term, Output.t(), Subscribers.id(), pos_integer) :: {non_neg_integer, Output.t()}
  def asked(upstream, output, _id, _n) when is_integer(upstream), do: {upstream, output}
  def asked(:buffered, output, _id, _n), do: Output.flow(output)

  def asked({:served, what, asked}, %Output{half: half} = output, id, n),
    do: asked(asked, half.served(output, id, what), id, n)

  def asked({:exceeded, max, asked}, output, id, n) do
    {pid, _tag} = Map.fetch!(output.subscribers.by_id, id)

    Logger.warning(
      "Penstock.Stage producer #{Subscribers.name()} expects a maximum demand of #{max}, and " <>
        "#{inspect(pid)} asked for #{n}: consumers that ask for more than others are served before them"
    )

    asked(asked, output, id, n)
  end

  @spec flow(Output.t()) :: {non_neg_integer, Output.t()}
  def flow(output), do: output |> drain() |> claim()

  # How many events are to be asked of the source now.
  @spec claim(Output.t()) :: {non_neg_integer, Output.t()}
  def claim(%Output{core: core} = output), do: {Native.stage_claim(core), output}

  # Serves from the buffer what is waited for.
  @spec drain(Output.t()) :: Output.t()
  def drain(%Output{core: core} = output) do
    case Native.stage_next(core) do
      nil ->
        output

      :mark ->
        output |> Output.release(1) |> drain()

      {to, n} when is_integer(n) ->
        {events, queue} = EventQueue.take(output.queue, n)
        %{output | queue: queue} |> Output.hand(to, events, n) |> drain()

      {to, events} ->
        output |> Output.hand(to, events, length(events)) |> drain()
    end
  end

  @spec emit(Output.t(), [term, ...], pos_integer) ::
          :delivered | {discarded :: non_neg_integer, Output.t()}
  def emit(%Output{core: core} = output, events, size) do
    case Native.stage_emit(core, size) do
      id when is_integer(id) and map_size(output.filters) == 0 ->
        Subscribers.deliver(output.subscribers, id, events)
        :delivered

      :heap ->
        Heap.make_room(size)
        {0, %{output | queue: EventQueue.put(output.queue, events, size)}}

      deals when is_list(deals) ->
        deal(deals, events, size, output)

      to ->
        {0, Output.hand(output, to, events, size)}
    end
  end

  defp deal([], [], 0, output), do: {0, output}

  # One call of the core deals to so many at most.
  defp deal([:more], events, size, %Output{core: core} = output),
    do: core |> Native.stage_emit_on(size) |> deal(events, size, output)

  defp deal([], events, size, output), do: Store.put(output, events, size)
  defp deal([{to, size}], events, size, output), do: {0, Output.hand(output, to, events, size)}

  defp deal([{to, n} | deals], events, size, output) do
    {now, later} = :lists.split(n, events)
    deal(deals, later, size - n, Output.hand(output, to, now, n))
  end

  @spec info(Output.t(), term) :: Output.t()
  def info(output, message) do
    send(self(), message)
    output
  end

  @spec demand(Output.t()) :: non_neg_integer
  def demand(%Output{core: core}), do: Native.stage_demand(core)

  @spec demand_of(Output.t(), Subscribers.id()) :: non_neg_integer
  def demand_of(%Output{core: core}, id), do: Native.stage_demand_of(core, id)
end
