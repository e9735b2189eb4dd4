defmodule Penstock.Stage.Output.Broadcast do
  @moduledoc false
  # The half of a dispatcher that gives every event to every consumer: who they are, and what those have still to
  # get that lag behind without holding the others up.

  use Penstock.Stage.Output.Dispatching

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{EventQueue, Options, Output, Subscribers, SubscriptionFilter}
  alias Penstock.Telemetry
  alias __MODULE__

  # `order` is all members in a row, once they have been dealt to as they are now; `lagging` counts those that hold
  # nobody up.
  defstruct members: %{}, ids: %{}, order: nil, lagging: 0, queues: %{}

  @type lag :: :block | :cancel | {:drop_oldest, pos_integer}
  @typep member :: {Subscribers.from(), lag}
  @type t :: %Broadcast{
          members: %{Subscribers.id() => member},
          ids: %{pid => Subscribers.id()},
          order: nil | [{Subscribers.id(), member}],
          lagging: non_neg_integer,
          queues: %{Subscribers.id() => EventQueue.t()}
        }

  @impl true
  def new(:broadcast, _type), do: {:broadcast, %Broadcast{}}

  @impl true
  def open(%Output{state: %Broadcast{ids: ids} = own} = output, id, {pid, _tag} = from, options) do
    with {:ok, output} <- Counted.filter(output, id, options, [:filter, :selector]),
         {:ok, lag} <- admit(output, ids, pid, options) do
      members = Map.put(own.members, id, {from, lag})

      {:ok,
       output
       |> Counted.subscribe(id, lag)
       |> put_members(members, Map.put(ids, pid, id), lagging(lag))}
    end
  end

  defp admit(output, ids, pid, options) do
    with :ok <- alone(ids, pid), {:ok, lag} <- lag(options) do
      {:ok, lag}
    else
      {:error, reason} -> {:error, reason, output}
    end
  end

  defp alone(ids, pid) do
    if is_map_key(ids, pid) do
      Logger.error(
        "Penstock.Stage producer #{Subscribers.name()} has a subscription of #{inspect(pid)} already, " <>
          "and a broadcast takes one of each process"
      )

      {:error, :already_subscribed}
    else
      :ok
    end
  end

  defp lag(options) do
    case Options.dispatched(options, Options.lag()) do
      {:ok, %{lag: lag}} -> {:ok, lag}
      {:error, message} -> {:error, {:bad_opts, message}}
    end
  end

  @impl true
  def close(output, id, from) do
    %Output{state: own} = output = Counted.close(output, id, from)

    case Map.pop(own.members, id) do
      {nil, _members} ->
        output

      {{{pid, _tag}, lag}, members} ->
        output
        |> put_members(members, Map.delete(own.ids, pid), -lagging(lag))
        |> put_queue(id, EventQueue.new())
    end
  end

  defp lagging(:block), do: 0
  defp lagging(_lag), do: 1

  defp put_members(%Output{state: own} = output, members, ids, more_lagging) do
    lagging = own.lagging + more_lagging
    %{output | state: %{own | members: members, ids: ids, order: nil, lagging: lagging}}
  end

  defp put_queue(%Output{state: %Broadcast{queues: queues} = own} = output, id, queue) do
    queues = if queue == EventQueue.new(), do: Map.delete(queues, id), else: Map.put(queues, id, queue)
    %{output | state: %{own | queues: queues}}
  end

  defp queue(%Broadcast{queues: queues}, id), do: Map.get_lazy(queues, id, &EventQueue.new/0)

  @impl true
  def deal(%Output{state: %Broadcast{order: nil, members: members} = own} = output, events, n),
    do: deal(%{output | state: %{own | order: Map.to_list(members)}}, events, n)

  def deal(%Output{filters: filters, state: %Broadcast{order: members, lagging: 0}} = output, events, _n)
      when map_size(filters) == 0 do
    send_all(members, events)
    output
  end

  def deal(%Output{state: %Broadcast{order: members}} = output, events, n) do
    Enum.reduce(members, output, fn
      {id, {_from, :block}}, output -> Output.deliver(output, id, events)
      {id, {_from, _lag}}, output -> share(output, id, events, n)
    end)
  end

  defp send_all([], _events), do: :ok

  defp send_all([{_id, {from, _lag}} | members], events) do
    Subscribers.send_events(from, events)
    send_all(members, events)
  end

  # What one gets, or has queued, that holds nobody up. What it does not want is taken out before.
  defp share(%Output{filters: filters} = output, id, events, dealt) do
    case filters do
      %{^id => :expelled} ->
        output

      %{^id => filter} ->
        case SubscriptionFilter.run(filter, events) do
          {:failed, how} -> Output.expel(output, id, {:filter_failed, how})
          {wanted, 0} -> share(output, id, wanted, dealt, dealt)
          {wanted, n} -> output |> share(id, wanted, dealt, dealt - n) |> Output.flow_soon()
        end

      %{} ->
        share(output, id, events, dealt, dealt)
    end
  end

  defp share(%Output{core: core} = output, id, events, dealt, n) do
    case Native.stage_share(core, id, dealt, n) do
      :cancel ->
        Output.expel(output, id, :lagging)

      :all ->
        send_some(output, id, events)

      {now, dropped} ->
        {events, later} = :lists.split(now, events)

        {_dropped, queue} =
          output.state |> queue(id) |> EventQueue.put(later, n - now) |> EventQueue.take(dropped)

        tell_dropped(output, id, dropped)
        output |> send_some(id, events) |> put_queue(id, queue)
    end
  end

  # What a consumer asked to lose is lost, but not in silence.
  defp tell_dropped(_output, _id, 0), do: :ok

  defp tell_dropped(%Output{subscribers: subscribers}, id, n) do
    {pid, tag} = Map.fetch!(subscribers.by_id, id)
    Telemetry.execute(:lagged, %{count: n}, %{stage: self(), peer: pid, tag: tag})

    Logger.warning(
      "Penstock.Stage producer #{Subscribers.name()} has dropped #{n} events that #{inspect(pid)} lagged behind"
    )
  end

  defp send_some(output, _id, []), do: output

  defp send_some(%Output{subscribers: subscribers} = output, id, events) do
    Subscribers.deliver(subscribers, id, events)
    output
  end

  # Sends a consumer events that it lagged behind.
  @impl true
  def served(%Output{state: own} = output, id, n) do
    {events, queue} = own |> queue(id) |> EventQueue.take(n)
    output |> send_some(id, events) |> put_queue(id, queue)
  end
end
