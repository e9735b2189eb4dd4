defmodule Penstock.Stage.Outlet.Broadcast do
  @moduledoc false
  # The route of a producer that gives every event to every consumer: who they are.

  require Logger

  alias Penstock.Native
  alias Penstock.Stage.{Outlet, Subscribers}
  alias __MODULE__

  defstruct members: []

  @type t :: %Broadcast{members: [{Subscribers.id(), Subscribers.from()}]}

  @spec open(Outlet.t(), Subscribers.id(), Subscribers.from(), keyword) ::
          {:ok, Outlet.t()} | {:error, reason :: term, Outlet.t()}
  def open(%Outlet{core: core, route: route} = outlet, id, {pid, _tag} = from, _options) do
    if Enum.any?(route.members, &match?({_id, {^pid, _tag}}, &1)) do
      Logger.error(
        "Penstock.Stage producer #{Subscribers.name()} has a subscription of #{inspect(pid)} already, " <>
          "and a broadcast takes one of each process"
      )

      {:error, :already_subscribed, outlet}
    else
      :ok = Native.stage_subscribe(core, id, 0)
      {:ok, %{outlet | route: %{route | members: [{id, from} | route.members]}}}
    end
  end

  @spec close(Outlet.t(), Subscribers.id(), Subscribers.from()) :: Outlet.t()
  def close(%Outlet{route: route} = outlet, id, _from),
    do: %{outlet | route: %{route | members: List.keydelete(route.members, id, 0)}}

  @spec deal(Outlet.t(), [term, ...]) :: Outlet.t()
  def deal(%Outlet{sieves: sieves, route: %Broadcast{members: members}} = outlet, events) do
    if sieves == %{} do
      send_all(members, events)
      outlet
    else
      Enum.reduce(members, outlet, fn {id, _from}, outlet -> Outlet.deliver(outlet, id, events) end)
    end
  end

  defp send_all([], _events), do: :ok

  defp send_all([{_id, from} | members], events) do
    Subscribers.send_events(from, events)
    send_all(members, events)
  end
end
