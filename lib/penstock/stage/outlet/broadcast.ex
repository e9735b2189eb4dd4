defmodule Penstock.Stage.Outlet.Broadcast do
  @moduledoc false
  # The route of a producer that gives every event to every consumer: who they are, and what those have still to
  # get that lag behind without holding the others up.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{Options, Outlet, Shelf, Sieve, Subscribers}
  alias Penstock.Telemetry
  alias __MODULE__

  defstruct members: [], shelves: %{}, plain?: true

  @type lag :: :block | :cancel | {:drop_oldest, pos_integer}
  @type t :: %Broadcast{
          members: [{Subscribers.id(), Subscribers.from(), lag}],
          shelves: %{Subscribers.id() => Shelf.t()},
          plain?: boolean
        }

  @spec open(Outlet.t(), Subscribers.id(), Subscribers.from(), keyword) ::
          {:ok, Outlet.t()} | {:error, reason :: term, Outlet.t()}
  def open(%Outlet{core: core, route: route} = outlet, id, {pid, _tag} = from, options) do
    with :ok <- alone(route.members, pid),
         {:ok, lag} <- lag(options) do
      :ok = Native.stage_subscribe(core, id, lag)
      {:ok, put_members(outlet, [{id, from, lag} | route.members])}
    else
      {:error, reason} -> {:error, reason, outlet}
    end
  end

  defp alone(members, pid) do
    if Enum.any?(members, &match?({_id, {^pid, _tag}, _lag}, &1)) do
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
    case Keyword.get(options, :lag, :block) do
      lag when lag in [:block, :cancel] ->
        {:ok, lag}

      {:drop_oldest, n} = lag when is_integer(n) and n > 0 ->
        {:ok, lag}

      other ->
        {:error, message} =
          Options.expected(:lag, "one of :block, :cancel and {:drop_oldest, positive integer}", other)

        {:error, {:bad_opts, message}}
    end
  end

  @spec close(Outlet.t(), Subscribers.id(), Subscribers.from()) :: Outlet.t()
  def close(%Outlet{route: route} = outlet, id, _from) do
    outlet = put_members(outlet, List.keydelete(route.members, id, 0))
    put_shelf(outlet, id, Shelf.new())
  end

  defp put_members(%Outlet{route: route} = outlet, members) do
    plain? = Enum.all?(members, &match?({_id, _from, :block}, &1))
    %{outlet | route: %{route | members: members, plain?: plain?}}
  end

  defp put_shelf(%Outlet{route: %Broadcast{shelves: shelves} = route} = outlet, id, shelf) do
    shelves = if shelf == Shelf.new(), do: Map.delete(shelves, id), else: Map.put(shelves, id, shelf)
    %{outlet | route: %{route | shelves: shelves}}
  end

  defp shelf(%Broadcast{shelves: shelves}, id), do: Map.get_lazy(shelves, id, &Shelf.new/0)

  @spec deal(Outlet.t(), [term, ...], pos_integer) :: Outlet.t()
  def deal(%Outlet{sieves: sieves, route: %Broadcast{members: members, plain?: true}} = outlet, events, _n)
      when sieves == %{} do
    send_all(members, events)
    outlet
  end

  def deal(%Outlet{route: %Broadcast{members: members}} = outlet, events, n) do
    Enum.reduce(members, outlet, fn
      {id, _from, :block}, outlet -> Outlet.deliver(outlet, id, events)
      {id, _from, _lag}, outlet -> share(outlet, id, events, n)
    end)
  end

  defp send_all([], _events), do: :ok

  defp send_all([{_id, from, _lag} | members], events) do
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
