defmodule Penstock.Stage.Outlet.Broadcast do
  @moduledoc false
  # The route of a producer that gives every event to every consumer: who they are, and what those have still to
  # get that lag behind without holding the others up.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{Options, Outlet, Shelf, Sieve, Subscribers}
  alias Penstock.Telemetry
  alias __MODULE__

  # `order` is all members in a row, once they have been dealt to as they are now; `lagging` counts those that hold
  # nobody up.
  defstruct members: %{}, ids: %{}, order: nil, lagging: 0, shelves: %{}

  @type lag :: :block | :cancel | {:drop_oldest, pos_integer}
  @typep member :: {Subscribers.from(), lag}
  @type t :: %Broadcast{
          members: %{Subscribers.id() => member},
          ids: %{pid => Subscribers.id()},
          order: nil | [{Subscribers.id(), member}],
          lagging: non_neg_integer,
          shelves: %{Subscribers.id() => Shelf.t()}
        }

  @spec open(Outlet.t(), Subscribers.id(), Subscribers.from(), keyword) ::
          {:ok, Outlet.t()} | {:error, reason :: term, Outlet.t()}
  def open(%Outlet{core: core, route: route} = outlet, id, {pid, _tag} = from, options) do
    with :ok <- alone(route.ids, pid),
         {:ok, lag} <- lag(options) do
      :ok = Native.stage_subscribe(core, id, lag)
      members = Map.put(route.members, id, {from, lag})
      {:ok, put_members(outlet, members, Map.put(route.ids, pid, id), lagging(lag))}
    else
      {:error, reason} -> {:error, reason, outlet}
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
    case Options.get(options, :lag, :block) do
      lag when lag in [:block, :cancel] ->
        {:ok, lag}

      {:drop_oldest, n} when is_integer(n) and n > 0 ->
        {:ok, {:drop_oldest, min(n, Options.most())}}

      other ->
        {:error, message} =
          Options.expected(:lag, "one of :block, :cancel and {:drop_oldest, positive integer}", other)

        {:error, {:bad_opts, message}}
    end
  end

  @spec close(Outlet.t(), Subscribers.id(), Subscribers.from()) :: Outlet.t()
  def close(%Outlet{route: route} = outlet, id, _from) do
    case Map.pop(route.members, id) do
      {nil, _members} ->
        outlet

      {{{pid, _tag}, lag}, members} ->
        outlet
        |> put_members(members, Map.delete(route.ids, pid), -lagging(lag))
        |> put_shelf(id, Shelf.new())
    end
  end

  defp lagging(:block), do: 0
  defp lagging(_lag), do: 1

  defp put_members(%Outlet{route: route} = outlet, members, ids, more_lagging) do
    lagging = route.lagging + more_lagging
    %{outlet | route: %{route | members: members, ids: ids, order: nil, lagging: lagging}}
  end

  defp put_shelf(%Outlet{route: %Broadcast{shelves: shelves} = route} = outlet, id, shelf) do
    shelves = if shelf == Shelf.new(), do: Map.delete(shelves, id), else: Map.put(shelves, id, shelf)
    %{outlet | route: %{route | shelves: shelves}}
  end

  defp shelf(%Broadcast{shelves: shelves}, id), do: Map.get_lazy(shelves, id, &Shelf.new/0)

  @spec deal(Outlet.t(), [term, ...], pos_integer) :: Outlet.t()
  def deal(%Outlet{route: %Broadcast{order: nil, members: members} = route} = outlet, events, n),
    do: deal(%{outlet | route: %{route | order: Map.to_list(members)}}, events, n)

  def deal(%Outlet{sieves: sieves, route: %Broadcast{order: members, lagging: 0}} = outlet, events, _n)
      when map_size(sieves) == 0 do
    send_all(members, events)
    outlet
  end

  def deal(%Outlet{route: %Broadcast{order: members}} = outlet, events, n) do
    Enum.reduce(members, outlet, fn
      {id, {_from, :block}}, outlet -> Outlet.deliver(outlet, id, events)
      {id, {_from, _lag}}, outlet -> share(outlet, id, events, n)
    end)
  end

  defp send_all([], _events), do: :ok

  defp send_all([{_id, {from, _lag}} | members], events) do
    Subscribers.send_events(from, events)
    send_all(members, events)
  end

  # What one gets, or has queued, that holds nobody up. What it does not want is taken out before.
  defp share(%Outlet{sieves: sieves} = outlet, id, events, dealt) do
    case sieves do
      %{^id => :expelled} ->
        outlet

      %{^id => sieve} ->
        case Sieve.run(sieve, events) do
          {:failed, how} -> Outlet.expel(outlet, id, {:filter_failed, how})
          {wanted, 0} -> share(outlet, id, wanted, dealt, dealt)
          {wanted, n} -> outlet |> share(id, wanted, dealt, dealt - n) |> Outlet.flow_soon()
        end

      %{} ->
        share(outlet, id, events, dealt, dealt)
    end
  end

  defp share(%Outlet{core: core} = outlet, id, events, dealt, n) do
    case Native.stage_share(core, id, dealt, n) do
      :cancel ->
        Outlet.expel(outlet, id, :lagging)

      :all ->
        send_some(outlet, id, events)

      {now, dropped} ->
        {events, later} = :lists.split(now, events)
        {_dropped, shelf} = outlet.route |> shelf(id) |> Shelf.put(later, n - now) |> Shelf.take(dropped)
        tell_dropped(outlet, id, dropped)
        outlet |> send_some(id, events) |> put_shelf(id, shelf)
    end
  end

  # What a consumer asked to lose is lost, but not in silence.
  defp tell_dropped(_outlet, _id, 0), do: :ok

  defp tell_dropped(%Outlet{subscribers: subscribers}, id, n) do
    {pid, tag} = Map.fetch!(subscribers.by_id, id)
    Telemetry.execute(:lagged, %{count: n}, %{stage: self(), peer: pid, tag: tag})

    Logger.warning(
      "Penstock.Stage producer #{Subscribers.name()} has dropped #{n} events that #{inspect(pid)} lagged behind"
    )
  end

  defp send_some(outlet, _id, []), do: outlet

  defp send_some(%Outlet{subscribers: subscribers} = outlet, id, events) do
    Subscribers.deliver(subscribers, id, events)
    outlet
  end

  # Sends a consumer events that it lagged behind.
  @spec catch_up(Outlet.t(), Subscribers.id(), pos_integer) :: Outlet.t()
  def catch_up(%Outlet{route: route} = outlet, id, n) do
    {events, shelf} = route |> shelf(id) |> Shelf.take(n)
    outlet |> send_some(id, events) |> put_shelf(id, shelf)
  end
end
