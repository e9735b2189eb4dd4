defmodule Penstock.Stage.Outlet.Rate do
  @moduledoc false
  # The route of a producer whose events leave at a limited rate. The native core counts them; the clock is here.

  alias Penstock.Native
  alias Penstock.Stage.{Outlet, Subscribers}
  alias __MODULE__

  @enforce_keys [:interval]
  defstruct [:interval, :until]

  @type t :: %Rate{interval: pos_integer, until: nil | integer}

  @spec new({events :: pos_integer, milliseconds :: pos_integer}) :: t
  def new({_events, interval}), do: %Rate{interval: interval}

  @spec open(Outlet.t(), Subscribers.id(), Subscribers.from(), keyword) :: {:ok, Outlet.t()}
  def open(%Outlet{core: core} = outlet, id, _from, _options) do
    :ok = Native.stage_subscribe(core, id, nil)
    {:ok, outlet}
  end

  @spec close(Outlet.t(), Subscribers.id(), Subscribers.from()) :: Outlet.t()
  def close(outlet, _id, _from), do: outlet

  # Begins an interval, at whose end the stage calls `Outlet.flow/1`, if events have left and none has begun.
  @spec count(Outlet.t()) :: Outlet.t()
  def count(%Outlet{core: core, route: %Rate{until: nil, interval: interval} = route} = outlet) do
    if Native.stage_counting(core) do
      Process.send_after(self(), :"$penstock_flow", interval)
      %{outlet | route: %{route | until: now() + interval}}
    else
      outlet
    end
  end

  def count(outlet), do: outlet

  # Ends the interval, if its time has come.
  @spec refill(Outlet.t()) :: Outlet.t()
  def refill(%Outlet{core: core, route: %Rate{until: until} = route} = outlet) do
    if until != nil and now() >= until do
      :ok = Native.stage_refill(core)
      %{outlet | route: %{route | until: nil}}
    else
      outlet
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
